"""The formats that are read, each listed once, and which of them a name tells."""

from __future__ import annotations

from pathlib import Path

from autoseg.files.storage import content_hash, file_hash
from autoseg.images.format import Format
from autoseg.images.formats.dicom import DICOM
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.images.formats.hdf5 import HDF5
from autoseg.images.formats.metaimage import DETACHED_METAIMAGE, METAIMAGE
from autoseg.images.formats.mgh import MGH
from autoseg.images.formats.nifti import NIFTI, PAIR
from autoseg.images.formats.nrrd import DETACHED_NRRD, NRRD
from autoseg.images.formats.pictures import BMP, JPEG, PNG
from autoseg.images.formats.tiff import TIFF
from autoseg.images.refusals import refusal

FORMATS = (NIFTI, NRRD, METAIMAGE, PNG, TIFF, HDF5, JPEG, BMP, PAIR, MGH, DETACHED_NRRD, DETACHED_METAIMAGE)
IMAGE_ENDINGS = tuple(ending for kind in FORMATS for ending in kind.endings)
EXAMPLES = ".nrrd, .mha, .png, .tif or .h5"
"""Other endings than .nii.gz, for messages."""

WRITTEN_ENDINGS = tuple(ending for kind in FORMATS if kind.write for ending in kind.endings)


def split_ending(name: str) -> tuple[str, str]:
    """Split a file name into stem and image ending; the ending is empty where the name is no image's."""
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""


def holds_channels(name: str) -> bool:
    """Whether a file of this name may hold all channels of a case, as the colours of a picture."""
    kind = _format_of_name(name)
    return kind is not None and kind.holds_channels


def is_copied(path: Path) -> bool:
    """Whether an image is brought elsewhere byte by byte; where its voxels lie in other files, it is written as one."""
    kind = _format_of_file(path)
    return kind is None or kind.holds_channels or kind.write is not None


def written_ending(name: str) -> str:
    """The ending of what is predicted of an image of this name."""
    kind = _format_of_name(name)
    return NIFTI.written_as if kind is None else kind.written_as


def written_format(name: str) -> Format | None:
    """In which format a file of this name is written; None where none is."""
    kind = _format_of_name(name)
    return kind if kind is not None and kind.write is not None else None


def files_of(path: Path) -> tuple[Path, ...]:
    """An image's file, and those beside it that are read with it."""
    kind = _format_of_file(path)
    return (path,) if kind is None else (path, *kind.beside(path))


def image_hash(path: Path) -> str:
    """A short hash of all bytes that an image is read from.

    Raises:
        StorageError: A file cannot be read.
    """
    first, *others = files_of(path)
    return content_hash([file_hash(first), *map(file_hash, others)]) if others else file_hash(first)


def format_of(path: Path) -> Format:
    """The format that a file's name tells.

    Raises:
        DatasetError: None is told, or the name is no text, which no record of the file could hold.
    """
    found = _format_of_file(path)
    if found is None and path.name.lower().removesuffix(".gz").endswith(".img"):
        raise refusal(path, "holds the voxels of a header/image pair", "name its header, the file .hdr")
    if found is None:
        raise refusal(path, "is no image by its name", "convert it to .nii.gz, or correct the ending of its name")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise refusal(path, "the name holds bytes that are no text", "rename it") from error
    return found


def _format_of_file(path: Path) -> Format | None:
    """By its name; DICOM files are known by how they begin, whatever they are called."""
    return _format_of_name(path.name) or (DICOM if is_dicom(path) else None)


def _format_of_name(name: str) -> Format | None:
    return next((kind for kind in FORMATS if name.lower().endswith(kind.endings)), None)
