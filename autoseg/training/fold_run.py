"""The training of one fold: its lock, checkpoint, record and display around the loop; and its final validation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.errors import Interrupted, TrainingError
from autoseg.evaluation.summary import Summary
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import FoldFolder
from autoseg.files.storage import encode
from autoseg.inference.model import Checkpoint, TrainedModel, WeightsFile, fill_network, load_weights, save_weights
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.networks.build import PLANNED
from autoseg.networks.describe import count_parameters, write_architecture
from autoseg.training.compilation import compile_where_it_pays
from autoseg.training.determinism import deterministic_algorithms
from autoseg.training.fold.checkpoint import load_checkpoint, recipe_changes, require_same, save_checkpoint
from autoseg.training.fold.conditions import conditions_of
from autoseg.training.fold.debug import write_debug
from autoseg.training.fold.display import Display, training_log
from autoseg.training.fold.folder import require_model_plans, require_no_weights, require_untrained, write_model_plans
from autoseg.training.fold.replacing import keep_new, recover, replacing
from autoseg.training.fold.run_record import (
    RunRecord,
    Session,
    begin_run,
    device_name,
    finish_run,
    installed_versions,
    now,
    require_same_recipe,
)
from autoseg.training.fold.writing import Writer
from autoseg.training.loop import Loop, Step
from autoseg.training.memory import most_memory, require_memory
from autoseg.training.micro_batches import memory_explained
from autoseg.training.parts import Parts
from autoseg.training.recipes.record import RecipeRecord, record_recipe
from autoseg.training.sampling.source import open_batches
from autoseg.training.showing import Showing
from autoseg.training.start import choose_seed, start_state
from autoseg.training.state import NotFiniteError, TrainingState
from autoseg.training.time_needed import BatchTimer, Length, say_time_needed
from autoseg.training.tracking import find_trackers
from autoseg.training.validation import validate_fold
from autoseg.words import counted

log = logging.getLogger(__name__)

CAUTION = 0.1
"""What learning rates are multiplied by after a loss that is not finite: the step by which one usually varies them, and
as far below the rate at which a loss explodes as the range test keeps (`learning_rate_finder.SAFETY`)."""

AVERAGED = "module."
"""What torch's average of a network calls the network in it."""

Asked = Callable[[], bool]


