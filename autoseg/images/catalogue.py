"""The formats that are read, each listed once, and which of them a name tells."""

from __future__ import annotations

from pathlib import Path

from autoseg.images.format import Format
from autoseg.images.formats.metaimage import METAIMAGE
from autoseg.images.formats.nifti import NIFTI
from autoseg.images.formats.nrrd import NRRD
from autoseg.images.refusals import refusal

FORMATS = (NIFTI, NRRD, METAIMAGE)
IMAGE_ENDINGS = tuple(ending for kind in FORMATS for ending in kind.endings)
WRITTEN_ENDINGS = tuple(ending for kind in FORMATS if kind.encode_header for ending in kind.endings)


def split_ending(name: str) -> tuple[str, str]:
    """Split a file name into stem and image ending; the ending is empty where the name is no image's."""
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""


def format_of(path: Path) -> Format:
    """The format that a file's name tells.

    Raises:
        DatasetError: None is told, or the name is no text, which no record of the file could hold.
    """
    name = path.name.lower()
    if name.removesuffix(".gz").endswith((".hdr", ".img")):
        raise refusal(path, "is half of a header/image pair", "save the pair as one .nii.gz file")
    found = next((kind for kind in FORMATS if name.endswith(kind.endings)), None)
    if found is None:
        raise refusal(path, "is not a NIfTI image by its name", "convert it, or rename it, to .nii.gz or .nii")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise refusal(path, "the name holds bytes that are no text", "rename it") from error
    return found
