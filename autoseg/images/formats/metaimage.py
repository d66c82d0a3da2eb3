"""MetaImage, in one file (.mha) or as a header with its data beside it (.mhd). Format: https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images.format import SPARE_BYTES, Format, Header, Request, Told
from autoseg.images.formats.text import LARGEST_HEADER, Fields, quoted
from autoseg.images.refusals import first_bytes, refusal, with_true_size
from autoseg.images.voxels import COMPRESSION_LEVEL, read_plain_voxels
from autoseg.words import counted

LAST_LINE = re.compile(rb"(?:^|\n)ElementDataFile[ \t]*=[ \t]*([^\r\n]*)(?:\r?\n|\Z)")
TYPES = {
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
DETACHED = ".mhd"
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")


def _read_header(path: Path, _: Request) -> Header:
    content, file_size = first_bytes(path, LARGEST_HEADER)
    end = LAST_LINE.search(content)
    fields = _fields(path, content[: end.end() if end else 0])
    if end is None or "NDims" not in fields.values:
        raise refusal(path, "is not a MetaImage", "replace it by one, or convert it to .nii.gz")
    data_file = _data_file(fields)
    size_there = first_bytes(data_file, 0)[1] if data_file else file_size
    begin = 0 if data_file else end.end()
    fields.require_3d(fields.get("NDims"))
    _require_plain(fields)
    axes = fields.numbers(*DIRECTIONS, default="1 0 0 0 1 0 0 0 1")
    if len(axes) != 9:
        raise fields.refused(f"its TransformMatrix has {counted(len(axes), 'entry', 'entries')}, 9 are due")
    is_packed = _flag(fields, "CompressedData", default=False)
    header = Header(
        shape=fields.shape(fields.get("DimSize")),
        voxel_type=_voxel_type(fields),
        geometry=fields.geometry(
            fields.numbers("ElementSpacing", "ElementSize"),
            fields.numbers("Offset", "Position", "Origin", default="0 0 0"),
            np.reshape(axes, (3, 3)).T,
            is_placed=any(name in fields.values for name in DIRECTIONS),
        ),
        offset=0 if is_packed else begin,
        packed_from=begin if is_packed else None,
        description=fields.get("Comment"),
        data_file=data_file,
        spare=0 if data_file else SPARE_BYTES,
    )
    return with_true_size(data_file or path, header, size_there)


def _fields(path: Path, header: bytes) -> Fields:
    pairs = (line.partition("=") for line in header.decode("latin-1").splitlines() if "=" in line)
    return Fields.of(path, ((key.strip(), value.strip()) for key, _, value in pairs))


def _data_file(fields: Fields) -> Path | None:
    is_detached = fields.path.name.lower().endswith(DETACHED)
    return fields.data_file("ElementDataFile", is_detached=is_detached, here="LOCAL")


def _beside(path: Path) -> tuple[Path, ...]:
    try:
        content, _ = first_bytes(path, LARGEST_HEADER)
        end = LAST_LINE.search(content)
        found = _data_file(_fields(path, content[: end.end() if end else 0]))
    except DatasetError:
        return ()
    return (found,) if found and found.is_file() else ()


def _require_plain(fields: Fields) -> None:
    if fields.get("ElementNumberOfChannels", default="1") != "1":
        raise fields.refused("holds several numbers in each voxel", "save each channel as a file of its own")
    if not _flag(fields, "BinaryData", default=True):
        raise fields.refused("holds its voxels as text", "save it with binary data")
    if fields.get("HeaderSize", default="0") != "0":
        raise fields.refused("skips what lies before its voxels (HeaderSize)")
    slope = fields.numbers("ElementToIntensityFunctionSlope", default="1")
    offset = fields.numbers("ElementToIntensityFunctionOffset", default="0")
    if (slope, offset) != ((1.0,), (0.0,)):
        raise fields.refused("asks for its values to be scaled (ElementToIntensityFunction)", "save the scaled values")


def _voxel_type(fields: Fields) -> np.dtype[np.generic]:
    name = fields.get("ElementType")
    if name not in TYPES:
        raise fields.of_another_type(name)
    is_big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB", default=False)
    return np.dtype((">" if is_big else "<") + TYPES[name])


def _flag(fields: Fields, *names: str, default: bool) -> bool:
    text = fields.get(*names, default=str(default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise fields.refused(f"its {names[0]} is {quoted(text)}, neither True nor False")
    return text in ("true", "1")


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    axes, packed = np.reshape(geometry.direction, (3, 3))[::-1, ::-1].T, zlib.compress(data.data, COMPRESSION_LEVEL)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        **({"Comment": told.description} if told.description else {}),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(packed)),
        **({"TransformMatrix": _numbers(axes.ravel().tolist())} if geometry.is_placed else {}),
        "Offset": _numbers(geometry.origin[::-1]),
        "ElementSpacing": _numbers(geometry.spacing[::-1]),
        "DimSize": " ".join(map(str, data.shape[::-1])),
        "ElementType": next(name for name, code in TYPES.items() if code == data.dtype.str[1:]),
        "ElementDataFile": "LOCAL",
    }
    header = "".join(f"{key} = {text}\n" for key, text in fields.items()).encode()
    path.write_bytes(header + packed)


def _numbers(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


METAIMAGE = Format(
    endings=(".mha",),
    read_header=_read_header,
    read_voxels=read_plain_voxels,
    write=_write,
    written_as=".mha",
)

DETACHED_METAIMAGE = Format(
    endings=(DETACHED,),
    read_header=_read_header,
    read_voxels=read_plain_voxels,
    written_as=".mha",
    beside=_beside,
)
