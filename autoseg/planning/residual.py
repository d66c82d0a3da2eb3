"""Planners of the residual-encoder U-Net in three sizes: the same rules, weighed by what that network computes.

Source: Isensee et al. 2024, "nnU-Net Revisited" (arXiv 2404.09556). Its presets drop the cap of the batch at 5 % of the
dataset; it is kept here, because small datasets otherwise train 5 to 15 times longer for a lower Dice
(documentation/variants.md).
"""

from __future__ import annotations

import math

from autoseg.planning.memory import count_residual_activations
from autoseg.planning.planner import Planner
from autoseg.planning.planner_2d import Planner2D
from autoseg.planning.planner_3d import Planner3D
from autoseg.planning.topology import PatchTopology


class ResidualEncoder(Planner):
    """What changes with the network: its blocks, and the unit in which memory is counted."""

    network = "residual_unet"
    convs_per_stage = 1
    """Of the decoder (Isensee et al. 2024)."""
    blocks_of_finest_levels = (1, 3, 4, 6)
    blocks_of_other_levels = 6
    """Residual blocks of the encoder (Isensee et al. 2024)."""

    def blocks_per_stage(self, levels: int) -> tuple[int, ...]:
        """1, 3, 4, then 6 on each level."""
        others = (self.blocks_of_other_levels,) * levels
        return (self.blocks_of_finest_levels + others)[:levels]

    def memory_needed(self, topology: PatchTopology, *, features: int | None = None) -> int:
        """Elements in the outputs of all convolutions for one sample, to be compared with `memory_budget`."""
        return count_residual_activations(
            topology,
            classes=len(self.fingerprint.target.outputs),
            features=self.features if features is None else features,
            max_features=self.max_features,
            blocks_per_stage=self.blocks_per_stage(len(topology.conv_kernel_sizes)),
            convs_per_stage=self.convs_per_stage,
        )


class Planner3DResidualM(ResidualEncoder, Planner3D):
    """3D configurations of the residual-encoder U-Net for a card of 8 GB, for a batch of at least 2."""

    shipped_identifier = "autoseg_ResEncM"
    memory_reference = 680e6
    reference_gpu_memory = 8.0


class Planner3DResidualL(ResidualEncoder, Planner3D):
    """As M, for 24 GB."""

    shipped_identifier = "autoseg_ResEncL"
    memory_reference = 2.1e9
    reference_gpu_memory = 24.0


class Planner3DResidualXL(ResidualEncoder, Planner3D):
    """As M, for 40 GB."""

    shipped_identifier = "autoseg_ResEncXL"
    memory_reference = 3.6e9
    reference_gpu_memory = 40.0


class Planner2DResidualM(ResidualEncoder, Planner2D):
    """2d of the residual-encoder U-Net for a card of 8 GB, for a batch of at least 12."""

    shipped_identifier = "autoseg_ResEncM"
    memory_reference = 135e6
    reference_gpu_memory = 8.0
    reference_batch = 12

    def fitting_batch(self, topology: PatchTopology) -> int:
        """As many samples as the budget holds, at least those of its measurement: the patch was shrunk to them."""
        share = max(self.memory_budget() / self.memory_needed(topology), 1)
        return math.floor(share * self.reference_batch)


class Planner2DResidualL(Planner2DResidualM):
    """As M, for 24 GB."""

    shipped_identifier = "autoseg_ResEncL"
    memory_reference = 380e6
    reference_gpu_memory = 24.0


class Planner2DResidualXL(Planner2DResidualM):
    """As M, for 40 GB."""

    shipped_identifier = "autoseg_ResEncXL"
    memory_reference = 560e6
    reference_gpu_memory = 40.0
