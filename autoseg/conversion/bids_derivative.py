"""Predictions as a BIDS derivative: a folder for each subject as in the dataset, and what the numbers in files mean.

Source: the Brain Imaging Data Structure, specification 1.10, "Imaging derivatives": `_dseg` for maps of labels with
`dseg.tsv`, `_label-<name>_mask` for masks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import autoseg
from autoseg.conversion.bids_files import DESCRIPTION_FILE, BidsImage, read_tree
from autoseg.conversion.building import copy_file
from autoseg.dataset import Target, image_files
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.files.storage import write_bytes, write_json
from autoseg.images import split_ending
from autoseg.outputs import require_apart
from autoseg.words import first_few, readable

LABELS_FILE = "dseg.tsv"
BIDS_VERSION = "1.10.0"
MADE_BY = "autoseg"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A prediction and the image it is of.

    Attributes:
        mask: The output that it holds; empty where it holds all labels.
    """

    path: Path
    image: BidsImage
    mask: str


def write_derivative(
    predictions: Path, source: Path, output: Path, target: Target, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Copy predictions into a BIDS derivative; returns the files of segmentations.

    Args:
        predictions: With files named after the images of the dataset, or after what several of one case have in common.
        source: The BIDS dataset.
        output: The derivative's folder, outside of the predictions.
        target: What was predicted.
        overwrite: Whether files that are there may be replaced.

    Raises:
        DatasetError: A prediction is of no image of the dataset.
        WorkspaceError: A file is there already, or `output` is the folder of the predictions or of the dataset.
    """
    require_apart([output], {"the derivative needs a folder of its own": [predictions, source]})
    found = list(_found(predictions, source, target))
    times = Counter((one.image.name.key, one.mask) for one in found)
    placed = {output / _place(one, alone=times[one.image.name.key, one.mask] == 1): one.path for one in found}
    if not overwrite and (there := [path for path in placed if path.exists()]):
        raise WorkspaceError(
            f"{output}: there already: {first_few([path.name for path in there])}; name another folder, or `overwrite` them"
        )
    for path, prediction in placed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_file(prediction, path)
    write_json(output / DESCRIPTION_FILE, _description(source))
    if not target.drawn_apart:
        lines = ["index\tname", *(f"{value}\t{name}" for value, name in enumerate(target.value_names or target.labels))]
        write_bytes(output / LABELS_FILE, "".join(f"{line}\n" for line in lines).encode())
    return tuple(placed)


def _found(predictions: Path, source: Path, target: Target) -> Iterator[_Found]:
    tree = read_tree(source)
    by_name: Mapping[str, BidsImage] = {
        **{image.name.key: image for image in reversed(tree.images)},
        **{image.name.stem: image for image in tree.images},
    }
    files, unknown = image_files(predictions), []
    if not files:
        raise DatasetError(f"{readable(predictions)}: no predictions here; name the folder that autoseg_predict wrote")
    for stem, path in files.items():
        case, mask = _case_and_mask(stem, target)
        if case in by_name:
            yield _Found(path=path, image=by_name[case], mask=mask)
        else:
            unknown.append(path.name)
    if unknown:
        raise DatasetError(
            f"{readable(predictions)}: of no image in {readable(source)}: {first_few(unknown)}; predictions are named after the "
            "dataset's images"
        )


def _case_and_mask(stem: str, target: Target) -> tuple[str, str]:
    if target.drawn_apart:
        for name in sorted(target.outputs, key=len, reverse=True):
            if stem.endswith(f"_{name}"):
                return stem.removesuffix(f"_{name}"), name
    return stem, ""


def _place(found: _Found, *, alone: bool) -> Path:
    """Where a prediction goes; images of one subject that differ in their contrast alone are told apart in `desc`."""
    name, ending = found.image.name, split_ending(found.path.name)[1]
    description = MADE_BY if alone else MADE_BY + _plain(name.contrast)
    what = f"label-{_plain(found.mask)}_mask" if found.mask else "dseg"
    folder = Path(f"sub-{name.entity('sub')}")
    if (session := name.entity("ses")) is not None:
        folder /= f"ses-{session}"
    return folder / found.image.path.parent.name / f"{name.key}_desc-{description}_{what}{ending}"


def _plain(text: str) -> str:
    """Letters and digits, as values in names are."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def _description(source: Path) -> dict[str, object]:
    return {
        "Name": f"Segmentations of {source.resolve().name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": MADE_BY, "Version": autoseg.__version__}],
    }
