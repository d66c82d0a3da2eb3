"""NRRD in one file. Format: https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autoseg.geometry import Geometry
from autoseg.images.format import Format, Header
from autoseg.images.formats.text import LARGEST_HEADER, SAVE_ANEW, Fields, quoted
from autoseg.images.refusals import first_bytes, refusal, with_true_size
from autoseg.images.voxels import read_plain_voxels

TYPES = {
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
SPACES = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
"""What turns each patient space into left-posterior-superior, the one of `Geometry`."""

HEADER_END = re.compile(rb"\r?\n\r?\n")
SEGMENT = re.compile(rb"^Segment\d+_\w+:=", re.MULTILINE)
"""What 3D Slicer says of a segment."""

IN_LAYERS = (
    "holds segments that overlap, in layers; a label image has one number a voxel",
    "decide where they overlap, in 3D Slicer by exporting them to a labelmap, and save that",
)
SPATIAL_KINDS = {"domain", "space", "none", "???"}


def _read_header(path: Path, _: int) -> Header:
    content, file_size = first_bytes(path, LARGEST_HEADER)
    if not re.match(rb"NRRD000\d\r?\n", content):
        raise refusal(path, "is not a NRRD image", "replace it by one, or convert it to .nii.gz")
    end = HEADER_END.search(content)
    if end is None:
        raise refusal(path, "is truncated: its header does not end", "copy or download it again")
    fields = Fields.of(path, _lines(content[: end.start()].decode("latin-1")))
    if fields.get("dimension") == "4" and SEGMENT.search(content, 0, end.start()):
        raise refusal(path, *IN_LAYERS)
    _require_plain(fields)
    is_packed = fields.get("encoding").lower() != "raw"
    geometry = _geometry(fields)
    header = Header(
        shape=fields.shape(fields.get("sizes")),
        voxel_type=_voxel_type(fields),
        geometry=geometry,
        offset=0 if is_packed else end.end(),
        packed_from=end.end() if is_packed else None,
    )
    return with_true_size(path, header, file_size)


def _lines(header: str) -> Iterator[tuple[str, str]]:
    for line in header.split("\n")[1:]:  # splitlines would split at half of an Å
        key, separator, value = line.partition(": ")
        if separator and not line.startswith("#") and ":=" not in line:
            yield key.strip().lower(), value.strip()


def _require_plain(fields: Fields) -> None:
    if "data file" in fields.values or "datafile" in fields.values:
        raise fields.in_another_file()
    for skip in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(skip, default="0") != "0":
            raise fields.refused(f"skips what lies before its voxels ({skip})")
    fields.require_3d(fields.get("dimension"))
    if other := [kind for kind in fields.get("kinds").split() if kind.lower() not in SPATIAL_KINDS]:
        raise fields.refused(
            f"its axes are not all of space: {quoted(other[0])}", "save each channel as a file of its own"
        )
    encoding = fields.get("encoding").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise fields.refused(f"its voxels are encoded as {quoted(encoding)}", "save it with encoding raw or gzip")


def _voxel_type(fields: Fields) -> np.dtype[np.generic]:
    name = " ".join(fields.get("type").lower().split())
    code = next((code for code, names in TYPES.items() if name in names), None)
    if code is None:
        raise fields.of_another_type(name)
    order = fields.get("endian").lower()
    if code[1] != "1" and order not in ("little", "big"):
        raise fields.refused(f"does not say the order of its bytes (endian: {quoted(order)})")
    return np.dtype((">" if order == "big" else "<") + code)


def _geometry(fields: Fields) -> Geometry:
    """Without a patient space, axes are taken as they are, as the field's readers do."""
    space = fields.get("space").lower()
    if space and space not in SPACES:
        raise fields.refused(
            f"lies in the space {quoted(space)}", "save it with a space of left, right, anterior, posterior"
        )
    is_placed = "space" in fields.values
    if "space directions" not in fields.values:
        return fields.geometry(fields.numbers("spacings"), (0.0, 0.0, 0.0), np.eye(3), is_placed=is_placed)
    flips = np.array(SPACES.get(space, (1.0, 1.0, 1.0)))
    axes = np.array(_vectors(fields, "space directions", 3)).T * flips[:, None]
    (origin,) = _vectors(fields, "space origin", 1, default="(0,0,0)")
    spacing = np.linalg.norm(axes, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return fields.geometry(
            spacing.tolist(), (np.array(origin) * flips).tolist(), axes / spacing, is_placed=is_placed
        )


def _vectors(fields: Fields, name: str, number: int, default: str = "") -> list[tuple[float, ...]]:
    text = fields.get(name, default=default)
    vectors = [fields.as_numbers(part.replace(",", " "), name) for part in re.findall(r"\(([^()]*)\)", text)]
    if [len(vector) for vector in vectors] != [3] * number or "none" in text.lower():
        raise fields.refused(
            f"its {name} {quoted(text)} should be {number} of 3 numbers each, as (1,0,0)",
            f"correct the header, or {SAVE_ANEW}",
        )
    return vectors


NRRD = Format(endings=(".nrrd",), read_header=_read_header, read_voxels=read_plain_voxels)
