"""MetaImage in one file (.mha). Format: https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from autoseg.images.format import Format, Header
from autoseg.images.formats.text import LARGEST_HEADER, Fields, quoted
from autoseg.images.refusals import first_bytes, refusal, with_true_size
from autoseg.images.voxels import read_plain_voxels
from autoseg.words import counted

LAST_LINE = re.compile(rb"(?:^|\n)ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n")
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
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")


def _read_header(path: Path, _: int) -> Header:
    content, file_size = first_bytes(path, LARGEST_HEADER)
    end = LAST_LINE.search(content)
    lines = content[: end.start() if end else 0].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    fields = Fields.of(path, ((key.strip(), value.strip()) for key, _, value in pairs))
    if end is None or "NDims" not in fields.values:
        raise refusal(path, "is not a MetaImage", "replace it by one, or convert it to .nii.gz")
    if end[1].strip() != b"LOCAL":
        raise fields.in_another_file()
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
        offset=0 if is_packed else end.end(),
        packed_from=end.end() if is_packed else None,
    )
    return with_true_size(path, header, file_size)


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


METAIMAGE = Format(endings=(".mha",), read_header=_read_header, read_voxels=read_plain_voxels)
