"""NRRD and MetaImage (.mha) headers, which are text: checked and understood here, so that no library needs to open them.

Their usual readers hand out what is left of a damaged compressed file without a word, and follow a header to whatever
other file it names. Formats: https://teem.sourceforge.net/nrrd/format.html and
https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.forms import STRAIGHT, skew
from autoseg.geometry import SPACING_RANGE
from autoseg.images.formats.nifti import (
    CHANNEL_EACH,
    LARGEST_GZIP_RATIO,
    LARGEST_VOLUME,
    SPARE_BYTES,
    SeveralVolumesError,
    overfull,
    refusal,
    truncated,
    unreadable,
)
from autoseg.words import agreeing, counted

LARGEST_HEADER = 2**20
"""Bytes; a segmentation of 3D Slicer with a hundred named segments has a tenth."""

LONGEST_QUOTE = 60

NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}

META_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")

NRRD_SPACES = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
"""What turns each patient space into left-posterior-superior, the one of `Geometry`."""

NRRD_END = re.compile(rb"\r?\n\r?\n")
"""Of a header."""

SEGMENT = re.compile(rb"^Segment\d+_\w+:=", re.MULTILINE)
"""What 3D Slicer says of a segment."""

IN_LAYERS = (
    "holds segments that overlap, in layers; a label image has one number a voxel",
    "decide where they overlap, in 3D Slicer by exporting them to a labelmap, and save that",
)

SPATIAL_KINDS = {"domain", "space", "none", "???"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextHeader:
    """What a text header says, checked; axes in the file's order (x, y, z), positions left-posterior-superior.

    Attributes:
        shape: Voxels along x, y, z.
        voxel_type: As in the file, with its byte order.
        spacing: Voxel size in mm.
        origin: Position of the first voxel's centre in mm.
        direction: 3x3, row by row; column `j` is the unit vector of axis `j`.
        is_placed: Whether the header says how its axes lie in the patient.
        offset: Byte where the voxels, compressed or not, begin.
        compressed: Whether they are (gzip or zlib).
    """

    shape: tuple[int, int, int]
    voxel_type: np.dtype[Any]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    is_placed: bool
    offset: int
    compressed: bool

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.voxel_type.itemsize


def read_text_header(path: Path) -> TextHeader:
    """Read and check the header of a `.nrrd` or `.mha` file; the voxels are not read.

    Raises:
        DatasetError: No such image, or not of 3 dimensions of plain numbers, its voxels in another file, packed in a way
            that is not read, or a header that contradicts itself or the file's size.
    """
    content, file_size = first_bytes(path)
    header = _nrrd(path, content) if path.name.lower().endswith(".nrrd") else _meta_image(path, content)
    _check_size(path, header, file_size)
    return header


def first_bytes(path: Path) -> tuple[bytes, int]:
    """The bytes that hold the header, and the file's size."""
    try:
        if not path.is_file():
            raise refusal(path, "there is no such file", "check the name, and where a link leads")
        with path.open("rb") as file:
            return file.read(LARGEST_HEADER), path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error


# --------------------------------------------------------------------- NRRD


def _nrrd(path: Path, content: bytes) -> TextHeader:
    if not re.match(rb"NRRD000\d\r?\n", content):
        raise refusal(path, "is not a NRRD image", "replace it by one, or convert it to .nii.gz")
    end = NRRD_END.search(content)
    if end is None:
        raise refusal(path, "is truncated: its header does not end", "copy or download it again")
    fields = _nrrd_fields(path, content[: end.start()])
    if fields.get("dimension") == "4" and SEGMENT.search(content, 0, end.start()):
        raise refusal(path, *IN_LAYERS)
    if "data file" in fields or "datafile" in fields:
        raise _in_another_file(path)
    for skip in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(skip, "0") != "0":
            raise refusal(path, f"skips what lies before its voxels ({skip})", "save it anew as .nii.gz")
    _require_3d(path, fields.get("dimension", ""))
    kinds = fields.get("kinds", "").split()
    if other := [kind for kind in kinds if kind.lower() not in SPATIAL_KINDS]:
        raise refusal(
            path, f"its axes are not all of space: {_quoted(other[0])}", "save each channel as a file of its own"
        )
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise refusal(path, f"its voxels are encoded as {_quoted(encoding)}", "save it with encoding raw or gzip")
    spacing, origin, direction = _nrrd_geometry(path, fields)
    return TextHeader(
        shape=_shape(path, fields.get("sizes", "")),
        voxel_type=_nrrd_type(path, fields),
        spacing=_spacing(path, spacing),
        origin=_position(path, origin),
        direction=_direction(path, direction),
        is_placed="space" in fields,
        offset=end.end(),
        compressed=encoding != "raw",
    )


