"""What each step of an augmentation does to real patches, drawn before and after it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autoseg.arrays import Array, Mask
from autoseg.errors import WorkspaceError
from autoseg.files.storage import atomic_path
from autoseg.reporting.drawing import colour_at, draw_names, grey_window
from autoseg.training.augmentation.default import Augmentation, RandomMirroring, Transform
from autoseg.training.augmentation.variations import Always
from autoseg.training.fold.patch_film import fullest
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patch:
    """A training patch.

    Attributes:
        image: `(*patch)`, its first channel.
        there: `(outputs, *patch)`, of the scored outputs.
    """

    case: str
    image: Array
    there: Mask

    def slice(self, place: int) -> _Patch:
        """One of a volume."""
        return replace(self, image=self.image[place], there=self.there[:, place])


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
    figure = Figure(figsize=(2 * samples * PANEL_INCHES, len(steps) * PANEL_INCHES + 0.9), layout="constrained")
    grid = figure.subplots(len(steps), 2 * samples, squeeze=False)
    last = parts.build_augmentation().transforms[-1:]
    for sample in range(samples):
        before = _patch(parts, Augmentation(transforms=last), sample, seed)
        window = grey_window(before.image)
        place = fullest(before.there) if before.image.ndim == len("zyx") else None
        for row, (name, step) in enumerate(steps.items()):
            after = _patch(parts, replace(step, transforms=(*step.transforms, *last)), sample, seed)
            for panel, patch in zip(grid[row, 2 * sample :], (before, after), strict=False):
                _draw(panel, patch if place is None else patch.slice(place), window)
            if not sample:
                grid[row, 0].set_ylabel(name, fontsize=7)
        grid[0, 2 * sample].set_title(f"{before.case}: before", fontsize=7)
        grid[0, 2 * sample + 1].set_title("after", fontsize=7)
    channel = f", of {channels[0]}" if len(channels := parts.plans.channels) > 1 else ""
    figure.suptitle(f"{parts.name}: each step alone, wherever it is drawn{channel}", fontsize=9)
    draw_names(figure, [parts.target.labels[number] for number in parts.target.scored])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata={"Software": "autoseg"})
    return tuple(steps)


def named_steps(augmentation: Augmentation) -> dict[str, Augmentation]:
    """Each step that draws something as an augmentation of its own, in which it is sure to happen, by its name."""
    steps: dict[str, Augmentation] = {}
    names: list[str] = []
    if (spatial := augmentation.spatial) is not None:
        certain = replace(spatial, rotation_probability=CERTAIN, scale_probability=CERTAIN)
        steps["rotation, scale"] = Augmentation(spatial=certain)
    for number, transform in enumerate(augmentation.transforms):
        if isinstance(transform, Always) or not _draws(transform):
            continue
        window = augmentation.window if number == 0 else None
        name = _name(transform)
        name = f"{name}, inverted" if getattr(transform, "is_inverted", False) else name
        names.append(name)
        steps[name if (times := names.count(name)) == 1 else f"{name} ({times})"] = Augmentation(
            transforms=(_certain(transform),), window=window
        )
    return steps


def _name(transform: Any) -> str:
    """`low resolution` for `SimulateLowResolutionTransform`; of one of several their names."""
    if several := getattr(transform, "list_of_transforms", ()):
        return " or ".join(dict.fromkeys(map(_name, several)))
    name = re.sub(r"^(Random|Simulate)|(Augmentation)?(Transform)?(_\d+)?$", "", type(transform).__name__)
    return re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", name).lower()


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


def _patch(parts: Parts, augmentation: Augmentation, sample: int, seed: int) -> _Patch:
    """One that holds foreground: its first channel, and where each output is."""
    import torch

    cases, dimensions = parts.split.training, parts.plan.dimensions
    case = cases[sample % len(cases)]
    generator = sample_generator(seed, TRAINING, 0, sample)
    slot = Slot(number=0, batch_size=1, foreground=CERTAIN)
    region = regions_of(parts).draw(parts.cases.load(case), slot, generator)
    made = make_sample(region, augmentation=augmentation, generator=generator)
    labels = parts.output_activation.learned(torch.from_numpy(made.labels[None]), dimensions=dimensions)
    nothing = torch.zeros(1, len(parts.target.outputs), *made.data.shape[1:])
    maps = parts.output_activation.found_and_there(nothing, labels)
    return _Patch(case=case, image=made.data[0], there=np.stack([there[0].numpy() for _, there in maps]))


def _draw(panel: Axes, patch: _Patch, window: tuple[float, float]) -> None:
    panel.imshow(patch.image, cmap="gray", vmin=window[0], vmax=window[1], interpolation="nearest")
    for number, inside in enumerate(patch.there):
        if inside.any() and not inside.all() and min(inside.shape) >= FEWEST_VOXELS:
            panel.contour(inside, levels=[0.5], colors=[colour_at(number)], linewidths=0.8)
    panel.set_xticks([])
    panel.set_yticks([])
