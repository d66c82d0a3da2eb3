"""The training itself: one loop over all batches, that can stop after any of them and go on as if it had not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.errors import Interrupted, TrainingError
from autoseg.evaluation.summary import Summary
from autoseg.files.locking import hold_lock
from autoseg.files.storage import encode
from autoseg.inference.model import Checkpoint, TrainedModel, WeightsFile, fill_network, load_weights, save_weights
from autoseg.inference.predictor import Predictor
from autoseg.networks.build import PLANNED
from autoseg.networks.describe import write_architecture
from autoseg.training.assembly import Assembly
from autoseg.training.compilation import against_compiling, circumstances, compile_in_place
from autoseg.training.determinism import deterministic_algorithms
from autoseg.training.fold.checkpoint import load_checkpoint, recipe_changes, require_same, save_checkpoint
from autoseg.training.fold.debug import write_debug
from autoseg.training.fold.display import Display, training_log
from autoseg.training.fold.folder import require_model_plans, require_untrained, write_model_plans
from autoseg.training.fold.history import next_record
from autoseg.training.fold.replacing import keep_new, recover, replacing
from autoseg.training.fold.run_record import RunRecord, begin_run, finish_run, present_session, require_same_recipe
from autoseg.training.fold.writing import Writer
from autoseg.training.losses import DeepSupervision
from autoseg.training.memory import require_memory
from autoseg.training.micro_batches import memory_explained
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.state import FiniteLosses, NotFiniteError, TrainingState, set_learning_rate, step_seed
from autoseg.training.time_needed import BatchTimer, Length, tell
from autoseg.training.validation import validate_fold
from autoseg.words import counted

log = logging.getLogger(__name__)

CAUTION = 0.1
"""What learning rates are multiplied by after a loss that is not finite: the step by which one usually varies them, and
as far below the rate at which a loss explodes as the range test keeps (`learning_rate_finder.SAFETY`)."""


def never() -> bool:
    """Do not stop."""
    return False


class Trainer(Assembly):
    """Trains one fold of one configuration, and validates it; see `Parts` for its arguments."""

    # ------------------------------------------------------------------------------- training

    def run(
        self,
        *,
        resume: bool = False,
        overwrite: bool = False,
        should_stop: Callable[[], bool] = never,
        command: Sequence[str] = (),
    ) -> None:
        """Train the remaining epochs; afterwards the fold's folder holds the final and the best weights.

        Args:
            resume: Continue from the fold's checkpoint; where there is none, start anew.
            overwrite: Discard what the fold's folder holds, once the new training has saved its state.
            should_stop: Asked after every batch; once it says yes the state is saved and Interrupted raised.
            command: The words of the command line, for the record of the run.

        Raises:
            TrainingError: A checkpoint is there but neither `resume` nor `overwrite`; or the checkpoint is of another
                plan, data, split or seed; or a sample cannot be made, a worker died, the GPU's memory ran out, a loss
                is not finite, twice; or a cascade without what the previous stage predicted.
            WorkspaceError: Another process trains or validates this fold.
            Interrupted: Stopped by `should_stop`; `resume` goes on with the very next batch.
            PlanError: The network does not take the plan's patch.
        """
        self._require_fitting_network()
        with self._locked():
            recover(self.fold)
            with replacing(self.fold) if overwrite and not resume else nullcontext():
                self._run(resume, should_stop, command)
                keep_new(self.fold)

    def _run(self, resume: bool, should_stop: Callable[[], bool], command: Sequence[str]) -> None:
        with (
            training_log(self.fold.log),
            torch.random.fork_rng(self._cuda_devices()),
            deterministic_algorithms(self.settings.deterministic),
            memory_explained(self.device),
        ):
            seed, state = self._start(resume)
            if state.epoch >= self.epochs:
                log.info("%s trained already, nothing is left to train", counted(state.epoch, "epoch"))
            else:
                self._require_memory(state)
                self._begin_record(seed, state, command)
                self._tell_pace()
                state = self._train(seed, state, should_stop)
            weights = state.network.state_dict()
            self._save_weights("final", state.epoch, weights)
            finish_run(self.fold, weights)

    def _train(self, seed: int, state: TrainingState, should_stop: Callable[[], bool]) -> TrainingState:
        """Train to the end, more cautiously from the last checkpoint on where a loss is not finite; the final state."""
        try:
            self._train_on(seed, state, should_stop)
            return state
        except NotFiniteError as fault:
            state = self._more_cautious(seed, state, fault)
        return self._train(seed, state, should_stop)

    def _more_cautious(self, seed: int, state: TrainingState, fault: NotFiniteError) -> TrainingState:
        """The state of the last checkpoint, or a new one where there is none, and caution; saved before it is used."""
        if state.caution < 1:
            raise TrainingError(
                f"{fault}. The learning rate was lowered once before for such a loss; look at these images, or continue "
                "from the last checkpoint (-c) with a lower --learning_rate or --precision fp32"
            ) from fault
        path = self.fold.checkpoint
        state = self._restored(seed, load_checkpoint(path) if path.is_file() else None)
        state.caution = CAUTION
        self._save_checkpoint(self._content(seed, state))
        log.warning(
            "%s. Going back to %s, with every learning rate times %g from now on", fault, _place(state), CAUTION
        )
        return state

    def _train_on(self, seed: int, state: TrainingState, should_stop: Callable[[], bool]) -> None:
        loss_function = DeepSupervision(self.build_loss()).to(self.device)
        self._compile(state, loss_function)
        finite = FiniteLosses(self.device)
        batches_per_epoch = self.iterations_per_epoch + self.validation_batches
        display = Display(
            self.fold,
            labels=[self.target.outputs[number] for number in self.target.scored],
            epochs=self.epochs,
            batches=batches_per_epoch,
        )
        timer = BatchTimer()
        saved = time.monotonic()
        batches, waiting = self._batches(seed, state)
        with Writer(self.device) as writer, closing(display), closing(batches):
            for batch in waiting.watch(batches):
                torch.manual_seed(step_seed(seed, *batch.key))
                set_learning_rate(state.optimizer, self._rate(state))
                step = self.training_step if batch.key.stream == TRAINING else self.validation_step
                loss = step(state, batch, loss_function)
                finite.add(batch, loss)
                state.iteration += 1
                display.batch_done(state.iteration, loss, state.records)
                if (seconds := timer.batch_done(batch.key, loss)) is not None:
                    tell(self._length(state), seconds)

                done = state.iteration == batches_per_epoch
                stop = should_stop()
                if done or stop or time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                    finite.require()
                    is_best = done and self._finish_epoch(state, display, waiting.share())
                    writer.write(self._content(seed, state), partial(self._save_progress, is_best=is_best))
                    saved = time.monotonic()
                if stop:
                    writer.wait()
                    raise Interrupted(
                        f"{self.output}: stopped after {counted(state.epoch, 'epoch')} and "
                        f"{counted(state.iteration, 'batch', 'batches')}; the state is saved, continue with -c"
                    )

    def _require_memory(self, state: TrainingState) -> None:
        """On a CPU, where whatever takes too much is killed without a word."""
        if self.device.type == "cpu":
            dtype = torch.float32 if self.precision.name == "fp32" else torch.bfloat16
            require_memory(state.network, (self._in_channels, *self.plan.sampling.patch_size), self.batch_size, dtype)

    def _compile(self, state: TrainingState, loss_function: nn.Module) -> None:
        """Network and loss, where enough batches are to come to make up for the time it takes."""
        against = against_compiling(
            circumstances(
                state.network,
                self.device,
                wanted=self.settings.compile,
                deterministic=self.settings.deterministic,
                batches=(self.epochs - state.epoch) * self.iterations_per_epoch,
            )
        )
        if against is None:
            log.info("torch.compile: the first batches take a minute or two (--no_compile does without)")
            compile_in_place(state.network, loss_function)
        elif self.device.type == "cuda":
            log.info("without torch.compile: %s", against)

    def _length(self, state: TrainingState) -> Length:
        return Length(
            epochs=self.epochs,
            done=state.epoch,
            training=self.iterations_per_epoch,
            validation=self.validation_batches,
            device=self.device.type,
        )

    def _rate(self, state: TrainingState) -> float:
        return float(self.learning_rate(state.epoch)) * state.caution

    def _finish_epoch(self, state: TrainingState, display: Display, waited: float) -> bool:
        """Whether it is the best so far.

        Everything of the epoch is written before the checkpoint, so that no interruption can lose a part of it.
        """
        record = next_record(
            state.records,
            learning_rate=self._rate(state),
            loss=state.sums.loss.item() / self.iterations_per_epoch,
            validation_loss=state.sums.validation_loss.item() / self.validation_batches,
            dice_per_class=state.sums.dice_per_class(),
            seconds=state.elapsed,
            waited=waited,
        )
        state.records.append(record)
        state.begin_epoch()
        display.epoch_done(state.records)
        return record.best

    # ----------------------------------------------------------------------------- validation

    def validate(self, *, checkpoint: Checkpoint = "final", save_probabilities: bool = False) -> Summary:
        """Predict the split's validation cases as `autoseg_predict` does, and score them.

        Args:
            checkpoint: Which weights; those of "best" go into a folder of their own.
            save_probabilities: Also keep the class probabilities, `<case>.npz`.

        Returns:
            The scores, also in the folder's `summary.json`.

        Raises:
            ModelError: There are no such weights, or they are of another network.
            TrainingError: They were trained with other plans.
            WorkspaceError: Another process trains or validates this fold.
            CasesFailed: Naming the cases that failed; the others are finished.
        """
        path = self.fold.weights(checkpoint)
        if self.output.is_dir() and not path.is_file():
            with self._locked():
                recover(self.fold)
        file = load_weights(path)
        require_model_plans(self.plans, self.plan.name, self.fold)
        with (
            self._locked(),
            training_log(self.fold.log),
            deterministic_algorithms(self.settings.deterministic),
        ):
            gathered = self._gather_previous(self.split.validation)
            predictor = Predictor(
                self._model(file, path, checkpoint), device=self.device, precision=self.precision.name
            )
            return validate_fold(
                predictor,
                self.cases,
                self.split.validation,
                folder=self.fold.validation(checkpoint),
                references=self.references,
                previous=gathered.maps,
                probabilities=save_probabilities,
            )

    def _model(self, file: WeightsFile, path: Path, checkpoint: Checkpoint) -> TrainedModel:
        return TrainedModel(
            plans=self.plans,
            configuration=self.plan.name,
            networks=(fill_network(self._network(), file, path),),
            mirror_axes=file.mirror_axes,
            folds=(self.fold.fold,),
            checkpoint=checkpoint,
            trainer=file.trainer,
        )

    # ----------------------------------------------------------------- what a run is made of

    def _start(self, resume: bool) -> tuple[int, TrainingState]:
        """The seed and the state to go on from: a new one, or the checkpoint's."""
        path = self.fold.checkpoint
        if not resume:
            require_untrained(self.fold)
        if resume and not path.is_file():
            log.info("%s: nothing was trained here yet, starting anew", self.output)
        content = load_checkpoint(path) if path.is_file() else None
        seed = self._seed(content)
        if content is not None:
            others = recipe_changes(path, content, self._recipe_record)
            require_same(path, content, self._conditions(seed), others=others)
        state = self._restored(seed, content)
        if content is not None and state.epoch < self.epochs:
            log.info("continuing in %s", _place(state))
        self._describe(state.network)
        return seed, state

    def _content(self, seed: int, state: TrainingState) -> dict[str, Any]:
        """Of a checkpoint."""
        recipe = {"epochs": self.epochs, "recipe": encode(self._recipe_record)}
        return self._conditions(seed) | recipe | state.to_checkpoint()

    def _save_progress(self, content: Mapping[str, Any], *, is_best: bool) -> None:
        """In a thread of its own, while the training goes on."""
        if is_best:
            self._save_weights("best", content["epoch"], content["network"])
        self._save_checkpoint(content)
        keep_new(self.fold)

    def _save_checkpoint(self, content: Mapping[str, Any]) -> None:
        save_checkpoint(self.fold.checkpoint, content)

    def _save_weights(self, checkpoint: Checkpoint, epoch: int, weights: Mapping[str, Tensor]) -> None:
        custom = self.builds_own_network() or self.recipe.network.is_foreign
        file = WeightsFile(
            trainer=self.name,
            custom_network=custom,
            network=PLANNED if custom else self.recipe.network,
            mirror_axes=self.mirror_axes,
            epoch=epoch,
            weights={name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
        )
        save_weights(self.fold.weights(checkpoint), file)

    def _tell_pace(self) -> None:
        if self.pace != (self.initial_learning_rate, self.momentum):
            log.info(
                "%s few: learning rate %.3g and momentum %.3g, where a long training has %g and %g",
                counted(self.epochs * self.iterations_per_epoch, "batch in all is", "batches in all are"),
                *self.pace,
                self.initial_learning_rate,
                self.momentum,
            )

    def _describe(self, network: nn.Module) -> None:
        """Write down, before the first batch, what is trained and how."""
        require_same_recipe(self.fold, self.name, self._recipe_record)
        write_model_plans(self.plans, self.plan.name, self.fold)
        write_architecture(self.fold, network, self.plan, self._in_channels)
        write_debug(self.fold, self, network)

    def _begin_record(self, seed: int, state: TrainingState, command: Sequence[str]) -> None:
        conditions = self._conditions(seed)
        del conditions["split"]  # the record holds its cases
        record = RunRecord(
            **conditions,
            epochs=self.epochs,
            learning_rate=self.settings.learning_rate,
            recipe=self._recipe_record,
            training=self.split.training,
            validation=self.split.validation,
            sessions=(
                present_session(
                    command,
                    epoch=state.epoch,
                    iteration=state.iteration,
                    device=self.device,
                    precision=self.precision.name,
                    deterministic=self.settings.deterministic,
                    interpolation=self.augmentation.order,
                    augmentation="device" if self.varies_on_device else "workers",
                ),
            ),
        )
        begin_run(self.fold, record, continued=self.fold.checkpoint.is_file())

    def _locked(self) -> AbstractContextManager[None]:
        """One process at a time works on a fold; two would overwrite each other's checkpoints."""
        return hold_lock(self.fold.lock, f"{self.output}: training or validation of this fold")

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []


def _place(state: TrainingState) -> str:
    return f"epoch {state.epoch + 1} after {counted(state.iteration, 'batch', 'batches')}"
