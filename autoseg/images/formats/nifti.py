"""NIfTI headers by their bytes: checked before the image library opens a file, and made for the files we write.

The library is not left alone with NIfTI files. Its memory is corrupted by headers with five dimensions; it hands out
zeros or garbage where a file is cut short, and zeros where voxels are NaN, without a word; and it keeps one of the two
orientations that a header may give.
Format: https://nifti.nimh.nih.gov/nifti-1 and nifti-2.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.forms import SKEWED, Forms, unit_axes
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.catalogue import split_ending
from autoseg.remedies import remedy
from autoseg.words import counted, readable

LARGEST_VOLUME = 32 * 2**30
"""Bytes of voxels; a micro-CT of 2048 x 2048 x 2048 16-bit voxels has half of it."""

LARGEST_GZIP_RATIO = 1032
"""Deflate shrinks nothing further (zlib.net, "Maximum expansion factor")."""

SPARE_BYTES = 4096
"""Some writers pad a file to a disk block; more bytes than this behind the voxels and the header is wrong."""

SINGLE_FILE_OFFSET = 352
"""Voxels of a single-file NIfTI-1 begin here or later."""

CHANNEL_EACH = "save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz"

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
"""NIfTI counts to the right and the front; DICOM, and so `Geometry`, to the left and the back."""

MILLIMETRES = 2
UNITS = {1: 1000.0, 3: 0.001}
"""Metres and micrometres in mm, by the lowest three bits of their field; all others are taken for mm."""

# struct format and position of each field we need, by the header's declared size
FIELDS = {
    348: {
        "dim": ("8h", 40),
        "datatype": ("h", 70),
        "bitpix": ("h", 72),
        "pixdim": ("8f", 76),
        "vox_offset": ("f", 108),
        "scaling": ("2f", 112),
        "xyzt_units": ("B", 123),
        "descrip": ("80s", 148),
        "form_codes": ("2h", 252),
        "quaternion": ("6f", 256),
        "srow": ("12f", 280),
        "magic": ("4s", 344),
    },
    540: {
        "magic": ("4s", 4),
        "datatype": ("h", 12),
        "dim": ("8q", 16),
        "pixdim": ("8d", 104),
        "vox_offset": ("q", 168),
        "scaling": ("2d", 176),
        "descrip": ("80s", 240),
        "form_codes": ("2i", 344),
        "quaternion": ("6d", 352),
        "srow": ("12d", 400),
    },
}
NIFTI_1, NIFTI_2 = FIELDS

VOXEL_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
REFUSED_TYPES = {
    1: "single bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """What a header says, checked; axes in the file's order (x, y, z).

    Attributes:
        shape: Voxels along x, y, z and, where the file holds several volumes, their number.
        voxel_type: As in the file, with its byte order.
        spacing: Voxel size along x, y, z in mm.
        offset: Byte where the voxels begin.
        slope, intercept: A stored value v means slope * v + intercept.
        forms: Where the voxels lie.
        compressed: Whether the file is gzip-compressed.
        description: Free text of whoever wrote the file.
    """

    shape: tuple[int, ...]
    voxel_type: np.dtype[Any]
    spacing: tuple[float, float, float]
    offset: int
    slope: float
    intercept: float
    forms: Forms
    compressed: bool
    description: str

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.voxel_type.itemsize


def read_header(path: Path, *, most_dimensions: int = 3) -> NiftiHeader:
    """Read and check the header of a `.nii` or `.nii.gz` file; the voxels are not read.

    Dimensions of size 1 after the third do not count.

    Args:
        most_dimensions: 4 where several volumes in one file are welcome.

    Raises:
        DatasetError: Not a NIfTI image, or not of 3 (to `most_dimensions`) dimensions of plain numbers, or a header
            that contradicts itself or the file's size.
    """
    content, compressed, file_size = _first_bytes(path)
    order, version = _byte_order_and_version(path, content)
    fields = {
        name: struct.unpack_from(order + form, content, position) for name, (form, position) in FIELDS[version].items()
    }
    _check_magic(path, fields["magic"][0])
    voxel_type = _voxel_type(path, fields["datatype"][0])
    shape = _shape(path, fields["dim"], most_dimensions)
    if version == NIFTI_2:
        raise refusal(path, "is a NIfTI-2 file", "save it as NIfTI-1, which every tool reads")
    slope, intercept = fields["scaling"]
    unit = UNITS.get(fields["xyzt_units"][0] & 7, 1.0)
    x, y, z = _spacing(path, fields["pixdim"])
    header = NiftiHeader(
        shape=shape,
        voxel_type=np.dtype(order + voxel_type),
        spacing=(x * unit, y * unit, z * unit),
        offset=_offset(path, fields["vox_offset"][0]),
        slope=slope if math.isfinite(slope) and slope != 0 else 1.0,
        intercept=intercept if math.isfinite(intercept) and slope != 0 else 0.0,
        forms=_forms(path, fields, unit),
        compressed=compressed,
        description=fields["descrip"][0].partition(b"\0")[0].decode("ascii", "replace"),
    )
    _check_size(path, header, file_size)
    return header


def encode_header(stored: Array, *, spacing: tuple[float, float, float], forms: Forms, description: str = "") -> bytes:
    """The header of a single-file NIfTI-1 for one volume, up to where the voxels begin.

    Args:
        stored: `(Z, Y, X)`, little-endian, of a type in `VOXEL_TYPES`.
        spacing: Voxel size in mm along x, y, z.
        forms: Where the voxels lie.
        description: ASCII; what is longer than 79 characters is cut off.
    """
    code = next((code for code, kind in VOXEL_TYPES.items() if np.dtype("<" + kind) == stored.dtype), None)
    if code is None or stored.ndim != 3:
        raise TypeError(f"no image file holds an array of {counted(stored.ndim, 'dimension')} of {stored.dtype}")
    values: dict[str, tuple[Any, ...]] = {
        "dim": (3, *stored.shape[::-1], 1, 1, 1, 1),
        "datatype": (code,),
        "bitpix": (8 * stored.itemsize,),
        "pixdim": (forms.handedness, *spacing, 0, 0, 0, 0),
        "vox_offset": (SINGLE_FILE_OFFSET,),
        "scaling": (1, 0),
        "xyzt_units": (MILLIMETRES,),
        "descrip": (description.encode("ascii")[:79],),
        "form_codes": (forms.qform_code, forms.sform_code),
        "quaternion": (*forms.quaternion, *forms.offset),
        "srow": forms.matrix,
        "magic": (b"n+1",),
    }
    header = bytearray(SINGLE_FILE_OFFSET)
    struct.pack_into("<i", header, 0, NIFTI_1)
    for name, value in values.items():
        form, position = FIELDS[NIFTI_1][name]
        struct.pack_into("<" + form, header, position, *value)
    return bytes(header)


def geometry_by(forms: Forms, spacing: tuple[float, float, float]) -> Geometry:
    """The grid by the form that counts; where there is none, axes as DICOM's, as ITK has it."""
    x, y, z = spacing
    if (used := forms.used) is None:
        return Geometry(spacing=(z, y, x), forms=forms)
    affine = forms.affine(used, spacing) * LPS_TO_RAS[:, None]
    right, front, up = affine[:, 3].tolist()
    return Geometry(
        spacing=(z, y, x),
        origin=(up, front, right),
        direction=tuple(unit_axes(affine[:, :3])[::-1, ::-1].ravel().tolist()),
        forms=forms,
    )


