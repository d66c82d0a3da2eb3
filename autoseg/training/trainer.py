"""The trainer: the parts of a training, and what one does with them. Classes of a user's own begin with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from torch import Tensor, nn

from autoseg.evaluation.summary import Summary
from autoseg.inference.model import Checkpoint
from autoseg.training.fold_run import FoldRun
from autoseg.training.parts import Parts
from autoseg.training.sampling.batches import AnyBatch
from autoseg.training.state import TrainingState
from autoseg.training.steps import Steps
from autoseg.words import counted, in_sides


def never_asked() -> bool:
    """Do not stop."""
    return False


class Trainer(Parts):
    """Trains one fold of one configuration, and validates it; see `Parts` for its arguments."""

    runs: type[FoldRun] = FoldRun
    """What holds the fold's folder while it is trained."""

    def training_step(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:
        """Learn from one batch; returns its loss, still on the device, NaN where a gradient spoilt the weights."""
        return self.steps.train(state, batch, loss_function)

    def validation_step(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:
        """Look at one validation batch; returns its loss, still on the device."""
        return self.steps.look(state, batch, loss_function)

    @cached_property
    def steps(self) -> Steps:
        """What both do where a class of your own does nothing else."""
        return Steps(self)

    @cached_property
    def bookkeeping(self) -> FoldRun:
        """Around the steps: the fold's lock, checkpoint, record and display."""
        return self.runs(self, training_step=self.training_step, validation_step=self.validation_step)

    def describe(self) -> str:
        """One line: what is trained, on how much, and where.

        Raises:
            ModelError: The device or the precision is not there.
        """
        training, validation = (counted(len(cases), "case") for cases in (self.split.training, self.split.validation))
        return (
            f"{self.plans.dataset}: {self.plan.name}, {self.name}, fold {self.fold.fold}: {training} to train, "
            f"{validation} to validate; {self.bounds.in_words(self.batch_size)}, "
            f"patch {in_sides(self.plan.sampling.patch_size)}, on {self.device} in {self.precision.name}"
        )

    def run(
        self,
        *,
        resume: bool = False,
        overwrite: bool = False,
        should_stop: Callable[[], bool] = never_asked,
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
        self.bookkeeping.train(resume=resume, overwrite=overwrite, should_stop=should_stop, command=command)

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
        return self.bookkeeping.validate(checkpoint=checkpoint, save_probabilities=save_probabilities)
