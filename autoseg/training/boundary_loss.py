"""The boundary loss: what is found far from the border of what is there, on its wrong side.

Source: Kervadec et al. 2019, "Boundary loss for highly unbalanced segmentation" (arXiv 1812.07032).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn

from autoseg.arrays import Float32Array, Mask
from autoseg.networks.activations import SOFTMAX, Scoring


class Boundary(nn.Module):
    """Mean of probabilities times the distance from the border of what is there, inside of it below zero.

    Beside another loss, with a small weight; alone, it is content with nothing found.

    Distances are in voxels, and 0 where an output is absent.
    """

    def __init__(self, *, activation: Scoring = SOFTMAX) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        found = self.activation.probabilities(logits)
        there = self.activation.encode(labels, torch.zeros_like(found))[:, self.activation.scored]
        return torch.mul(found[:, self.activation.scored], signed_distances(there)).mean()


def signed_distances(maps: Tensor) -> Tensor:
    """Of maps `(B, C, *space)` of shares, where at least a half counts as there."""
    inside = (maps >= 0.5).cpu().numpy()
    distances = np.stack([np.stack([_signed(output) for output in sample]) for sample in inside])
    return torch.from_numpy(distances).to(maps)


def _signed(inside: Mask) -> Float32Array:
    """Outside the distance to the nearest voxel inside; inside minus that to the nearest outside, from 0 at the border."""
    if not inside.any():
        return np.zeros(inside.shape, dtype=np.float32)
    outer = distance_transform_edt(~inside)
    inner = distance_transform_edt(inside) if not inside.all() else np.ones(inside.shape)
    return np.where(inside, 1 - inner, outer).astype(np.float32)
