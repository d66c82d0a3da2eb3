"""What one step of an augmentation is that a recipe names: its settings, and what it does to a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from autoseg.arrays import Float32Array
from autoseg.catalogue import Settings
from autoseg.errors import TrainingError
from autoseg.training.augmentation.variations import is_drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStep(Settings):
    """A step that is done to some samples.

    Attributes:
        probability: That a sample is changed.
    """

    probability: float = 0.15

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if "probability" in one.name and not 0 <= value <= 1:
                raise TrainingError(f"{one.name}: from 0 to 1, found {value}")
            if isinstance(value, tuple):
                require_range(one.name, value)

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Change `data` `(1, C, *patch)` and `seg` `(1, S, *patch)`, or not; draws from numpy's global generator."""
        return self.changed(sample) if is_drawn(self.probability) else sample

    def changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        """A sample that is changed."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStep(SampleStep):
    """A step that changes intensities only, of some channels.

    Attributes:
        channel_probability: Of such a sample, that a channel is.
    """

    channel_probability: float = 0.5

    def build(self) -> ImageStep:
        """Itself, as it is called with samples."""
        return self

    def changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Each channel for itself."""
        for channel in sample["data"][0]:
            if is_drawn(self.channel_probability):
                channel[...] = self.image(channel)
        return sample

    def image(self, image: Float32Array) -> Float32Array:
        """Another image `(*patch)`."""
        raise NotImplementedError


def require_range(name: str, ends: Sequence[float]) -> None:
    """Refuse ends that stand the wrong way round, or below 0.

    Raises:
        TrainingError: They do.
    """
    if len(ends) != len(("low", "high")) or not 0 <= ends[0] <= ends[1]:
        raise TrainingError(f"{name}: the lowest and the highest value, both from 0 on, found {list(ends)}")