class FoldRun:
    """What a fold's training does besides learning: one process at a time, nothing lost, everything written down.

    Args:
        training_step, validation_step: What is done with a batch; see `Steps`.
    """

    def __init__(self, parts: Parts, *, training_step: Step, validation_step: Step) -> None:
        self._parts = parts
        self._data = parts.data
        self._fold = parts.data.folder
        self._training_step, self._validation_step = training_step, validation_step

    # ------------------------------------------------------------------------------- training

    def train(self, *, resume: bool, overwrite: bool, should_stop: Asked, command: Sequence[str]) -> None:
        """Train the remaining epochs; see `Trainer.run`."""
        self._parts.require_fitting_parts()
        find_trackers(self._parts.settings.trackers, self._fold.tensorboard)
        with self._locked():
            self._recover()
            with self._replacing() if overwrite and not resume else nullcontext():
                self._prepared(resume, should_stop, command)
                self._keep_new()

    def _prepared(self, resume: bool, should_stop: Asked, command: Sequence[str]) -> None:
        parts = self._parts
        with (
            training_log(self._fold.log),
            own_random_numbers(parts.device),
            deterministic_algorithms(parts.settings.deterministic),
            memory_explained(parts.device),
        ):
            seed, state = self._start(resume)
            if reason := self._why_over(seed, state):
                log.info("%s trained already, nothing is left to train: %s", counted(state.epoch, "epoch"), reason)
            elif self._is_paused(state):
                log.info("%s trained already; continue with `resume=True`", counted(state.epoch, "epoch"))
                return
            else:
                _require_memory(parts, state)
                self.begin_record(seed, state, command, continued=self._fold.checkpoint.is_file())
                tell_pace(parts)
                state = self._to_the_end(seed, state, should_stop)
            if self._is_paused(state) and not self._why_over(seed, state):
                log.info("paused after %s; continue with `resume=True`", counted(state.epoch, "epoch"))
                return
            weights = state.judged.state_dict()
            self._save_weights("final", state.epoch, weights)
            self._finish(weights, state.network)

    @property
    def fold(self) -> FoldFolder:
        """The fold's folder."""
        return self._fold

    def _locked(self) -> AbstractContextManager[Any]:
        return fold_lock(self._fold)

    def _recover(self) -> None:
        recover(self._fold)

    def _replacing(self) -> AbstractContextManager[Any]:
        return replacing(self._fold)

    def _keep_new(self) -> None:
        keep_new(self._fold)

    def _finish(self, weights: Mapping[str, Tensor], network: nn.Module) -> None:
        memory = most_memory(self._parts.device)
        finish_run(self._fold, weights, parameters=count_parameters(network), memory=memory)

    def _to_the_end(self, seed: int, state: TrainingState, should_stop: Asked) -> TrainingState:
        """More cautiously from the last checkpoint on where a loss is not finite; the final state."""
        try:
            self._train_on(seed, state, should_stop)
            return state
        except NotFiniteError as fault:
            state = self._more_cautious(seed, state, fault)
        return self._to_the_end(seed, state, should_stop)

    def _more_cautious(self, seed: int, state: TrainingState, fault: NotFiniteError) -> TrainingState:
        """The state of the last checkpoint, or a new one where there is none, and caution; saved before it is used."""
        if state.caution < 1:
            raise TrainingError(
                f"{fault}. The learning rate was lowered once before for such a loss; look at these images, or continue "
                "from the last checkpoint (`resume=True`) with a lower `learning_rate` or `precision=fp32`"
            ) from fault
        path = self._fold.checkpoint
        state = start_state(self._parts, seed, load_checkpoint(path) if path.is_file() else None)
        state.caution = CAUTION
        self._save_checkpoint(self._content(seed, state))
        log.warning(
            "%s. Going back to %s, with every learning rate times %g from now on", fault, _place(state), CAUTION
        )
        return state

    def _train_on(self, seed: int, state: TrainingState, should_stop: Asked) -> None:
        parts = self._parts
        loss_function = parts.build_supervision().to(parts.device)
        self._compile(state, loss_function)
        loop = self._loop(seed, loss_function)
        showing = Showing(parts, seed, state.epoch)
        display = Display(
            self._fold,
            labels=[parts.target.labels[number] for number in parts.target.scored],
            epochs=parts.epochs,
            batches=loop.batches_per_epoch,
            most_seconds=parts.bounds.seconds,
            trackers=showing.trackers,
        )
        timer = BatchTimer()
        saved = time.monotonic()
        batches, waiting = open_batches(parts, seed, state, self._data.previous_stage)
        with Writer(parts.device) as writer, closing(showing), closing(display), closing(batches):
            for done in loop.over(waiting.watch(batches), state):
                display.batch_done(state.iteration, done.loss, state.records)
                seconds = timer.batch_done(done.key, done.loss)
                if seconds is not None and parts.bounds.seconds is None:
                    say_time_needed(_length(parts, state), seconds)
                stop = should_stop()
                if done.ends_epoch or stop or time.monotonic() - saved > 60 * parts.settings.checkpoint_minutes:
                    loop.require_finite()
                    is_best = done.ends_epoch and self._finish_epoch(loop, state, display, waiting.share())
                    if done.ends_epoch:
                        showing.epoch_done(state)
                    writer.write(self._content(seed, state), partial(self._save_progress, is_best=is_best))
                    saved = time.monotonic()
                if stop:
                    writer.wait()
                    raise Interrupted(
                        f"{self._data.output}: stopped after {counted(state.epoch, 'epoch')} and "
                        f"{counted(state.iteration, 'batch', 'batches')}; the state is saved, continue with `resume=True`"
                    )
                if done.ends_epoch and (reason := loop.why_over(state)):
                    if state.epoch < parts.epochs:
                        log.info("the training ends after %s: %s", counted(state.epoch, "epoch"), reason)
                    return
                if done.ends_epoch and self._is_paused(state):
                    return

    def _loop(self, seed: int, loss: nn.Module) -> Loop:
        steps = {"training_step": self._training_step, "validation_step": self._validation_step}
        return Loop(self._parts, **steps, loss=loss, seed=seed)

    def _why_over(self, seed: int, state: TrainingState) -> str:
        """Why nothing is left to train; an epoch that was begun is always ended."""
        return "" if state.iteration else self._loop(seed, nn.Identity()).why_over(state)

    def _is_paused(self, state: TrainingState) -> bool:
        after = self._parts.settings.pause_after
        return after is not None and state.epoch >= after and not state.iteration

    def _compile(self, state: TrainingState, loss_function: nn.Module) -> None:
        compile_where_it_pays(self._parts, state, loss_function)

    def _finish_epoch(self, loop: Loop, state: TrainingState, display: Display, waited: float) -> bool:
        """Whether it is the best so far.

        Everything of the epoch is written before the checkpoint, so that no interruption can lose a part of it.
        """
        record = loop.finish_epoch(state, waited)
        display.epoch_done(state.records)
        return record.best

    # ----------------------------------------------------------------------------- validation

    def validate(self, *, checkpoint: Checkpoint, save_probabilities: bool) -> Summary:
        """Predict the split's validation cases and score them; see `Trainer.validate`."""
        data, parts = self._data, self._parts
        path = self._fold.weights(checkpoint)
        if data.output.is_dir() and not path.is_file():
            with fold_lock(self._fold):
                recover(self._fold)
        file = load_weights(path)
        require_model_plans(data.plans, data.configuration, self._fold)
        with (
            fold_lock(self._fold),
            training_log(self._fold.log),
            deterministic_algorithms(parts.settings.deterministic),
        ):
            model = model_of(parts, file, checkpoint)
            kept = len(data.plan.directions) if save_probabilities and checkpoint == "final" else 0
            return validate_fold(
                Predictor(model, Computation(device=parts.device, precision=parts.precision.name)),
                data,
                folder=self._fold.validation(checkpoint),
                probabilities=save_probabilities,
                views=[self._fold.view(number) for number in range(kept)],
            )

    # ------------------------------------------------------------------- what is written down

    def _start(self, resume: bool) -> tuple[int, TrainingState]:
        """The seed and the state to go on from: a new one, or the checkpoint's."""
        path = self._fold.checkpoint
        if not resume:
            require_untrained(self._fold)
        require_no_weights(self._fold)
        if resume and not path.is_file():
            log.info("%s: nothing was trained here yet, starting anew", self._data.output)
        content = load_checkpoint(path) if path.is_file() else None
        seed = choose_seed(self._parts.settings, content)
        if content is not None:
            others = recipe_changes(path, content, self._recipe)
            require_same(path, content, conditions_of(self._parts, seed), others=others)
        state = start_state(self._parts, seed, content)
        if content is not None and not self._why_over(seed, state):
            log.info("continuing in %s", _place(state))
        self.describe(state.network)
        return seed, state

    def describe(self, network: nn.Module) -> None:
        """Write down, before the first batch, what is trained and how."""
        data = self._data
        require_same_recipe(self._fold, self._parts.name, self._recipe)
        write_model_plans(data.plans, data.configuration, self._fold)
        write_architecture(self._fold, network, data.plan, self._parts.in_channels)
        write_debug(self._fold, self._parts, network)

    @cached_property
    def _recipe(self) -> RecipeRecord:
        return record_recipe(self._parts)

    def _content(self, seed: int, state: TrainingState) -> dict[str, Any]:
        """Of a checkpoint."""
        recipe = {"epochs": self._parts.epochs, "recipe": encode(self._recipe)}
        return conditions_of(self._parts, seed) | recipe | state.to_checkpoint()

    def _save_progress(self, content: Mapping[str, Any], *, is_best: bool) -> None:
        """In a thread of its own, while the training goes on."""
        if is_best:
            self._save_weights("best", content["epoch"], _judged(content))
        self._save_checkpoint(content)
        self._keep_new()

    def _save_checkpoint(self, content: Mapping[str, Any]) -> None:
        save_checkpoint(self._fold.checkpoint, content)

    def _save_weights(self, checkpoint: Checkpoint, epoch: int, weights: Mapping[str, Tensor]) -> None:
        parts = self._parts
        custom = parts.builds_own_network() or parts.recipe.network.is_foreign
        file = WeightsFile(
            trainer=parts.name,
            custom_network=custom,
            network=PLANNED if custom else parts.recipe.network,
            mirror_axes=parts.mirror_axes,
            epoch=epoch,
            weights={name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
        )
        save_weights(self._fold.weights(checkpoint), file)

    def begin_record(self, seed: int, state: TrainingState, command: Sequence[str], *, continued: bool) -> None:
        """Write down what is trained on, with which program and where.

        Args:
            continued: Whether the training goes on, so that the processes before are still of it.
        """
        parts, split = self._parts, self._data.split
        conditions = conditions_of(parts, seed)
        del conditions["split"]  # the record holds its cases
        record = RunRecord(
            **conditions,
            epochs=parts.epochs,
            epochs_asked=parts.settings.epochs is not None,
            learning_rate=parts.settings.learning_rate,
            recipe=self._recipe,
            training=split.training,
            validation=split.validation,
            sessions=(
                Session(
                    command=tuple(command),
                    started=now(),
                    epoch=state.epoch,
                    iteration=state.iteration,
                    versions=installed_versions(),
                    device=device_name(parts.device),
                    precision=parts.precision.name,
                    deterministic=parts.settings.deterministic,
                    threads=torch.get_num_threads(),
                    interpolation=parts.interpolation,
                    augmentation="device" if parts.varies_on_device else "workers",
                ),
            ),
        )
        begin_run(self._fold, record, continued=continued)


def fold_lock(fold: FoldFolder) -> AbstractContextManager[None]:
    """One process at a time works on a fold; two would overwrite each other's checkpoints."""
    return hold_lock(fold.lock, f"{fold.folder}: training or validation of this fold")


def own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Leave the random numbers of whoever calls as they were."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def model_of(parts: Parts, file: WeightsFile, checkpoint: Checkpoint) -> TrainedModel:
    """The fold's network with some of its weights, as prediction takes it.

    Raises:
        ModelError: The weights are of another network.
    """
    fold = parts.data.folder
    return TrainedModel(
        plans=parts.plans,
        configuration=parts.plan.name,
        networks=(fill_network(parts.new_network(), file, fold.weights(checkpoint)),),
        mirror_axes=file.mirror_axes,
        folds=(fold.fold,),
        checkpoint=checkpoint,
        trainer=file.trainer,
    )


def _judged(content: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The weights of a checkpoint that predict: their average, where there is one."""
    if content["average"] is None:
        return content["network"]  # type: ignore[no-any-return]
    kept = {name: tensor for name, tensor in content["average"].items() if name.startswith(AVERAGED)}
    return {name.removeprefix(AVERAGED): tensor for name, tensor in kept.items()}


def _require_memory(parts: Parts, state: TrainingState) -> None:
    """On a CPU, where whatever takes too much is killed without a word."""
    if parts.device.type == "cpu":
        dtype = torch.float32 if parts.precision.name == "fp32" else torch.bfloat16
        sample = (parts.in_channels, *parts.plan.sampling.patch_size)
        require_memory(state.network, sample, parts.batch_size, dtype)


def tell_pace(parts: Parts) -> None:
    """Where a short training starts otherwise than a long one."""
    if parts.pace != (parts.initial_learning_rate, parts.momentum):
        log.info(
            "%s few: learning rate %.3g and momentum %.3g, where a long training has %g and %g",
            counted(parts.bounds.batches, "batch in all is", "batches in all are"),
            *parts.pace,
            parts.initial_learning_rate,
            parts.momentum,
        )


def _length(parts: Parts, state: TrainingState) -> Length:
    return Length(
        epochs=parts.epochs,
        done=state.epoch,
        training=parts.iterations_per_epoch,
        validation=parts.validation_batches,
        device=parts.device.type,
    )


def _place(state: TrainingState) -> str:
    return f"epoch {state.epoch + 1} after {counted(state.iteration, 'batch', 'batches')}"
