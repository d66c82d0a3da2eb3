"""What is trained and how: numbers and parts, each of which a recipe of your own may replace.

Source of every number here, where no other is named: Isensee et al. 2021, "Fixed parameters".
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from autoseg import networks
from autoseg.dataset import Target
from autoseg.dataset.splits import Split
from autoseg.files.layout import FoldFolder
from autoseg.networks.activations import Activation, activation_of
from autoseg.networks.devices import resolve_device
from autoseg.networks.precision import Precision, resolve_precision
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation import (
    Augmentation,
    AugmentationRecipe,
    Transform,
    build_augmentation,
    build_validation_augmentation,
)
from autoseg.training.losses import CrossEntropy, DiceLoss, Sum
from autoseg.training.previous_augmentation import build_previous_augmentation
from autoseg.training.previous_stage import PreviousStage
from autoseg.training.schedule import Pace, fit_to_length, poly_learning_rate
from autoseg.training.settings import TrainingSettings

VALIDATION_SHARE = 5
"""Validation batches of an epoch: one for every so many training batches."""


class Recipe:
    """The settings and parts of a training, without the training itself.

    Args:
        cases: The prepared cases of the configuration.
        output: The fold's folder; its parent is the model's.
        references: Label files as they were, `<case>.nii.gz`, for the scores of the final validation.
        previous: For a cascade, what the configuration before it predicted for every case.
        settings: The user's; they win over the class's attributes.
        device: "cpu", "cuda" or "mps"; None takes the best there is.
    """

    epochs = 1000
    iterations_per_epoch = 250
    initial_learning_rate = 1e-2
    momentum = 0.99
    """Of a long training; `pace` is what a short one starts with."""
    nesterov = True
    weight_decay = 3e-5
    gradient_clip = 12.0
    foreground_fraction = 0.33
    """Of each batch must hold foreground."""
    mirror = True
    """Mirror along all axes, in training and prediction."""
    augmentation = AugmentationRecipe()

    def __init__(
        self,
        *,
        plans: Plans,
        configuration: str,
        cases: PreparedCases,
        split: Split,
        output: Path,
        references: Path,
        previous: PreviousStage | None = None,
        settings: TrainingSettings | None = None,
        device: str | None = None,
    ) -> None:
        self.plans = plans
        self.plan = plans.configuration(configuration)
        self.cases = cases
        self.split = split
        self.output = output
        self.fold = FoldFolder(folder=output)
        self.references = references
        self.previous = previous
        self.settings = settings or TrainingSettings()
        self.device_name = device
        self.epochs = self.settings.epochs or self.epochs
        self.iterations_per_epoch = self.settings.iterations_per_epoch or self.iterations_per_epoch
        self.initial_learning_rate = self.settings.learning_rate or self.initial_learning_rate
        self.batch_size = self.settings.batch_size or self.plan.batch_size

    # ------------------------------------------------------ what a recipe of your own replaces

    @classmethod
    def build_network(cls, plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
        """The network; prediction calls this too. Logits, or with deep supervision a list of them, finest first."""
        return networks.build_network(plan, in_channels, classes)

    def build_loss(self) -> nn.Module:
        """A loss of logits `(B, C, *space)` and labels `(B, *space)`; the trainer applies it at every resolution."""
        return Sum(
            DiceLoss(per_batch=self.plan.batch_dice, activation=self.output_activation),
            CrossEntropy(activation=self.output_activation),
        )

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser; its learning rate is set before every step."""
        return torch.optim.SGD(
            network.parameters(),
            lr=self.pace.learning_rate,
            momentum=self.pace.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=self.device.type in ("cpu", "cuda") or None,
        )

    def build_augmentation(self) -> Augmentation:
        """What happens to training patches."""
        return build_augmentation(
            self.augmentation,
            patch_size=self.plan.sampling.patch_size,
            dummy_2d=self.plan.sampling.in_plane,
            mirror_axes=self.mirror_axes,
            masked_channels=self.masked_channels,
        )

    def build_previous_augmentation(self) -> tuple[Transform, ...]:
        """What happens, last, to the previous stage's labels in training patches of a cascade."""
        return build_previous_augmentation(self.augmentation)

    def build_validation_augmentation(self) -> Augmentation:
        """What happens to validation patches."""
        return build_validation_augmentation()

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of an epoch, from 0."""
        return poly_learning_rate(epoch, self.epochs, self.pace.learning_rate)

    # --------------------------------------------------------------------- what follows from it

    @cached_property
    def target(self) -> Target:
        """What is predicted."""
        return self.plans.target

    @cached_property
    def output_activation(self) -> Activation:
        """What the network's scores say of it; the losses and counts of a batch ask it."""
        return activation_of(self.target)

    @cached_property
    def pace(self) -> Pace:
        """Learning rate and momentum at the start, fitted to the length of the training unless you chose.

        A learning rate of the user's and an optimiser of the recipe's own are left as they are.
        """
        own = Pace(self.initial_learning_rate, self.momentum)
        if self.settings.learning_rate is not None or type(self).build_optimizer is not Recipe.build_optimizer:
            return own
        return fit_to_length(own, self.epochs * self.iterations_per_epoch)

    @cached_property
    def device(self) -> torch.device:
        """Where the network computes."""
        return resolve_device(self.device_name)

    @cached_property
    def precision(self) -> Precision:
        """In which format the network computes."""
        return resolve_precision(self.settings.precision, self.device)

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
        return max(1, self.iterations_per_epoch // VALIDATION_SHARE)
