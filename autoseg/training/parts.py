"""What a recipe's names stand for, built; each part may be replaced by a class of your own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.catalogue import Part
from autoseg.dataset import Target
from autoseg.dataset.folds import Split
from autoseg.files.model_folder import FoldFolder
from autoseg.inference.model import input_channels
from autoseg.networks.activations import Activation, activation_of
from autoseg.networks.build import build_named_network
from autoseg.networks.devices import resolve_device
from autoseg.networks.fitted import require_fitting, without_memory
from autoseg.networks.precision import Precision, resolve_precision
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    Transform,
    build_validation_augmentation,
    suiting_order,
)
from autoseg.training.augmentation.named import AUGMENTATIONS
from autoseg.training.augmentation.previous_stage import build_previous_augmentation
from autoseg.training.augmentation.warping import SplineOrder
from autoseg.training.batch_steps import BatchStep, as_shares, build_batch_steps
from autoseg.training.ending import STOPPINGS, Bounds, Verdict
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.history import EpochRecord
from autoseg.training.fold.run_record import interpolation_before
from autoseg.training.frequency_bias import require_answering_layers
from autoseg.training.losses import LOSSES, DeepSupervision, Sum
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.pace import Pace, fit_to_length
from autoseg.training.recipes.recipe import DEFAULT, Recipe
from autoseg.training.recipes.record import OPTIMISER_NUMBERS
from autoseg.training.sampling.turns import Turns
from autoseg.training.sampling.weights import case_weights
from autoseg.training.schedule import SCHEDULES, Moment
from autoseg.training.settings import TrainingSettings
from autoseg.training.unknown import leaving_out

VALIDATION_SHARE = 5
"""Validation batches of an epoch: one for every so many training batches."""

LEAST_VALUES_ON_DEVICE = 2**20
"""Voxels times channels of a patch. Some 200 operations are launched for a sample, 400 with four channels, which takes
one or two milliseconds of the training process; a dozen workers make one of this size in three (estimated from counts and
times of CPUs)."""

NUMBERS = {
    "epochs": "epochs",
    "iterations_per_epoch": "iterations_per_epoch",
    "initial_learning_rate": "learning_rate",
    "gradient_clip": "gradient_clip",
    "foreground_fraction": "foreground_fraction",
    "mirror": "mirror",
    "deep_supervision": "deep_supervision",
}
"""What a class of your own may set as attributes, and what each is called in a recipe."""


class Parts:
    """The parts of a training, built from its recipe, plan and target; nothing is trained by it.

    Args:
        data: What is trained and scored on.
        settings: The user's; they win over the recipe.
        device: "cpu", "cuda" or "mps"; None takes the best there is.
        recipe: What to train by; None takes the class's.
        name: Of the recipe; None takes the class's.
    """

    recipe = DEFAULT
    """Attributes of a class of your own win over it."""

    epochs = DEFAULT.epochs
    iterations_per_epoch = DEFAULT.iterations_per_epoch
    initial_learning_rate = DEFAULT.learning_rate
    momentum: float = DEFAULT.optimiser.settings["momentum"]
    """Of a long training; `pace` is what a short one starts with."""
    nesterov: bool = DEFAULT.optimiser.settings["nesterov"]
    weight_decay: float = DEFAULT.optimiser.settings["weight_decay"]
    gradient_clip = DEFAULT.gradient_clip
    foreground_fraction = DEFAULT.foreground_fraction
    mirror = DEFAULT.mirror
    deep_supervision = DEFAULT.deep_supervision
    augmentation: AugmentationRecipe = DEFAULT.augmentation.settings["numbers"]

    def __init__(
        self,
        data: FoldData,
        *,
        settings: TrainingSettings | None = None,
        device: str | None = None,
        recipe: Recipe | None = None,
        name: str | None = None,
    ) -> None:
        self.data = data
        self.settings = settings or TrainingSettings()
        self.device_name = device
        self.name = name or type(self).__name__
        self._take(recipe or self.as_recipe())

    @property
    def plans(self) -> Plans:
        """Those of the task that hold the plan."""
        return self.data.plans

    @property
    def plan(self) -> ConfigurationPlan:
        """Of the configuration."""
        return self.data.plan

    @property
    def cases(self) -> PreparedCases:
        """Those that were prepared for the configuration."""
        return self.data.cases

    @property
    def split(self) -> Split:
        """Which cases are trained on, and which validate."""
        return self.data.split

    @property
    def output(self) -> Path:
        """The fold's folder."""
        return self.data.output

    @property
    def fold(self) -> FoldFolder:
        """The fold's folder, by its files."""
        return self.data.folder

    def _take(self, recipe: Recipe) -> None:
        """The numbers of the recipe that hold, which the user's settings win over."""
        self.recipe = recipe
        for name, called in NUMBERS.items():
            setattr(self, name, getattr(recipe, called))
        for name in OPTIMISER_NUMBERS:
            setattr(self, name, recipe.optimiser.settings.get(name, getattr(Parts, name)))
        self.augmentation = recipe.augmentation.settings.get("numbers", Parts.augmentation)
        length = self.settings.iterations_per_epoch or recipe.validate_every or recipe.iterations_per_epoch
        self.iterations_per_epoch = length
        self.epochs = self.settings.epochs or recipe.epochs
        if recipe.max_iterations is not None:
            self.epochs = min(self.epochs, math.ceil(recipe.max_iterations / length))
        self.initial_learning_rate = self.settings.learning_rate or recipe.learning_rate
        self.batch_size = self.settings.batch_size or recipe.batch_size or self.plan.batch_size

    @classmethod
    def as_recipe(cls) -> Recipe:
        """The class's recipe, with what a class of your own sets as attributes."""
        own: dict[str, Any] = {}
        for ancestor in cls.__mro__[: cls.__mro__.index(Parts)]:
            own = dict(vars(ancestor)) | own
        changes = {called: own[name] for name, called in NUMBERS.items() if name in own}
        optimiser = {name: own[name] for name in OPTIMISER_NUMBERS if name in own}
        numbers = {"numbers": own["augmentation"]} if "augmentation" in own else {}
        return replace(
            cls.recipe,
            **changes,
            optimiser=_with_known(cls.recipe.optimiser, optimiser),
            augmentation=_with_known(cls.recipe.augmentation, numbers),
        )

    # ------------------------------------------------------ what a class of your own replaces

    @classmethod
    def build_network(cls, plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
        """The network; prediction calls this too. Logits, or with deep supervision a list of them, finest first."""
        return build_named_network(cls.recipe.network, plan, in_channels, classes)

    def build_loss(self) -> nn.Module:
        """A loss of logits `(B, C, *space)` and labels `(B, *space)`; the trainer applies it at every resolution."""
        losses: list[nn.Module] = [
            LOSSES.build(part, activation=self.output_activation, per_batch=self.plan.batch_dice)
            for part in self.recipe.loss
        ]
        weights = self.recipe.loss_weights
        return losses[0] if len(losses) == 1 and weights is None else Sum(*losses, weights=weights)

    def build_supervision(self) -> nn.Module:
        """The loss of every answer of the network, from what is known of its labels."""
        return DeepSupervision(leaving_out(self.build_loss(), self.output_activation, always=self.has_unknown))

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser; its learning rate is set before every step."""
        part = _with_known(self.recipe.optimiser, {"momentum": self.pace.momentum})
        optimizer: torch.optim.Optimizer = OPTIMISERS.build(
            part, params=network.parameters(), lr=self.pace.learning_rate
        )
        return optimizer

    def build_augmentation(self) -> Augmentation:
        """What happens to training patches."""
        augmentation: Augmentation = AUGMENTATIONS.build(
            _with_known(self.recipe.augmentation, {"numbers": self.settled_augmentation}),
            patch_size=self.plan.sampling.patch_size,
            dummy_2d=self.plan.sampling.in_plane,
            mirror_axes=self.mirror_axes,
            masked_channels=self.masked_channels,
            spline_order=self.interpolation,
        )
        return augmentation

    def build_previous_augmentation(self) -> tuple[Transform, ...]:
        """What happens, last, to the previous stage's labels in training patches of a cascade."""
        varied = {"numbers", "steps"} & self.recipe.augmentation.settings.keys()
        if not varied:
            return ()
        return build_previous_augmentation(self.augmentation, first=self.target.maps, planes=self.target.in_planes)

    def build_validation_augmentation(self) -> Augmentation:
        """What happens to validation patches."""
        return build_validation_augmentation()

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of an epoch, from 0, where nothing but that decides it."""
        return self._scheduled(Moment(epoch=epoch, epochs=self.epochs))

    # --------------------------------------------------------------------- what follows from it

    def rate_at(self, moment: Moment) -> float:
        """The learning rate of a batch: the class's own, or the recipe's."""
        if type(self).learning_rate is not Parts.learning_rate:
            return self.learning_rate(int(moment.epoch))
        return self._scheduled(moment)

    def _scheduled(self, moment: Moment) -> float:
        return float(
            self._schedule(
                epoch=moment.epoch,
                epochs=moment.epochs,
                initial=self.pace.learning_rate,
                share=moment.share,
                records=moment.records,
            )
        )

    @classmethod
    def builds_own_network(cls) -> bool:
        """Whether the class does it, and not the recipe."""
        return cls.build_network.__func__ is not Parts.build_network.__func__  # type: ignore[attr-defined]

    def new_network(self) -> nn.Module:
        """The class's own, or the recipe's, with new weights."""
        build = self.build_network if self.builds_own_network() else partial(build_named_network, self.recipe.network)
        network = build(self.plan, self.in_channels, len(self.target.outputs))
        if not self.deep_supervision and hasattr(network, "deep_supervision"):
            network.deep_supervision = False  # type: ignore[assignment]  # a plain attribute
        return network

    def trained_network(self) -> nn.Module:
        """All that learns: the network, or those of several tasks."""
        return self.new_network()

    def each_task(self, network: nn.Module) -> Sequence[tuple[Parts, nn.Module]]:
        """Of all that learns each task's parts, and the network that predicts it alone."""
        return [(self, network)]

    @property
    def together(self) -> Sequence[Parts]:
        """The parts of every task that is trained at once."""
        return (self,)

    @property
    def turns(self) -> Turns:
        """Which training batch is of which task."""
        return Turns(sizes=tuple(len(one.split.training) for one in self.together), order=self.recipe.task_order)

    def require_fitting_parts(self) -> None:
        """Try network, losses and weights before anything is written; the user's own code need not run on what it is tried with.

        Raises:
            PlanError: The network does not take the plan's patch.
            TrainingError: A loss has settings that do not fit the outputs, or cases have no weights to be drawn by.
        """
        _ = self.case_weights
        part, outputs = self.recipe.network, len(self.target.outputs)
        if not self.builds_own_network() and part.own_file is None:
            batch = (self.batch_size, self.in_channels, *self.plan.sampling.patch_size)
            require_fitting(self.new_network, part.name, batch, outputs)
            if self.recipe.frequency_bias:
                sample = torch.empty(1, *batch[1:], device="meta")
                require_answering_layers(without_memory(self.new_network), sample, outputs)
        if type(self).build_loss is Parts.build_loss and not any(loss.is_foreign for loss in self.recipe.loss):
            space, planes = (2,) * self.plan.dimensions, (len(self.target.scored),) * self.target.in_planes
            drawn = torch.zeros((1, *planes, *space), dtype=torch.int16)
            labels = self.output_activation.learned(drawn, dimensions=self.plan.dimensions)
            if self.batch_steps:
                labels = as_shares(self.output_activation, labels, outputs)
            self.build_loss()(torch.zeros(1, outputs, *space), labels)

    @property
    def in_channels(self) -> int:
        """What the network sees of a voxel."""
        return input_channels(self.plans, self.plan.name)

    def training_augmentation(self) -> Augmentation:
        """What happens to training patches, those of a cascade's second input included."""
        augmentation = self.build_augmentation()
        steps = self.build_previous_augmentation() if self.plan.previous else ()
        return replace(augmentation, transforms=(*augmentation.transforms, *steps))

    @cached_property
    def varies_on_device(self) -> bool:
        """Whether training patches are varied by the device that trains; else the workers do all of it.

        A cascade's are not: what the previous stage found is varied by its connected components.
        """
        values = len(self.plans.channels) * math.prod(self.plan.sampling.patch_size)
        is_worth_it = not self.target.in_planes and self.device.type == "cuda" and values >= LEAST_VALUES_ON_DEVICE
        return is_worth_it and self.training_augmentation().has_device_form

    @cached_property
    def batch_steps(self) -> tuple[BatchStep, ...]:
        """What is done to whole training batches."""
        return build_batch_steps(self.recipe.batch_steps, self.output_activation)

    @cached_property
    def bounds(self) -> Bounds:
        """What the training may take."""
        return Bounds(
            epochs=self.epochs,
            iterations_per_epoch=self.iterations_per_epoch,
            validation_batches=self.validation_batches,
            max_iterations=self.recipe.max_iterations,
            max_hours=self.recipe.max_hours,
        )

    def verdict(self, records: Sequence[EpochRecord]) -> Verdict:
        """What the epochs so far say of the next one."""
        verdict: Verdict = self._stopping(records=records)
        return verdict

    @cached_property
    def _stopping(self) -> Callable[..., Verdict]:
        return STOPPINGS.ready(self.recipe.stopping)

    @cached_property
    def _schedule(self) -> Callable[..., float]:
        return SCHEDULES.ready(self.recipe.schedule)

    @cached_property
    def target(self) -> Target:
        """What is predicted."""
        return self.plans.target

    @cached_property
    def case_weights(self) -> tuple[float, ...]:
        """How often each case that trains is drawn, relative to the others; empty where all are drawn alike."""
        return case_weights(self.cases, self.split.training, self.recipe.balance)

    @property
    def has_unknown(self) -> bool:
        """Whether labels may say that nobody knows."""
        return self.target.ignore is not None or self.target.drawn_apart

    @cached_property
    def output_activation(self) -> Activation:
        """What the network's scores say of it; the losses and counts of a batch ask it."""
        return activation_of(self.target)

    @cached_property
    def pace(self) -> Pace:
        """Learning rate and momentum at the start, fitted to the length of the training unless you chose.

        A learning rate of the user's and an optimiser of your own are left as they are.
        """
        return self.pace_of(self.bounds.batches)

    def pace_of(self, steps: float) -> Pace:
        """The pace of a training of so many steps."""
        own = Pace(self.initial_learning_rate, self.momentum)
        is_own = type(self).build_optimizer is not Parts.build_optimizer
        if self.settings.learning_rate is not None or is_own or not self.recipe.optimiser.settings.get("fit_to_length"):
            return own
        return fit_to_length(own, max(1, math.ceil(steps)))

    @cached_property
    def device(self) -> torch.device:
        """Where the network computes."""
        return resolve_device(self.device_name)

    @cached_property
    def precision(self) -> Precision:
        """In which format the network computes."""
        return resolve_precision(self.settings.precision, self.device)

    @cached_property
    def interpolation(self) -> SplineOrder:
        """Order of the spline for training patches: the recipe's, else that of the model's folds so far, else the device's."""
        if self.augmentation.order is not None:
            return self.augmentation.order
        before = interpolation_before(self.fold)
        return suiting_order(self.device.type) if before is None else before

    @property
    def settled_augmentation(self) -> AugmentationRecipe:
        """Its numbers, with nothing left to the device."""
        return replace(self.augmentation, order=self.interpolation)

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes of the patch that are mirrored."""
        return tuple(range(len(self.plan.sampling.patch_size))) if self.mirror else ()

    @property
    def masked_channels(self) -> tuple[int, ...]:
        """Channels that were normalised inside the mask and stay 0 outside of it."""
        return tuple(channel for channel, rule in enumerate(self.plan.intensities) if rule.masked)

    @property
    def validation_batches(self) -> int:
        """In each epoch."""
        return self.recipe.validation_batches or max(1, self.iterations_per_epoch // VALIDATION_SHARE)


def _with_known(part: Part, settings: Mapping[str, Any]) -> Part:
    """A part with other values of those settings that it has."""
    return replace(part, settings={name: settings.get(name, value) for name, value in part.settings.items()})
