"""Trainers that the field uses besides the default: each is the default but for a few lines.

What each is for stands in documentation/variants.md. A class has a results folder of its own, so variants never mix;
where only the length or the first learning rate differs, --epochs and --learning_rate do the same without one.
"""

from __future__ import annotations

import torch
from torch import nn

from autoseg.networks.batch_norm import with_batch_norm
from autoseg.plans import ConfigurationPlan
from autoseg.training.augmentation import Augmentation, AugmentationRecipe, Transform
from autoseg.training.losses import CrossEntropy, DiceLoss, FocalLoss, Sum, TopKLoss
from autoseg.training.strong_augmentation import DA3, DA5, build_da3, build_da5
from autoseg.training.trainer import Trainer

WORST_PERCENT = 10.0
"""Of the voxels count in the Top-K losses (reference system)."""

FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.5
"""Lin et al. 2017 for the exponent; foreground and background weigh the same (reference system)."""

# ------------------------------------------------------------------------------------- length


class Trainer5Epochs(Trainer):
    """To see that everything runs."""

    epochs = 5


class Trainer20Epochs(Trainer):
    """For quick experiments."""

    epochs = 20


class Trainer50Epochs(Trainer):
    """Enough where structures are large and alike."""

    epochs = 50


class Trainer100Epochs(Trainer):
    """A tenth of the default."""

    epochs = 100


class Trainer250Epochs(Trainer):
    """A quarter of the default."""

    epochs = 250


class Trainer500Epochs(Trainer):
    """Half of the default."""

    epochs = 500


class Trainer2000Epochs(Trainer):
    """For data on which the default is still improving when it ends."""

    epochs = 2000


class Trainer4000Epochs(Trainer):
    """For very large datasets."""

    epochs = 4000


# ------------------------------------------------------------------------------- augmentation


class TrainerNoMirroring(Trainer):
    """Left and right stay what they are, in training and in prediction."""

    mirror = False


class TrainerNoAugmentation(Trainer):
    """Patches as they are, not even mirrored."""

    mirror = False

    def build_augmentation(self) -> Augmentation:
        """As for validation."""
        return self.build_validation_augmentation()

    def build_previous_augmentation(self) -> tuple[Transform, ...]:
        """Nothing."""
        return ()


class TrainerLinearInterpolation(Trainer):
    """Images are rotated and scaled linearly, which is several times faster than by cubic splines."""

    augmentation = AugmentationRecipe(order=1)


class TrainerDA3(Trainer):
    """Wider ranges, elastic deformation and additive brightness."""

    augmentation = DA3

    def build_augmentation(self) -> Augmentation:
        """What happens to training patches."""
        return build_da3(
            self.augmentation,
            patch_size=self.plan.sampling.patch_size,
            dummy_2d=self.plan.sampling.in_plane,
            mirror_axes=self.mirror_axes,
            masked_channels=self.masked_channels,
        )


class TrainerDA5(Trainer):
    """Right angles, filters, blank rectangles and local effects."""

    augmentation = DA5

    def build_augmentation(self) -> Augmentation:
        """What happens to training patches."""
        return build_da5(
            self.augmentation,
            patch_size=self.plan.sampling.patch_size,
            dummy_2d=self.plan.sampling.in_plane,
            mirror_axes=self.mirror_axes,
            masked_channels=self.masked_channels,
        )


# --------------------------------------------------------------------------------------- loss


class TrainerCrossEntropy(Trainer):
    """Cross-entropy alone."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return CrossEntropy(activation=self.output_activation)


class TrainerDice(Trainer):
    """Soft Dice alone."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return DiceLoss(per_batch=self.plan.batch_dice, activation=self.output_activation)


class TrainerNoSmoothing(Trainer):
    """Dice without the smoothing that rewards an empty answer where a label is absent."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return Sum(
            DiceLoss(per_batch=self.plan.batch_dice, smooth=0.0, activation=self.output_activation),
            CrossEntropy(activation=self.output_activation),
        )


class TrainerTopK10(Trainer):
    """Cross-entropy of the worst tenth of the voxels."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return TopKLoss(percent=WORST_PERCENT, activation=self.output_activation)


class TrainerDiceTopK10(Trainer):
    """Dice and the cross-entropy of the worst tenth of the voxels."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return Sum(
            DiceLoss(per_batch=self.plan.batch_dice, activation=self.output_activation),
            TopKLoss(percent=WORST_PERCENT, activation=self.output_activation),
        )


class TrainerFocal(Trainer):
    """Focal loss alone."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return FocalLoss(gamma=FOCAL_GAMMA, alpha=FOCAL_ALPHA, activation=self.output_activation)


class TrainerDiceFocal(Trainer):
    """Dice and focal loss."""

    def build_loss(self) -> nn.Module:
        """A loss of logits and labels."""
        return Sum(
            DiceLoss(per_batch=self.plan.batch_dice, activation=self.output_activation),
            FocalLoss(gamma=FOCAL_GAMMA, alpha=FOCAL_ALPHA, activation=self.output_activation),
        )


# ------------------------------------------------------------------------ optimiser, network


class TrainerAdam(Trainer):
    """Adam with the greatest second moment seen (Reddi et al. 2018); rate of the reference system's first generation."""

    initial_learning_rate = 3e-4

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser; its learning rate is set before every step."""
        return torch.optim.Adam(
            network.parameters(), lr=self.initial_learning_rate, weight_decay=self.weight_decay, amsgrad=True
        )


class TrainerAdamW(Trainer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); rate of MedNeXt (Roy et al. 2023)."""

    initial_learning_rate = 1e-3

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser; its learning rate is set before every step."""
        return torch.optim.AdamW(network.parameters(), lr=self.initial_learning_rate, weight_decay=self.weight_decay)


class TrainerBatchNorm(Trainer):
    """Batch normalisation in place of instance normalisation."""

    @classmethod
    def build_network(cls, plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
        """The plan's network, its normalisations exchanged."""
        return with_batch_norm(super().build_network(plan, in_channels, classes))
