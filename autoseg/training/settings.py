"""What a user may set for one training; None leaves it to the trainer class or the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import TrainingError

CHECKPOINT_MINUTES = 10.0
"""At most so much work is lost when a long epoch is interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of one training; they win over the trainer's class attributes.

    Attributes:
        learning_rate: Of the first epoch.
        seed: Decides the initial weights and every sample; None draws one and records it, or takes 0 if deterministic.
        deterministic: Let torch compute only in ways that give the same in every bit each time, slower on a GPU.
        compile: Let torch compile a long training on CUDA.
        precision: "auto", "fp32", "bf16" or "fp16".
        workers: Processes that prepare batches; 0 prepares them in the training process itself.
        checkpoint_minutes: The state is also saved within an epoch when the last save is so long ago.
        pause_after: Epochs after which the training pauses, to be continued; nothing is validated then.
        trackers: Classes that get the numbers of every epoch, `my_file.py:MyTracker` or `package.module:Tracker`.
        histograms: Whether TensorBoard gets histograms of weights and gradients.
        pretrained_weights: A weights file to start from, as far as it fits; the output heads start anew.
    """

    epochs: int | None = None
    iterations_per_epoch: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int | None = None
    deterministic: bool = False
    compile: bool = True
    precision: str = "auto"
    workers: int | None = None
    checkpoint_minutes: float = CHECKPOINT_MINUTES
    pause_after: int | None = None
    trackers: tuple[str, ...] = ()
    histograms: bool = False
    pretrained_weights: Path | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations_per_epoch", "batch_size", "pause_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name}: at least 1, found {value}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 10:
            raise TrainingError(f"learning_rate: between 0 and 10, found {self.learning_rate}; the usual value is 0.01")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise TrainingError(f"seed: a whole number from 0 to 2^63 - 1, found {self.seed}")
        if not self.checkpoint_minutes >= 0:
            raise TrainingError(f"checkpoint_minutes: 0 or more, found {self.checkpoint_minutes}")
        if self.workers is not None and self.workers < 0:
            raise TrainingError(f"workers: 0 or more, found {self.workers}")