def _nrrd_fields(path: Path, header: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in header.decode("latin-1").split("\n")[1:]:  # splitlines would split at half of an Å
        key, separator, value = line.partition(": ")
        if line.startswith("#") or ":=" in line or not separator:
            continue
        _add(path, fields, key.strip().lower(), value.strip())
    return fields


def _nrrd_type(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    name = " ".join(fields.get("type", "").lower().split())
    code = next((code for code, names in NRRD_TYPES.items() if name in names), None)
    if code is None:
        raise _other_type(path, name)
    return np.dtype(_byte_order(path, fields.get("endian", "").lower(), {"little": "<", "big": ">"}, code) + code)


def _nrrd_geometry(path: Path, fields: Mapping[str, str]) -> tuple[Sequence[float], Sequence[float], Array]:
    """Spacing, origin and direction; without a patient space, axes are taken as they are, as the field's readers do."""
    space = fields.get("space", "").lower()
    if space and space not in NRRD_SPACES:
        raise refusal(
            path, f"lies in the space {_quoted(space)}", "save it with a space of left, right, anterior, posterior"
        )
    flips = np.array(NRRD_SPACES.get(space, (1.0, 1.0, 1.0)))
    if "space directions" not in fields:
        return _numbers(path, "spacings", fields.get("spacings", "")), (0.0, 0.0, 0.0), np.eye(3)
    vectors = _vectors(path, "space directions", fields["space directions"], 3)
    (origin,) = _vectors(path, "space origin", fields.get("space origin", "(0,0,0)"), 1)
    axes = np.array(vectors).T * flips[:, None]
    spacing = np.linalg.norm(axes, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return spacing.tolist(), (np.array(origin) * flips).tolist(), axes / spacing


def _vectors(path: Path, field: str, text: str, number: int) -> list[tuple[float, ...]]:
    vectors = [_numbers(path, field, vector.replace(",", " ")) for vector in re.findall(r"\(([^()]*)\)", text)]
    if [len(vector) for vector in vectors] != [3] * number or "none" in text.lower():
        raise refusal(
            path,
            f"its {field} {_quoted(text)} should be {number} of 3 numbers each, as (1,0,0)",
            "correct the header, or save it anew as .nii.gz",
        )
    return vectors


# ---------------------------------------------------------------- MetaImage


def _meta_image(path: Path, content: bytes) -> TextHeader:
    end = re.search(rb"(?:^|\n)ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n", content)
    fields = _meta_fields(path, content[: end.start() if end else 0])
    if end is None or "NDims" not in fields:
        raise refusal(path, "is not a MetaImage", "replace it by one, or convert it to .nii.gz")
    if end[1].strip() != b"LOCAL":
        raise _in_another_file(path)
    _require_3d(path, fields["NDims"])
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise refusal(path, "holds several numbers in each voxel", "save each channel as a file of its own")
    if not _meta_flag(path, fields, "BinaryData", default=True):
        raise refusal(path, "holds its voxels as text", "save it with binary data")
    if fields.get("HeaderSize", "0") != "0":
        raise refusal(path, "skips what lies before its voxels (HeaderSize)", "save it anew as .nii.gz")
    if _is_scaled(path, fields):
        raise refusal(path, "asks for its values to be scaled (ElementToIntensityFunction)", "save the scaled values")
    code = META_TYPES.get(fields.get("ElementType", ""))
    if code is None:
        raise _other_type(path, fields.get("ElementType", ""))
    big = _meta_flag(path, fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB", default=False)
    return TextHeader(
        shape=_shape(path, fields.get("DimSize", "")),
        voxel_type=np.dtype((">" if big else "<") + code),
        spacing=_spacing(path, _meta_numbers(path, fields, "ElementSpacing", "ElementSize", default="")),
        origin=_position(path, _meta_numbers(path, fields, "Offset", "Position", "Origin", default="0 0 0")),
        direction=_meta_direction(path, fields),
        is_placed=any(name in fields for name in META_DIRECTIONS),
        offset=end.end(),
        compressed=_meta_flag(path, fields, "CompressedData", default=False),
    )


def _meta_fields(path: Path, header: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in header.decode("latin-1").splitlines():
        key, separator, value = line.partition("=")
        if separator:
            _add(path, fields, key.strip(), value.strip())
    return fields


def _meta_flag(path: Path, fields: Mapping[str, str], *names: str, default: bool) -> bool:
    text = next((fields[name] for name in names if name in fields), str(default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise refusal(path, f"its {names[0]} is {_quoted(text)}, neither True nor False", "save it anew as .nii.gz")
    return text in ("true", "1")


def _meta_numbers(path: Path, fields: Mapping[str, str], *names: str, default: str) -> tuple[float, ...]:
    name = next((name for name in names if name in fields), names[0])
    return _numbers(path, name, fields.get(name, default))


def _meta_direction(path: Path, fields: Mapping[str, str]) -> tuple[float, ...]:
    entries = _meta_numbers(path, fields, *META_DIRECTIONS, default="1 0 0 0 1 0 0 0 1")
    if len(entries) != 9:
        raise refusal(
            path,
            f"its TransformMatrix has {counted(len(entries), 'entry', 'entries')}, 9 are due",
            "save it anew as .nii.gz",
        )
    return _direction(path, np.reshape(entries, (3, 3)).T)


def _is_scaled(path: Path, fields: Mapping[str, str]) -> bool:
    slope = _meta_numbers(path, fields, "ElementToIntensityFunctionSlope", default="1")
    offset = _meta_numbers(path, fields, "ElementToIntensityFunctionOffset", default="0")
    return (slope, offset) != ((1.0,), (0.0,))


# --------------------------------------------------------------------- both


def _add(path: Path, fields: dict[str, str], key: str, value: str) -> None:
    if key in fields:
        raise refusal(path, f"its header says {_quoted(key)} twice", "correct the header, or save it anew as .nii.gz")
    fields[key] = value


def _require_3d(path: Path, dimensions: str) -> None:
    found = f"has {_quoted(dimensions)} {agreeing(dimensions, 'dimension')}"
    if dimensions in ("1", "2"):
        raise refusal(path, f"{found}; images are 3D here", "save it as a volume of one slice")
    if dimensions != "3":
        raise SeveralVolumesError(path, found, CHANNEL_EACH)


def _shape(path: Path, text: str) -> tuple[int, int, int]:
    words = text.split()
    if len(words) != 3 or not all(word.isascii() and word.isdecimal() and int(word[:20]) > 0 for word in words):
        raise refusal(path, f"declares the size {_quoted(text)}; every one of 3 sides needs a voxel", "export it again")
    x, y, z = map(int, (word[:20] for word in words))
    return x, y, z


def _spacing(path: Path, sides: Sequence[float]) -> tuple[float, float, float]:
    least, most = SPACING_RANGE
    if len(sides) != 3 or not all(least <= side <= most for side in sides):
        found = "no voxel size" if not sides else f"a voxel size of ({', '.join(f'{side:.6g}' for side in sides)}) mm"
        raise refusal(
            path,
            f"declares {found}; each of 3 sides must be from {least:g} to {most:g} mm",
            "write the true voxel size into its header",
        )
    x, y, z = map(float, sides)
    return x, y, z


def _position(path: Path, position: Sequence[float]) -> tuple[float, float, float]:
    if len(position) != 3 or not all(map(math.isfinite, position)):
        raise refusal(path, "its origin is no position of 3 finite numbers", "write the true origin into its header")
    x, y, z = map(float, position)
    return x, y, z


def _direction(path: Path, axes: Array) -> tuple[float, ...]:
    if axes.shape != (3, 3) or not np.isfinite(axes).all() or skew(axes) > STRAIGHT:
        raise refusal(
            path,
            "the axes in its header are skewed, not perpendicular unit vectors",
            "resample it onto a straight grid, or correct its header",
        )
    return tuple(axes.ravel().tolist())


def _numbers(path: Path, field: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split())
    except ValueError as error:
        raise refusal(path, f"its {field} is {_quoted(text)}, which are no numbers", "correct its header") from error


def _byte_order(path: Path, text: str, orders: Mapping[str, str], code: str) -> str:
    if code[1] == "1":
        return "|"
    if text not in orders:
        raise refusal(path, f"does not say the order of its bytes (endian: {_quoted(text)})", "save it anew as .nii.gz")
    return orders[text]


def _check_size(path: Path, header: TextHeader, file_size: int) -> None:
    """Refuse what cannot be true before a byte of memory is taken for it."""
    if header.size > LARGEST_VOLUME:
        raise refusal(
            path,
            f"declares {header.shape} voxels, {header.size / 1e9:.4g} GB; "
            f"no more than {LARGEST_VOLUME / 1e9:.4g} GB are read",
            "check its header, or crop the image",
        )
    found = file_size - header.offset
    if header.compressed and header.size > found * LARGEST_GZIP_RATIO:
        raise refusal(
            path,
            f"declares {counted(header.size, 'byte')} of voxels, which its {counted(found, 'compressed byte')} "
            "cannot hold",
            "copy or download it again",
        )
    if not header.compressed and header.size > found:
        raise truncated(path, header.size, found)
    if not header.compressed and header.size + SPARE_BYTES < found:
        raise overfull(path, header.shape)


def _in_another_file(path: Path) -> DatasetError:
    return refusal(path, "its voxels lie in another file", "save it as one file, header and voxels together")


def _other_type(path: Path, name: str) -> DatasetError:
    return refusal(
        path, f"its voxels are of the type {_quoted(name)}", "save it with one plain integer or float in each voxel"
    )


def _quoted(text: str) -> str:
    return ascii(text[:LONGEST_QUOTE])
