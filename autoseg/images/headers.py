"""The header of an image file of any format we read, understood and checked without opening it in an image library."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from autoseg.images.formats import nifti
from autoseg.images.formats.nifti import NiftiHeader
from autoseg.images.formats.text_headers import TextHeader, read_text_header

ImageHeader: TypeAlias = NiftiHeader | TextHeader

TEXT_ENDINGS = (".nrrd", ".mha")


def read_header(path: Path) -> ImageHeader:
    """Read and check the header of an image of one 3D volume; its name tells the format.

    Raises:
        DatasetError: Anything but a 3D volume of plain numbers, or a header that contradicts itself or the file.
    """
    return read_text_header(path) if path.name.lower().endswith(TEXT_ENDINGS) else nifti.read_header(path)
