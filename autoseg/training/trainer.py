"""The training itself: one loop over all batches, that can stop after any of them and go on as if it had not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from secrets import randbits
from typing import Any

import torch
from torch import nn

from autoseg.errors import Interrupted, TrainingError, counted
from autoseg.evaluation.summary import Summary
from autoseg.inference.model import (
    Checkpoint,
    TrainedModel,
    WeightsFile,
    fill_network,
    input_channels,
    load_weights,
    save_weights,
)
from autoseg.inference.predictor import Predictor
from autoseg.locking import hold_lock
from autoseg.networks.describe import write_architecture
from autoseg.networks.pretrained import transfer_weights
from autoseg.plans import plan_signature
from autoseg.storage import content_hash
from autoseg.training.augmentation import Augmentation
from autoseg.training.checkpoint import load_checkpoint, require_same, save_checkpoint
from autoseg.training.debug import write_debug
from autoseg.training.determinism import DEFAULT_SEED, deterministic_algorithms
from autoseg.training.display import Display, training_log
from autoseg.training.fold import (
    CHECKPOINT_FILE,
    LOCK_FILE,
    LOG_FILE,
    VALIDATION_FOLDERS,
    discard_training,
    require_model_plans,
    weights_file,
    write_model_plans,
)
from autoseg.training.history import next_record
from autoseg.training.loader import (
    Batch,
    Batches,
    Stream,
    choose_workers,
    iterate,
    remaining_keys,
)
from autoseg.training.losses import DeepSupervision
from autoseg.training.previous_stage import Gathered
from autoseg.training.recipe import Recipe
from autoseg.training.run_record import FORMAT, RunRecord, begin_run, finish_run, present_session
from autoseg.training.samples import TRAINING
from autoseg.training.state import EpochSums, FiniteLosses, TrainingState, set_learning_rate, step_seed
from autoseg.training.steps import Steps
from autoseg.training.validation import validate_fold

log = logging.getLogger(__name__)

SEED_BITS = 31


def never() -> bool:
    """Do not stop."""
    return False


class Trainer(Steps):
    """Trains one fold of one configuration, and validates it; see `Recipe` for its arguments."""

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
            overwrite: Discard what the fold's folder holds.
            should_stop: Asked after every batch; once it says yes the state is saved and Interrupted raised.
            command: The words of the command line, for the record of the run.

        Raises:
            TrainingError: A checkpoint is there but neither `resume` nor `overwrite`; or the checkpoint is of another
                plan, data, split or seed; or a sample cannot be made, a worker died, a loss is not finite; or a cascade
                without what the previous stage predicted.
            WorkspaceError: Another process trains or validates this fold.
            Interrupted: Stopped by `should_stop`; `resume` goes on with the very next batch.
        """
        with self._locked():
            if overwrite and not resume:
                discard_training(self.output)
            self._run(resume, should_stop, command)

    def _run(self, resume: bool, should_stop: Callable[[], bool], command: Sequence[str]) -> None:
        with (
            training_log(self.output / LOG_FILE),
            torch.random.fork_rng(self._cuda_devices()),
            deterministic_algorithms(self.settings.deterministic),
        ):
            seed, state = self._start(resume)
            if state.epoch >= self.epochs:
                log.info("%s trained already, nothing is left to train", counted(state.epoch, "epoch"))
            else:
                self._begin_record(seed, state, command)
                self._train(seed, state, should_stop)
            self._save_weights("final", state)
            finish_run(self.output, state.network.state_dict())

    def _train(self, seed: int, state: TrainingState, should_stop: Callable[[], bool]) -> None:
        loss_function = DeepSupervision(self.build_loss()).to(self.device)
        finite = FiniteLosses(self.device)
        batches_per_epoch = self.iterations_per_epoch + self.validation_batches
        display = Display(self.output, labels=self.plans.labels[1:], epochs=self.epochs, batches=batches_per_epoch)
        saved = time.monotonic()
        with closing(display), closing(self._batches(seed, state)) as batches:
            for batch in batches:
                torch.manual_seed(step_seed(seed, *batch.key))
                set_learning_rate(state.optimizer, float(self.learning_rate(state.epoch)))
                step = self.training_step if batch.key.stream == TRAINING else self.validation_step
                loss = step(state, batch, loss_function)
                finite.add(batch, loss)
                state.iteration += 1
                display.batch_done(state.iteration, loss, state.records)

                done = state.iteration == batches_per_epoch
                stop = should_stop()
                if done or stop or time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                    finite.require()
                    if done:
                        self._finish_epoch(state, display)
                    self._save_checkpoint(seed, state)
                    saved = time.monotonic()
                if stop:
                    raise Interrupted(
                        f"{self.output}: stopped after {counted(state.epoch, 'epoch')} and "
                        f"{counted(state.iteration, 'batch', 'batches')}; the state is saved, continue with -c"
                    )

    def _finish_epoch(self, state: TrainingState, display: Display) -> None:
        """Everything of the epoch is written before the checkpoint, so that no interruption can lose a part of it."""
        record = next_record(
            state.records,
            learning_rate=float(self.learning_rate(state.epoch)),
            loss=state.sums.loss.item() / self.iterations_per_epoch,
            validation_loss=state.sums.validation_loss.item() / self.validation_batches,
            dice_per_class=state.sums.dice_per_class(),
            seconds=state.elapsed,
        )
        state.records.append(record)
        state.begin_epoch()
        display.epoch_done(state.records)
        if record.best:
            self._save_weights("best", state)

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
        path = weights_file(self.output, checkpoint)
        file = load_weights(path)
        require_model_plans(self.plans, self.plan.name, self.output)
        with (
            self._locked(),
            training_log(self.output / LOG_FILE),
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
                folder=self.output / VALIDATION_FOLDERS[checkpoint],
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
            folds=(self.output.name.removeprefix("fold_"),),
            checkpoint=checkpoint,
            trainer=file.trainer,
        )

    # ----------------------------------------------------------------- what a run is made of

    def _start(self, resume: bool) -> tuple[int, TrainingState]:
        """The seed and the state to go on from: a new one, or the checkpoint's."""
        path = self.output / CHECKPOINT_FILE
        if path.is_file() and not resume:
            raise TrainingError(
                f"{self.output}: a training lies here already; continue it with -c, or discard it with --overwrite"
            )
        if resume and not path.is_file():
            log.info("%s: nothing was trained here yet, starting anew", self.output)
        content = load_checkpoint(path) if path.is_file() else None
        seed = self._seed(content)
        state = self._new_state(seed)
        if content is not None:
            require_same(path, content, self._conditions(seed))
            state.restore(content)
            if state.epoch < self.epochs:
                log.info(
                    "continuing in epoch %d after %s", state.epoch + 1, counted(state.iteration, "batch", "batches")
                )
        elif self.settings.pretrained_weights is not None:
            self._load_pretrained(state.network, self.settings.pretrained_weights)
        self._describe(state.network)
        return seed, state

    def _seed(self, content: Mapping[str, Any] | None) -> int:
        """The user's, else the checkpoint's, else a new one, or always the same one."""
        if self.settings.seed is not None:
            return self.settings.seed
        if content is not None:
            return int(content["seed"])
        return DEFAULT_SEED if self.settings.deterministic else randbits(SEED_BITS)

    def _new_state(self, seed: int) -> TrainingState:
        torch.manual_seed(step_seed(seed))
        if self.device.type == "cuda" and not self.settings.deterministic:
            torch.backends.cudnn.benchmark = True
        network = self._network().to(self.device, memory_format=self._memory_format)  # type: ignore[call-overload]
        return TrainingState(
            network=network,
            optimizer=self.build_optimizer(network),
            scaler=torch.amp.GradScaler(self.device.type, enabled=self.precision.needs_scaler),
            sums=EpochSums.empty(len(self.plans.labels) - 1, self.device),
        )

    def _network(self) -> nn.Module:
        return self.build_network(self.plan, self._in_channels, len(self.plans.labels))

    @property
    def _in_channels(self) -> int:
        return input_channels(self.plans, self.plan.name)

    @cached_property
    def _previous_stage(self) -> Gathered:
        return self._gather_previous(sorted({*self.split.training, *self.split.validation}))

    def _gather_previous(self, identifiers: Sequence[str]) -> Gathered:
        """For a cascade, bring what the previous stage predicted onto its grid."""
        if self.plan.previous is None:
            return Gathered()
        if self.previous is None:
            raise TrainingError(
                f"{self.plan.name}: learns from what {self.plan.previous} predicted; "
                "give the trainer those predictions (previous=)"
            )
        return self.previous.gather(identifiers, self.cases, classes=len(self.plans.labels))

    def _training_augmentation(self) -> Augmentation:
        augmentation = self.build_augmentation()
        steps = self.build_previous_augmentation() if self.plan.previous else ()
        return replace(augmentation, transforms=(*augmentation.transforms, *steps))

    def _batches(self, seed: int, state: TrainingState) -> Generator[Batch, None, None]:
        batches = Batches(
            store=self.cases,
            streams=(
                Stream(cases=self.split.training, augmentation=self._training_augmentation()),
                Stream(cases=self.split.validation, augmentation=self.build_validation_augmentation()),
            ),
            patch_size=self.plan.patch_size,
            batch_size=self.batch_size,
            strides=self.plan.topology.strides,
            foreground_fraction=self.foreground_fraction,
            seed=seed,
            previous=self._previous_stage.maps,
        )
        keys = remaining_keys(
            epochs=self.epochs,
            training=self.iterations_per_epoch,
            validation=self.validation_batches,
            epoch=state.epoch,
            iteration=state.iteration,
        )
        stored_channels = len(self.plans.channels) + bool(self.plan.previous)
        workers = choose_workers(self.settings.workers, self.device, batches.bytes_of_one(stored_channels))
        log.info("%s, %s, %d workers prepare batches", self.device, self.precision.name, workers)
        return iterate(batches, keys, workers=workers, pin_memory=self.device.type == "cuda")

    def _conditions(self, seed: int) -> dict[str, Any]:
        """What must not change while a training goes on."""
        return {
            "trainer": type(self).__name__,
            "configuration": self.plan.name,
            "seed": seed,
            "batch_size": self.batch_size,
            "iterations_per_epoch": self.iterations_per_epoch,
            "plan": plan_signature(self.plans, self.plan.name),
            "data": self._data_signature,
            "split": content_hash(self.split),
            "previous": self._previous_stage.signature,
        }

    @cached_property
    def _data_signature(self) -> str:
        """Hash of all that the cases of the split were prepared from."""
        cases = sorted({*self.split.training, *self.split.validation})
        return content_hash({case: self.cases.signature(case) for case in cases})

    def _save_checkpoint(self, seed: int, state: TrainingState) -> None:
        content = self._conditions(seed) | {"epochs": self.epochs} | state.to_checkpoint()
        save_checkpoint(self.output / CHECKPOINT_FILE, content)

    def _save_weights(self, checkpoint: Checkpoint, state: TrainingState) -> None:
        custom = type(self).build_network.__func__ is not Recipe.build_network.__func__  # type: ignore[attr-defined]
        file = WeightsFile(
            trainer=type(self).__name__,
            custom_network=custom,
            mirror_axes=self.mirror_axes,
            epoch=state.epoch,
            weights={name: tensor.detach().cpu().contiguous() for name, tensor in state.network.state_dict().items()},
        )
        save_weights(weights_file(self.output, checkpoint), file)

    def _load_pretrained(self, network: nn.Module, path: Path) -> None:
        kept = transfer_weights(network, load_weights(path).weights, source=str(path))
        log.info("started from %s; these start anew: %s", path, ", ".join(kept))

    def _describe(self, network: nn.Module) -> None:
        """Write down, before the first batch, what is trained and how."""
        write_model_plans(self.plans, self.plan.name, self.output)
        write_architecture(self.output, network, self.plan, self._in_channels)
        write_debug(self.output, self, network)

    def _begin_record(self, seed: int, state: TrainingState, command: Sequence[str]) -> None:
        conditions = self._conditions(seed)
        del conditions["split"]  # the record holds its cases
        record = RunRecord(
            format=FORMAT,
            **conditions,
            epochs=self.epochs,
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
                ),
            ),
        )
        begin_run(self.output, record, continued=(self.output / CHECKPOINT_FILE).is_file())

    def _locked(self) -> AbstractContextManager[None]:
        """One process at a time works on a fold; two would overwrite each other's checkpoints."""
        return hold_lock(self.output / LOCK_FILE, f"{self.output}: training or validation of this fold")

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []
