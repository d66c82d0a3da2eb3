"""NRRD, in one file or as a header with its data beside it. Format: https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images.colours import colour_of
from autoseg.images.format import SPARE_BYTES, Format, Header, Request, Told
from autoseg.images.formats.text import LARGEST_HEADER, SAVE_ANEW, Fields, quoted
from autoseg.images.refusals import first_bytes, refusal, with_true_size
from autoseg.images.voxels import LAST_BYTES, read_plain_voxels, write_plain_voxels

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

DETACHED = ".nhdr"
DATA_FILE = ("data file", "datafile")
MOST_DIGITS = 15

HEADER_END = re.compile(rb"\r?\n\r?\n")
DESCRIBED = re.compile(rb"^autoseg_origin:=([^\r\n]*)", re.MULTILINE)
"""What we say of the origin of a segmentation."""

SEGMENT = re.compile(rb"^Segment\d+_\w+:=", re.MULTILINE)
"""What 3D Slicer says of a segment."""

IN_LAYERS = (
    "holds segments that overlap, in layers; a label image has one number a voxel",
    "decide where they overlap, in 3D Slicer by exporting them to a labelmap, and save that",
)
SPATIAL_KINDS = {"domain", "space", "none", "???"}


def _read_header(path: Path, _: Request) -> Header:
    content, file_size = first_bytes(path, LARGEST_HEADER)
    if not re.match(rb"NRRD000\d\r?\n", content):
        raise refusal(path, "is not a NRRD image", "replace it by one, or convert it to .nii.gz")
    end = HEADER_END.search(content)
    if end is None and not path.name.lower().endswith(DETACHED):
        raise refusal(path, "is truncated: its header does not end", "copy or download it again")
    header_size = len(content) if end is None else end.start()
    fields = Fields.of(path, _lines(content[:header_size].decode("latin-1")))
    if fields.get("dimension") == "4" and SEGMENT.search(content, 0, header_size):
        raise refusal(path, *IN_LAYERS)
    _require_plain(fields)
    data_file = fields.data_file(*DATA_FILE, is_detached=path.name.lower().endswith(DETACHED))
    if data_file is None and end is None:
        raise fields.refused("names no file of its voxels, as a detached header has to (data file)")
    size_there = first_bytes(data_file, 0)[1] if data_file else file_size
    begin = _behind_skipped_lines(fields, data_file or path, 0 if data_file or end is None else end.end())
    header = Header(
        shape=fields.shape(fields.get("sizes")),
        voxel_type=_voxel_type(fields),
        geometry=_geometry(fields),
        offset=begin,
        description=_description(content[:header_size]),
        data_file=data_file,
        spare=0 if data_file else SPARE_BYTES,
    )
    return with_true_size(data_file or path, _of_encoding(fields, header, size_there), size_there)


def _of_encoding(fields: Fields, header: Header, file_size: int) -> Header:
    """Where the voxels begin, which bytes to be skipped stand before: of what is unpacked, where they are packed."""
    text, is_packed = fields.get("byte skip", "byteskip", default="0"), fields.get("encoding").lower() != "raw"
    if text != "-1" and not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise fields.refused(f"its byte skip is {quoted(text)}; it can be a number from 0 on, or -1")
    if is_packed:
        return replace(header, offset=LAST_BYTES if text == "-1" else int(text), packed_from=header.offset)
    return replace(header, offset=file_size - header.size if text == "-1" else header.offset + int(text))


def _behind_skipped_lines(fields: Fields, path: Path, begin: int) -> int:
    text = fields.get("line skip", "lineskip", default="0")
    if text == "0":
        return begin
    content, _ = first_bytes(path, LARGEST_HEADER)
    breaks = (
        [match.end() for match in re.finditer(b"\n", content[begin:])] if text.isascii() and text.isdecimal() else []
    )
    if not breaks or int(text[:MOST_DIGITS]) > len(breaks):
        raise fields.refused(f"its line skip is {quoted(text)}, and so many lines are not there")
    return begin + breaks[int(text) - 1]


def _description(header: bytes) -> str:
    """What `write_image` was given as description."""
    match = DESCRIBED.search(header)
    return match[1].decode("ascii", "replace") if match else ""


def _beside(path: Path) -> tuple[Path, ...]:
    try:
        content, _ = first_bytes(path, LARGEST_HEADER)
        end = HEADER_END.search(content)
        fields = Fields.of(path, _lines(content[: end.start() if end else None].decode("latin-1")))
        found = fields.data_file(*DATA_FILE, is_detached=path.name.lower().endswith(DETACHED))
    except DatasetError:
        return ()
    return (found,) if found and found.is_file() else ()


def _lines(header: str) -> Iterator[tuple[str, str]]:
    for line in header.split("\n")[1:]:  # splitlines would split at half of an Å
        key, separator, value = line.partition(": ")
        if separator and not line.startswith("#") and ":=" not in line:
            yield key.strip().lower(), value.strip()


def _require_plain(fields: Fields) -> None:
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


# -------------------------------------------------------------------- writing


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    lines = [
        "NRRD0004",
        f"type: {TYPES[data.dtype.str[1:]][-1]}",
        "dimension: 3",
        *_grid(data.shape, geometry),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        *([f"autoseg_origin:={told.description}"] if told.description else []),
        *_segments(told.names, data.shape),
    ]
    header = "\n".join([*lines, "", ""]).encode()
    write_plain_voxels(path, header, data, packed_from=len(header))


def _grid(shape: tuple[int, ...], geometry: Geometry) -> list[str]:
    sizes = f"sizes: {' '.join(map(str, shape[::-1]))}"
    if not geometry.is_placed:
        return [sizes, f"spacings: {' '.join(map(repr, geometry.spacing[::-1]))}"]
    axes = np.reshape(geometry.direction, (3, 3))[::-1, ::-1] * geometry.spacing[::-1]
    return [
        "space: left-posterior-superior",
        sizes,
        f"space directions: {' '.join(_vector(axis) for axis in axes.T.tolist())}",
        f"space origin: {_vector(geometry.origin[::-1])}",
    ]


def _vector(numbers: Iterable[float]) -> str:
    return f"({','.join(repr(float(number)) for number in numbers)})"


def _segments(names: tuple[str, ...], shape: tuple[int, ...]) -> Iterator[str]:
    """What 3D Slicer reads of each label, by the page that `images.segments` names."""
    if len(names) > 1:
        yield "Segmentation_ContainedRepresentationNames:=Binary labelmap|"
        yield "Segmentation_MasterRepresentation:=Binary labelmap"
        yield "Segmentation_ReferenceImageExtentOffset:=0 0 0"
    extent = " ".join(f"0 {side - 1}" for side in shape[::-1])
    named = [(value, name) for value, name in enumerate(names) if value and name]
    for number, (value, name) in enumerate(named):
        keys = {
            "ID": f"Segment_{value}",
            "Name": name.replace("\\", "\\\\").replace("\n", "\\n"),
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{part / 255:.6g}" for part in colour_of(value)),
            "ColorAutoGenerated": "0",
            "Extent": extent,
            "LabelValue": str(value),
            "Layer": "0",
        }
        yield from (f"Segment{number}_{key}:={text}" for key, text in keys.items())


NRRD = Format(
    endings=(".seg.nrrd", ".nrrd"),
    read_header=_read_header,
    read_voxels=read_plain_voxels,
    write=_write,
    written_as=".nrrd",
)

DETACHED_NRRD = Format(
    endings=(DETACHED,),
    read_header=_read_header,
    read_voxels=read_plain_voxels,
    written_as=".nrrd",
    beside=_beside,
)
