"""A recipe: what is trained and how, in numbers and names.

Source of every number here, where no other is named: Isensee et al. 2021, "Fixed parameters".
"""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.catalogue import Part
from autoseg.errors import TrainingError
from autoseg.networks.build import PLANNED
from autoseg.training.augmentation.named import AUGMENTATIONS
from autoseg.training.ending import STOPPINGS
from autoseg.training.losses import LOSSES
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.sampling.slices import ALL_SLICES
from autoseg.training.sampling.turns import TaskOrder
from autoseg.training.schedule import SCHEDULES

COUNTS = ("epochs", "iterations_per_epoch", "validate_every", "max_iterations", "validation_batches", "batch_size")
MOST_HOURS = 10_000
"""More than a year."""

LARGEST_WEIGHT = 1e6
"""Of a loss; what is beyond is a slip, whose sum no number holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a training is made of besides plan, data and machine.

    Attributes:
        epochs: How many are trained.
        iterations_per_epoch: Training batches of an epoch.
        validate_every: Training batches after which is validated, which are then an epoch; null takes `iterations_per_epoch`.
        max_iterations: Training batches after which the training ends, if it has not ended before.
        max_hours: Hours after which the training ends, validation of its epochs included; the schedule is fitted to them.
        validation_batches: Validation batches of an epoch; null takes a fifth of the training batches.
        batch_size: Patches in a batch; null takes the plan's.
        learning_rate: Of the first epoch.
        network: What is trained.
        loss: What is made small, a part or a list of parts that are added up; applied at every resolution.
        loss_weights: What each loss is multiplied by before they are added up; null takes them as they are.
        optimiser: How a step follows from the gradients.
        schedule: How the learning rate follows from the epoch.
        stopping: Whether the training ends early, where it brings nothing better.
        augmentation: How training patches are varied, a part or a list of steps.
        batch_steps: What is done to whole training batches, in this order: samples mixed, borders of labels made soft.
        tasks: Those that are trained at once, by number or name, with one encoder; empty: the one that is asked for alone.
        task_order: "turns": a batch of each in its turn; "sizes": of each as often as it has cases.
        foreground_fraction: Share of each batch that must hold foreground.
        foreground_by_recall: Whether that share of training batches follows the recall of the validation two epochs before.
        balance: What comes equally often in training: "labels", or the values of a column of metadata.tsv; null: each case.
        slices: Which slices of cases 2d configurations draw patches from.
        mirror: Whether patches are mirrored along all axes, in training and in prediction.
        frequency_bias: Whether the answers begin at the frequencies that labels have in the cases that train.
        frozen: Share of the network's layers, from the input on, that stay as the weights have them which it starts from.
        fresh: Whether the others start anew, and not from those weights.
        weight_average: Share of the average of the weights so far in the next one, which validates and predicts; null: no average.
        gradient_clip: Greatest norm of the gradients; larger ones are made shorter.
        deep_supervision: Whether the coarser resolutions of the decoder learn too, where the network has such outputs.
    """

    epochs: int
    iterations_per_epoch: int
    validate_every: int | None = None
    max_iterations: int | None = None
    max_hours: float | None = None
    validation_batches: int | None
    batch_size: int | None
    learning_rate: float
    network: Part
    loss: tuple[Part, ...]
    loss_weights: tuple[float, ...] | None = None
    optimiser: Part
    schedule: Part
    stopping: Part
    augmentation: Part
    batch_steps: tuple[Part, ...] = ()
    tasks: tuple[str, ...] = ()
    task_order: TaskOrder = "turns"
    foreground_fraction: float
    foreground_by_recall: bool = False
    balance: str | None = None
    slices: Part = ALL_SLICES
    mirror: bool
    frequency_bias: bool = False
    frozen: float = 0.0
    fresh: bool = False
    weight_average: float | None = None
    gradient_clip: float
    deep_supervision: bool

    def __post_init__(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name}: at least 1, found {value}")
        if self.max_hours is not None and not 0 < self.max_hours < MOST_HOURS:
            raise TrainingError(f"max_hours: above 0 and below {MOST_HOURS}, found {self.max_hours}")
        if not 0 <= self.frozen < 1:
            raise TrainingError(f"frozen: from 0 to below 1, as something must learn, found {self.frozen}")
        if self.weight_average is not None and not 0 < self.weight_average < 1:
            raise TrainingError(f"weight_average: between 0 and 1, usually 0.99 to 0.9999, found {self.weight_average}")
        if not 0 < self.learning_rate < 10:
            raise TrainingError(f"learning_rate: between 0 and 10, found {self.learning_rate}; the usual value is 0.01")
        if not 0 <= self.foreground_fraction <= 1:
            raise TrainingError(f"foreground_fraction: from 0 to 1, found {self.foreground_fraction}")
        if not self.gradient_clip > 0:
            raise TrainingError(f"gradient_clip: above 0, found {self.gradient_clip}")
        if len(self.tasks) == 1 or len(set(self.tasks)) < len(self.tasks):
            raise TrainingError(f"tasks: two or more, each once, found {', '.join(self.tasks)}")
        if not self.loss:
            raise TrainingError("loss: at least one, found none")
        if self.loss_weights is not None:
            if len(self.loss_weights) != len(self.loss):
                raise TrainingError(
                    f"loss_weights: one for each loss, {len(self.loss)}, found {len(self.loss_weights)}"
                )
            if any(not 0 < weight < LARGEST_WEIGHT for weight in self.loss_weights):
                raise TrainingError(f"loss_weights: above 0 and below {LARGEST_WEIGHT:g}, found {self.loss_weights}")
        momentum = self.optimiser.settings.get("momentum", 0.0)
        if isinstance(momentum, (int, float)) and not 0 <= momentum < 1:
            raise TrainingError(f"optimiser.momentum: from 0 to below 1, found {momentum}")

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part that is named."""
        steps = self.augmentation.settings.get("steps", ())
        named = (self.network, *self.loss, self.optimiser, self.schedule, self.stopping, self.slices, self.augmentation)
        return (*named, *steps, *self.batch_steps)


DEFAULT = Recipe(
    epochs=1000,
    iterations_per_epoch=250,
    validation_batches=None,
    batch_size=None,
    learning_rate=1e-2,
    network=PLANNED,
    loss=(LOSSES.part("dice"), LOSSES.part("cross_entropy")),
    optimiser=OPTIMISERS.part("SGD"),
    schedule=SCHEDULES.part("poly"),
    stopping=STOPPINGS.part("never"),
    augmentation=AUGMENTATIONS.part("default"),
    foreground_fraction=0.33,
    mirror=True,
    gradient_clip=12.0,
    deep_supervision=True,
)
