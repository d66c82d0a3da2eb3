"""Learning from what is known: nothing from voxels that nobody labelled, and of outputs that nobody drew in a case.

There, scores and labels are made to agree for certain, so that they add nothing to any overlap and no gradient comes
back. A loss that is a mean over voxels counts those that are known.
"""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks.activations import Activation
from autoseg.training.losses import Sum


class LeaveOut(nn.Module):
    """A loss of what is known alone.

    Args:
        always: Whether labels may say that nobody knows; else only outputs that were not drawn are left out.
    """

    def __init__(self, loss: nn.Module, activation: Activation, *, always: bool) -> None:
        super().__init__()
        self.loss = loss
        self.activation = activation
        self.always = always

    def forward(self, logits: Tensor, labels: Tensor, drawn: Tensor | None = None) -> Tensor:
        """As of the loss itself.

        Args:
            drawn: `(B, outputs)`, which outputs were drawn in each case at all; None where all were.
        """
        if drawn is None and not self.always:
            found: Tensor = self.loss(logits, labels)
            return found
        logits, labels, known = self.activation.left_out(logits, labels, drawn)
        found = self.loss(logits, labels)
        if not getattr(self.loss, "is_mean_of_voxels", False):
            return found
        share = known.float().mean()
        return found / share.clamp(min=1 / known.numel())


def leaving_out(loss: nn.Module, activation: Activation, *, always: bool) -> nn.Module:
    """The same loss of what is known; of a sum each part."""
    if isinstance(loss, Sum):
        parts = [LeaveOut(part, activation, always=always) for part in loss.losses]
        return Sum(*parts, weights=loss.weights)
    return LeaveOut(loss, activation, always=always)
