"""Overlay pictures: each case cut where most of its labels are, with the labels drawn over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autoseg.dataset import Case, Target, image_files
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.errors import DatasetError
from autoseg.files.storage import atomic_path
from autoseg.machine.pool import run_on_cases
from autoseg.outputs import others_files
from autoseg.reporting.drawing import draw_overlay
from autoseg.reporting.layers import row_of

DOTS_PER_INCH = 110

SOFTWARE = "autoseg"
PNG_HEAD = 4096
"""Bytes, in which a PNG says what wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a picture shows of a case.

    Attributes:
        target: Whose outputs are drawn.
        predictions: Folder of `<case>.nii.gz`, or a file of each mask, drawn in a row of their own.
        channel: Which channel of the image.
    """

    target: Target
    predictions: Path | None = None
    channel: int = 0


def plot_cases(
    cases: Sequence[Case], output: Path, shown: Shown, *, overwrite: bool = False, workers: int
) -> list[Path]:
    """Write `output/<case>.png` for each case and return the paths; pictures that autoseg did not draw are kept.

    Args:
        overwrite: Replace what is there, whatever it is.

    Raises:
        DatasetError: A case has two predictions.
        CasesFailed: Naming each case that cannot be read or drawn; the others are done.
    """
    pictures = [output / f"{case.identifier}.png" for case in cases]
    kept = [] if overwrite else others_files(pictures, is_picture)
    wanted = [case for case, picture in zip(cases, pictures, strict=True) if picture not in kept]
    files = {} if shown.predictions is None else image_files(shown.predictions)
    plot = partial(_plot_case, output=output, shown=shown, files=files)
    return run_on_cases(plot, wanted, task="drawing", workers=workers)


def _plot_case(case: Case, *, output: Path, shown: Shown, files: Mapping[str, Path]) -> Path:
    target = shown.target
    case = replace(case, images=(case.images[shown.channel],))
    raw = read_case(case, target)
    found = {"reference": raw}
    if shown.predictions is not None:
        found["prediction"] = _read_prediction(case, target, shown.predictions, files)
    rows = {name: row for name, read in found.items() if (row := row_of(read, target)) is not None}
    path = output / f"{case.identifier}.png"
    figure = draw_overlay(raw.data[0], rows, geometry=raw.geometry, target=target, title=case.identifier)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata={"Software": SOFTWARE})
    return path


def _read_prediction(case: Case, target: Target, folder: Path, files: Mapping[str, Path]) -> RawCase:
    """The case with what was predicted in place of its labels."""
    wanted = target.files_of(case.identifier)
    if missing := [name for name in wanted if name not in files]:
        raise DatasetError(f"{folder}: no prediction {missing[0]}.nii.gz here; predict this case first")
    drawn = tuple((files[name],) for name in wanted)
    return read_case(replace(case, segmentation=None, drawn=drawn, annotated=None), target)


def is_picture(path: Path) -> bool:
    """Whether a PNG says that autoseg drew it."""
    with path.open("rb") as file:
        return f"tEXtSoftware\0{SOFTWARE}".encode() in file.read(PNG_HEAD)
