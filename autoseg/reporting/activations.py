"""Pictures of what a layer of a trained model makes of a case, and of what the model predicts beside the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Array
from autoseg.dataset import Case, read_dataset
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.files.storage import atomic_path
from autoseg.images import AS_FILES_SAY
from autoseg.inference.model import input_channels
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import PredictionRun, PredictionSettings
from autoseg.outputs import others_files, require_apart
from autoseg.paths import Workspace
from autoseg.prediction.choice import ChosenModel
from autoseg.prediction.run import predict_with_model
from autoseg.reporting.drawing import FILL_OPACITY, TALLEST, WINDOW_PERCENTILES, colour_at, draw_names, grey_window
from autoseg.reporting.overlays import DOTS_PER_INCH, SOFTWARE, Shown, is_picture, plot_cases
from autoseg.reporting.watched_layer import SeenTile, WatchedLayer, layers_with_maps, require_layer
from autoseg.words import first_few, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 1.9
FEWEST_COLUMNS = 3
COLOUR_MAP = "viridis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at.

    Attributes:
        case: Name of a training case.
        layer: As `named_modules` names it; None for the last before the scores.
        channels: How many of the layer's, from its first on.
    """

    case: str
    layer: str | None = None
    channels: int = 16


def plot_activations(
    model: ChosenModel, look: Look, output: Path, workspace: Workspace, settings: PredictionSettings
) -> list[Path]:
    """Predict a training case, and draw the maps of one layer and what was predicted beside the truth.

    The maps are those of the tile, and of its slice, in which the network finds most.

    Args:
        model: Of one fold.
        output: Folder of `<case>_<layer>.png` and `<case>.png`.
        settings: How it is predicted, whatever they say of mirroring and of the engine; with `overwrite` pictures that
            autoseg did not draw are replaced.

    Returns:
        The paths of the two.

    Raises:
        WorkspaceError: The task has no such training case, or the folder holds a task's own data.
        ModelError: The network has no such layer, or it gives no maps.
        CasesFailed: The case cannot be predicted or drawn.
    """
    require_apart([output], {})
    trained = model.trained
    task = workspace.task(trained.plans.dataset)
    dataset = read_dataset(task.raw)
    case = _find_case(dataset.training, look.case, task.name)
    network, plans = trained.networks[0].to(Predictor(trained, settings).device), trained.plans
    sample = (input_channels(plans, trained.configuration), *trained.plan.sampling.patch_size)
    known, last = layers_with_maps(network, sample)
    layer = look.layer or last
    require_layer(network, layer, known)
    watched = WatchedLayer(network, layer, trained.target)
    with TemporaryDirectory(prefix="autoseg-") as scratch:
        unseen = replace(case, segmentation=None, drawn=(), annotated=None, reading=plans.reading or AS_FILES_SAY)
        run = PredictionRun(
            cases=[unseen],
            outputs={case.identifier: Path(scratch) / f"{case.identifier}.nii.gz"},
            settings=replace(settings, mirror=False, engine="torch"),
        )
        if failures := predict_with_model(model, run, workspace):
            raise CasesFailed("predicting", failures, 1)
        shown = Shown(target=dataset.target, predictions=Path(scratch))
        drawn = plot_cases([case], output, shown, overwrite=settings.overwrite, workers=1)
    picture = output / f"{case.identifier}_{layer}.png"
    if watched.seen is None or (not settings.overwrite and others_files([picture], is_picture)):
        return drawn
    title = f"{case.identifier}: {layer}, {' x '.join(map(str, known[layer]))}\n{model.key.name}"
    figure = draw_maps(watched.seen, title, channels=look.channels, aspect=_aspect(trained.plan.grid.spacing))
    draw_names(figure, [trained.target.labels[number] for number in trained.target.scored])
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png", metadata={"Software": SOFTWARE})
    return [picture, *drawn]


def draw_maps(seen: SeenTile, title: str, *, channels: int, aspect: float = 1.0) -> Figure:
    """The tile with what was found outlined, the mean of all channels, and the first of them, each in colours of its own.

    Args:
        aspect: Height of a pixel of the image by its width.
    """
    from matplotlib.figure import Figure

    first = seen.maps[:channels]
    columns = max(FEWEST_COLUMNS, math.ceil(math.sqrt(len(first) + 2)))
    lines = math.ceil((len(first) + 2) / columns)
    height, width = seen.image.shape
    tall = max(1 / TALLEST, min(TALLEST, aspect * height / width))
    figure = Figure(figsize=(columns * PANEL_INCHES, lines * (PANEL_INCHES * tall + 0.2) + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    place: dict[str, Any] = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "aspect": aspect}
    _draw_image(panels[0], seen, place)
    named = {"mean": seen.maps.mean(axis=0)} | {f"channel {number}": one for number, one in enumerate(first)}
    for panel, (name, values) in zip(panels[1:], named.items(), strict=False):
        low, high = np.percentile(values, WINDOW_PERCENTILES)
        panel.imshow(values, cmap=COLOUR_MAP, vmin=low, vmax=high, interpolation="nearest", **place)
        panel.set_title(f"{name}: {low:.2g} to {high:.2g}", fontsize=7)
    figure.suptitle(title, fontsize=9)
    return figure


def _draw_image(panel: Axes, seen: SeenTile, place: dict[str, Any]) -> None:
    from matplotlib.colors import to_rgba

    low, high = grey_window(seen.image)
    panel.imshow(seen.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", **place)
    panel.set_title("image, and what is found", fontsize=7)
    for number, share in enumerate(seen.found):
        colour = colour_at(number)
        fill = np.zeros((*share.shape, 4))
        fill[...] = to_rgba(colour)
        fill[..., 3] = FILL_OPACITY * share
        panel.imshow(fill, interpolation="nearest", **place)
        inside: Array = share > THRESHOLD
        if min(inside.shape) > 1 and inside.any() and not inside.all():
            panel.contour(share, levels=[THRESHOLD], colors=colour, linewidths=1.0)


def _find_case(cases: Sequence[Case], name: str, task: str) -> Case:
    found = {case.identifier: case for case in cases}
    if name not in found:
        raise WorkspaceError(
            f"{task}: no training case is called {name!a}{nearest(name, found)}; there are {first_few([*found])}"
        )
    return found[name]


def _aspect(spacing: Sequence[float]) -> float:
    return spacing[-2] / spacing[-1]
