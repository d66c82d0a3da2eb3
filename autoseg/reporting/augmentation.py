"""What each step of an augmentation does to real patches, drawn before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autoseg.arrays import Array
from autoseg.dataset.coding import BACKGROUND
from autoseg.errors import WorkspaceError
from autoseg.files.storage import atomic_path
from autoseg.reporting.drawing import COLOURS, grey_window
from autoseg.training.augmentation.default import Augmentation, RandomMirroring, Transform
from autoseg.training.augmentation.variations import Always
from autoseg.training.parts import Parts
from autoseg.training.sampling.regions import Slot
from autoseg.training.sampling.samples import TRAINING, make_sample, sample_generator
from autoseg.training.sampling.source import regions_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES = 1.7
DOTS_PER_INCH = 110
CERTAIN = 1.0
FEWEST_VOXELS = 4
"""Of a side of the patch that is worth drawing."""


def plot_augmentation(parts: Parts, path: Path, *, samples: int = 3, seed: int = 0) -> tuple[str, ...]:
    """Draw, for each step, some training patches before it and after it alone, as if it were drawn each time.

    Args:
        parts: Of a training, whose augmentation, cases and patch they are.
        path: Of the picture, a PNG.
        samples: How many patches, each of another case where there are so many.

    Returns:
        The names of the steps, in the order in which a training does them.

    Raises:
        WorkspaceError: The recipe varies nothing.
    """
    from matplotlib.figure import Figure

    steps = named_steps(parts.build_augmentation())
    if not steps:
        raise WorkspaceError(f"{parts.name}: its recipe varies nothing, so there is nothing to draw")
    figure = Figure(figsize=(2 * samples * PANEL_INCHES, len(steps) * PANEL_INCHES + 0.6), layout="constrained")
    grid = figure.subplots(len(steps), 2 * samples, squeeze=False)
    last = parts.build_augmentation().transforms[-1:]
    for sample in range(samples):
        before = _patch(parts, Augmentation(transforms=last), sample, seed)
        window = grey_window(before[0])
        for row, (name, step) in enumerate(steps.items()):
            after = _patch(parts, replace(step, transforms=(*step.transforms, *last)), sample, seed)
            for column, (image, labels) in enumerate((before, after)):
                panel = grid[row, 2 * sample + column]
                _draw(panel, image, labels, window)
                panel.set_title(
                    (f"{name}: " if not sample and not column else "") + ("before", "after")[column], fontsize=7
                )
    figure.suptitle(f"{parts.name}: each step alone, wherever it is drawn", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata={"Software": "autoseg"})
    return tuple(steps)


def named_steps(augmentation: Augmentation) -> dict[str, Augmentation]:
    """Each step that draws something as an augmentation of its own, in which it is sure to happen, by its name."""
    steps: dict[str, Augmentation] = {}
    if (spatial := augmentation.spatial) is not None:
        certain = replace(spatial, rotation_probability=CERTAIN, scale_probability=CERTAIN)
        steps["rotation, scale"] = Augmentation(spatial=certain)
    for number, transform in enumerate(augmentation.transforms):
        if isinstance(transform, Always) or not _draws(transform):
            continue
        window = augmentation.window if number == 0 else None
        name = type(transform).__name__.removeprefix("Random").removesuffix("Transform")
        name = f"{name}, inverted" if getattr(transform, "is_inverted", False) else name
        steps[name if name not in steps else f"{name} ({number})"] = Augmentation(
            transforms=(_certain(transform),), window=window
        )
    return steps


def _draws(transform: Transform) -> bool:
    return isinstance(transform, RandomMirroring) or any(
        "prob" in name or name.startswith("p_") for name in _numbers(transform)
    )


def _numbers(transform: Any) -> Sequence[str]:
    if is_dataclass(transform):
        return [one.name for one in fields(transform)]
    inner = getattr(transform, "list_of_transforms", None)
    return [*vars(transform), *(_numbers(inner[0]) if inner else ())] if hasattr(transform, "__dict__") else []


def _certain(transform: Any) -> Transform:
    """The same step with every probability at 1."""
    if is_dataclass(transform) and not isinstance(transform, type):
        inner = {"transform": _certain(transform.transform)} if hasattr(transform, "transform") else {}
        sure = {one.name: CERTAIN for one in fields(transform) if "probability" in one.name}
        certain: Any = replace(transform, **sure, **inner)
        return cast(Transform, certain)
    from copy import deepcopy

    changed = deepcopy(transform)
    for one in (changed, *getattr(changed, "list_of_transforms", ())):
        for name in vars(one):
            if name.startswith("p_") and isinstance(vars(one)[name], (int, float)):
                setattr(one, name, CERTAIN)
    return cast(Transform, changed)


def _patch(parts: Parts, augmentation: Augmentation, sample: int, seed: int) -> tuple[Array, Array]:
    """A slice of a patch that holds foreground: its first channel, and its labels from 1 on."""
    cases = parts.split.training
    generator = sample_generator(seed, TRAINING, 0, sample)
    slot = Slot(number=0, batch_size=1, foreground=CERTAIN)
    region = regions_of(parts).draw(parts.cases.load(cases[sample % len(cases)]), slot, generator)
    made = make_sample(region, augmentation=augmentation, generator=generator)
    image, labels = made.data[0], made.labels
    if labels.ndim > image.ndim:  # a plane for each output
        numbers = np.arange(1, len(labels) + 1).reshape(-1, *(1,) * image.ndim)
        labels = (numbers * (labels > BACKGROUND)).max(axis=0)
    if image.ndim == len("zyx"):
        middle = image.shape[0] // 2
        image, labels = image[middle], labels[middle]
    return image, labels


def _draw(panel: Axes, image: Array, labels: Array, window: tuple[float, float]) -> None:
    panel.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], interpolation="nearest")
    for value in np.unique(labels[labels > BACKGROUND]):
        inside = labels == value
        if inside.any() and not inside.all() and min(inside.shape) >= FEWEST_VOXELS:
            panel.contour(inside, levels=[0.5], colors=[COLOURS[(int(value) - 1) % len(COLOURS)]], linewidths=0.8)
    panel.set_xticks([])
    panel.set_yticks([])