def _first_bytes(path: Path) -> tuple[bytes, bool, int]:
    """The header's bytes (fewer where the file ends), whether the file is compressed, and its size."""
    _check_name(path)
    try:
        if not path.is_file():
            raise refusal(path, "there is no such file", "check the name, and where a link leads")
        size = path.stat().st_size
        with path.open("rb") as file:
            raw = file.read(SPARE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if raw[:2] != b"\x1f\x8b":
        return raw[:NIFTI_2], False, size
    if not path.name.lower().endswith(".gz"):
        raise refusal(path, "is gzip-compressed, but its name does not say so", f"rename it to {path.name}.gz")
    try:
        # not gzip.open, which reads ahead and fails where only later bytes are missing
        return zlib.decompressobj(wbits=31).decompress(raw, NIFTI_2), True, size
    except zlib.error as error:
        raise refusal(path, f"is damaged ({error})", "copy or download it again") from error


def _check_name(path: Path) -> None:
    ending = "".join(Path(path.name.lower()).suffixes[-2:])
    if ending.removesuffix(".gz").endswith((".hdr", ".img")):
        raise refusal(path, "is half of a header/image pair", "save the pair as one .nii.gz file")
    if not split_ending(path.name)[1]:
        raise refusal(path, "is not a NIfTI image by its name", "convert it, or rename it, to .nii.gz or .nii")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # it would abort the whole process inside the image library
        raise refusal(path, "the name holds bytes that are no text", "rename it") from error


def _byte_order_and_version(path: Path, content: bytes) -> tuple[str, int]:
    for order in "<>":
        for version in FIELDS:
            if content[:4] == struct.pack(order + "i", version):
                if len(content) < version:
                    raise refusal(
                        path,
                        f"is truncated: {counted(len(content), 'byte')}, the header alone has {version}",
                        "copy or download it again",
                    )
                return order, version
    raise _not_an_image(path)


def _check_magic(path: Path, magic: bytes) -> None:
    if magic[:3] in (b"ni1", b"ni2"):
        raise refusal(path, "is half of a header/image pair by its header", "save the pair as one .nii.gz file")
    if magic[:3] not in (b"n+1", b"n+2"):
        raise _not_an_image(path)


def _shape(path: Path, dim: tuple[int, ...], most_dimensions: int) -> tuple[int, ...]:
    count = dim[0]
    if not 1 <= count <= 7:
        raise refusal(path, f"declares {counted(count, 'dimension')}; there are 1 to 7", "export it again")
    shape = dim[1 : count + 1]
    if min(shape) < 1:
        raise refusal(path, f"declares the size {_listed(shape)}; every side needs a voxel", "export it again")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3:
        raise refusal(
            path,
            f"has {counted(len(shape), 'dimension')}, of size {_listed(shape)}; images are 3D here",
            "save it as a volume of one slice",
        )
    if len(shape) > most_dimensions:
        found = f"has {counted(len(shape), 'dimension')}, of size {_listed(shape)}"
        raise SeveralVolumesError(
            path, found, f"{CHANNEL_EACH} (autoseg_convert_decathlon_task does it for a Decathlon task)"
        )
    return shape


def _voxel_type(path: Path, code: int) -> str:
    if code in VOXEL_TYPES:
        return VOXEL_TYPES[code]
    found = REFUSED_TYPES.get(code, f"a type of number nobody knows (datatype {code})")
    raise refusal(path, f"its voxels are {found}", "save it with one plain integer or float in each voxel")


def _spacing(path: Path, pixdim: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = pixdim[1:4]
    least, most = SPACING_RANGE
    if not all(least <= side <= most for side in (x, y, z)):
        raise refusal(
            path,
            f"declares a voxel size of {_listed((x, y, z))} mm; every side must be above zero, from {least:g} to {most:g} mm",
            "write the true voxel size (pixdim) into its header",
        )
    return x, y, z


def _offset(path: Path, offset: float) -> int:
    if not (math.isfinite(offset) and offset >= SINGLE_FILE_OFFSET and offset == int(offset)):
        raise refusal(
            path,
            f"declares that its voxels begin at byte {offset:g}; the first possible is {SINGLE_FILE_OFFSET}",
            "export it again",
        )
    return int(offset)


def _forms(path: Path, fields: dict[str, tuple[Any, ...]], unit: float) -> Forms:
    qform_code, sform_code = fields["form_codes"]
    declared = (*fields["quaternion"] * (qform_code > 0), *fields["srow"] * (sform_code > 0))
    if not all(map(math.isfinite, declared)):
        raise refusal(
            path,
            "the orientation in its header (qform or sform) holds NaN or infinite numbers",
            "write the true orientation into its header",
        )
    b, c, d, *offset = _finite(fields["quaternion"])
    x, y, z = (unit * place for place in offset)
    forms = Forms(
        qform_code=qform_code,
        sform_code=sform_code,
        handedness=-1.0 if fields["pixdim"][0] < 0 else 1.0,
        quaternion=(b, c, d),
        offset=(x, y, z),
        matrix=tuple(unit * entry for entry in _finite(fields["srow"])),
    )
    _require_axes(path, forms)
    return forms


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    """As they are, where they can mean anything: a form without a code may hold what it likes."""
    return values if all(map(math.isfinite, values)) else (0.0,) * len(values)


def _require_axes(path: Path, forms: Forms) -> None:
    """Refuse an sform that alone says where the voxels lie, but has no axes of a straight grid."""
    fault = forms.sform_fault if forms.used == "sform" else None
    if fault is None:
        return
    if fault.startswith(SKEWED):
        raise refusal(
            path,
            f"the axes in its header are {fault}",
            "resample it onto a straight grid, or correct the sform in its header",
        )
    raise refusal(
        path,
        f"its sform (code {forms.sform_code}), which alone says where it lies, is {fault}",
        "write the true orientation into its header, or code 0 where it is not known",
    )


def _check_size(path: Path, header: NiftiHeader, file_size: int) -> None:
    """Refuse what cannot be true before a byte of memory is taken for it."""
    if header.size > LARGEST_VOLUME:
        raise refusal(
            path,
            f"declares {_listed(header.shape)} voxels, {header.size / 1e9:.4g} GB; "
            f"no more than {LARGEST_VOLUME / 1e9:.4g} GB are read",
            "check its header, or crop the image",
        )
    end = header.offset + header.size
    if header.compressed and end > file_size * LARGEST_GZIP_RATIO:
        raise refusal(
            path,
            f"declares {counted(header.size, 'byte')} of voxels, which its {counted(file_size, 'compressed byte')} "
            "cannot hold",
            "copy or download it again",
        )
    if not header.compressed and end > file_size:
        raise truncated(path, header.size, file_size - header.offset)
    if not header.compressed and end + SPARE_BYTES < file_size:
        raise overfull(path, header.shape)


class SeveralVolumesError(DatasetError):
    """A file of more than one volume; `found` says so, for whoever knows what the file was meant to be."""

    def __init__(self, path: Path, found: str, remedy: str) -> None:
        self.found = found
        super().__init__(str(refusal(path, f"{found}; images are 3D here", remedy)))


def refusal(path: Path, problem: str, remedy: str) -> DatasetError:
    """The error for a file that is not taken, on one line."""
    return DatasetError(f"{readable(path)}: {problem}; {remedy}")


def _not_an_image(path: Path) -> DatasetError:
    return refusal(path, "is not a NIfTI image", "replace it by one, or convert it to .nii.gz")


def unreadable(path: Path, error: OSError) -> DatasetError:
    """What the operating system said, with the file's name."""
    return refusal(
        path, f"cannot be read: {error.strerror or error}", remedy(error, "check the disk and the permissions")
    )


def truncated(path: Path, size: int, found: int) -> DatasetError:
    """The file ends after `found` bytes of voxels."""
    return refusal(
        path,
        f"is truncated: its header declares {counted(size, 'byte')} of voxels, {counted(max(0, found), 'is', 'are')} "
        "there",
        "copy or download it again",
    )


def overfull(path: Path, shape: tuple[int, ...]) -> DatasetError:
    """The file goes on behind the declared voxels."""
    return refusal(
        path,
        f"holds more than the {_listed(shape)} voxels its header declares",
        "export it again with the true size",
    )


def _listed(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{number:.6g}" if isinstance(number, float) else str(number) for number in numbers) + ")"
