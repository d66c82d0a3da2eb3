"""NIfTI: headers through nibabel, field by field, which are then checked.

nibabel is asked for fields, not for what it makes of them: it takes one of the two orientations, does not look at units,
and hands out shapes and scalings that cannot be. Format: https://nifti.nimh.nih.gov/nifti-1 and nifti-2.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Array, Float64Array
from autoseg.errors import DatasetError
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.format import Format, Header, Request, Told
from autoseg.images.formats.nifti_place import (
    LPS_TO_RAS,
    OFFSET,
    QUATERNION,
    ROWS,
    can_be_straightened,
    forms_of_grid,
    geometry_of,
    is_sheared,
    read_forms,
    sheared,
)
from autoseg.images.formats.sheared import straight_grid, straightened
from autoseg.images.refusals import CHANNEL_EACH, SeveralVolumesError, first_bytes, refusal, with_true_size
from autoseg.images.voxels import GZIP, read_plain_voxels, write_plain_voxels
from autoseg.words import counted, in_brackets, readable

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

BEGINNING = 4096
"""Bytes, packed or not, that hold every header."""

NIFTI_1, NIFTI_2 = 348, 540
"""Bytes of a header, which it begins with."""

SINGLE_FILE_OFFSET = 352
"""Voxels of a single-file NIfTI-1 begin here or later."""

UNITS = {1: 1000.0, 3: 0.001}
"""Metres and micrometres in mm, by the lowest three bits of their field; all others are taken for mm."""

REFUSED_TYPES = {
    1: "single bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}

RESAMPLE = "resample"
HEADERS = (".hdr.gz", ".hdr")
PAIRED = {".hdr": ".img", ".HDR": ".IMG"}


def _read_header(path: Path, wanted: Request) -> Header:
    content, packed, file_size = _beginning(path)
    parsed = _parsed(path, content)
    fields: Mapping[str, Any] = {name: value.tolist() for name, value in parsed.items()}
    is_pair = _require_magic(path, fields["magic"][:3])
    voxel_type = _voxel_type(path, parsed)
    shape = _shape(path, fields["dim"], wanted.dimensions)
    if fields["sizeof_hdr"] == NIFTI_2:
        raise refusal(path, "is a NIfTI-2 file", "save it as NIfTI-1, which every tool reads")
    unit = UNITS.get(fields["xyzt_units"] & 7, 1.0)
    x, y, z = _spacing(path, fields["pixdim"])
    slope, intercept = fields["scl_slope"], fields["scl_inter"]
    forms, spacing = read_forms(path, fields, unit), (x * unit, y * unit, z * unit)
    leans = is_sheared(forms)
    if leans and not (wanted.reading.sheared == RESAMPLE and len(shape) == 3 and can_be_straightened(forms, spacing)):
        raise sheared(path, forms)
    header = Header(
        shape=shape[::-1],
        voxel_type=voxel_type,
        geometry=geometry_of(forms, spacing),
        offset=_offset(path, fields["vox_offset"], 0 if is_pair else SINGLE_FILE_OFFSET),
        packed_from=0 if packed else None,
        slope=slope if math.isfinite(slope) and slope != 0 else 1.0,
        intercept=intercept if math.isfinite(intercept) and slope != 0 else 0.0,
        description=fields["descrip"].partition(b"\0")[0].decode("ascii", "replace"),
    )
    header = _of_pair(path, header) if is_pair else with_true_size(path, header, file_size)
    return _straight(header) if leans else header


def _straight(stored: Header) -> Header:
    """Of the image as it is once its axes are straight; values are scaled then, and floats."""
    found, affine = straight_grid(stored.shape[::-1], _sheared_affine(stored), stored.geometry.spacing[::-1])
    right, front, up = (affine[:3, 3] * LPS_TO_RAS).tolist()
    x, y, z = np.diag(affine)[:3].tolist()
    return Header(
        shape=found[::-1],
        voxel_type=np.dtype(np.float32),
        geometry=Geometry(
            spacing=(z, y, x),
            origin=(up, front, right),
            direction=tuple(np.diag([1.0, *LPS_TO_RAS[:2]]).ravel().tolist()),
        ),
        description=stored.description,
        remark="its axes are sheared, and it is resampled onto a straight grid as it is read",
        stored=stored,
    )


def _sheared_affine(stored: Header) -> Float64Array:
    """By the sform, which alone can shear."""
    rows = (0.0,) * 12 if stored.geometry.forms is None else stored.geometry.forms.matrix
    return np.vstack([np.reshape(rows, (3, 4)), (0, 0, 0, 1)])


def _read_voxels(path: Path, header: Header, wanted: Request) -> Array:
    if (stored := header.stored) is None:
        return read_plain_voxels(path, header, wanted)
    voxels = read_plain_voxels(path, stored, wanted) * stored.slope + stored.intercept
    affine = _sheared_affine(stored)
    grid = straight_grid(stored.shape[::-1], affine, stored.geometry.spacing[::-1])
    return straightened(voxels, affine, grid, label=wanted.label)


def _require_magic(path: Path, magic: bytes) -> bool:
    """Whether the voxels lie in a file beside the header.

    Raises:
        DatasetError: It is no NIfTI, or of the other kind than its name says.
    """
    has_pair = path.name.lower().endswith(HEADERS)
    if magic in (b"n+1", b"n+2"):
        if has_pair:
            raise refusal(path, "holds its voxels itself by its header", f"rename it to {_as_single_file(path)}")
        return False
    if magic in (b"ni1", b"ni2"):
        if not has_pair:
            raise refusal(
                path,
                "is half of a header/image pair by its header",
                "name the pair .hdr and .img, or save it as .nii.gz",
            )
        return True
    if has_pair:
        raise refusal(
            path,
            "is no NIfTI header (Analyze 7.5 has none of its own), and does not say left from right",
            "convert the pair to .nii.gz",
        )
    raise _no_nifti(path)


def _as_single_file(path: Path) -> str:
    stem, dot, ending = path.name.rpartition(".")
    return f"{stem[:-4]}.nii.gz" if ending.lower() == "gz" else f"{stem}{dot}nii"


def _of_pair(path: Path, header: Header) -> Header:
    """The header with the file of its voxels, which may be compressed whether the header is or not."""
    found = _voxels_of_pair(path)
    if not found:
        expected = path.name.replace(".hdr", ".img")
        raise refusal(
            path, f"its voxels should lie in {readable(expected)}, which is not there", "put both side by side"
        )
    beginning, size = first_bytes(found[0], len(GZIP))
    packed_from = 0 if beginning == GZIP else None
    return with_true_size(found[0], replace(header, data_file=found[0], packed_from=packed_from), size)


def _voxels_of_pair(path: Path) -> tuple[Path, ...]:
    """The file of voxels that goes with a header, where it is there."""
    plain = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem, other = plain[:-4], PAIRED.get(plain[-4:])
    names = () if other is None else (f"{stem}{other}", f"{stem}{other}.gz")
    return tuple(path.with_name(name) for name in names if path.with_name(name).is_file())[:1]


def _no_nifti(path: Path) -> DatasetError:
    return refusal(path, "is not a NIfTI image", "replace it by one, or convert it to .nii.gz")


def _beginning(path: Path) -> tuple[bytes, bool, int]:
    """The header's bytes (fewer where the file ends), whether the file is compressed, and its size."""
    raw, size = first_bytes(path, BEGINNING)
    if raw[:2] != GZIP:
        return raw, False, size
    if not path.name.lower().endswith(".gz"):
        raise refusal(path, "is gzip-compressed, but its name does not say so", f"rename it to {path.name}.gz")
    try:
        # not gzip.open, which reads ahead and fails where only later bytes are missing
        return zlib.decompressobj(wbits=31).decompress(raw, NIFTI_2), True, size
    except zlib.error as error:
        raise refusal(path, f"is damaged ({error})", "copy or download it again") from error


def _parsed(path: Path, content: bytes) -> Nifti1Header:
    """The header with its fields by their names in the standard, unchecked."""
    from nibabel.nifti1 import Nifti1Header  # slow to import, and no command's help needs it
    from nibabel.nifti2 import Nifti2Header

    order = "<" if int.from_bytes(content[:4], "little") in (NIFTI_1, NIFTI_2) else ">"
    size = int.from_bytes(content[:4], "little" if order == "<" else "big")
    if size not in (NIFTI_1, NIFTI_2):
        raise _no_nifti(path)
    if len(content) < size:
        found = f"{counted(len(content), 'byte')}, the header alone has {size}"
        raise refusal(path, f"is truncated: {found}", "copy or download it again")
    kind: Any = Nifti1Header if size == NIFTI_1 else Nifti2Header
    parsed: Nifti1Header = kind(content[:size], order, check=False)
    return parsed


def _voxel_type(path: Path, parsed: Nifti1Header) -> np.dtype[Any]:
    code = int(parsed["datatype"])
    found = REFUSED_TYPES.get(code, f"a type of number nobody knows (datatype {code})")
    try:
        kind: np.dtype[Any] = np.dtype(parsed.get_data_dtype().str)  # as numpy calls it, nibabel has names of its own
    except KeyError:
        kind = np.dtype(np.void)
    if not _is_plain(kind):
        raise refusal(path, f"its voxels are {found}", "save it with one plain integer or float in each voxel")
    return kind


def _is_plain(kind: np.dtype[Any]) -> bool:
    return kind.kind in "iuf" and kind.itemsize <= 8


def _shape(path: Path, dim: list[int], most_dimensions: int) -> tuple[int, ...]:
    count = dim[0]
    if not 1 <= count <= 7:
        raise refusal(path, f"declares {counted(count, 'dimension')}; there are 1 to 7", "export it again")
    shape = tuple(dim[1 : count + 1])
    if min(shape) < 1:
        raise refusal(path, f"declares the size {shape}; every side needs a voxel", "export it again")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    found = f"has {counted(len(shape), 'dimension')}, of size {shape}"
    if len(shape) < 3:
        raise refusal(path, f"{found}; images are 3D here", "save it as a volume of one slice")
    if len(shape) > most_dimensions:
        remedy = f"{CHANNEL_EACH} (autoseg_convert_decathlon_task does it for a Decathlon task)"
        raise SeveralVolumesError(path, found, remedy)
    return shape


def _spacing(path: Path, pixdim: list[float]) -> tuple[float, float, float]:
    x, y, z = pixdim[1:4]
    least, most = SPACING_RANGE
    if not all(least <= side <= most for side in (x, y, z)):
        raise refusal(
            path,
            f"declares a voxel size of {in_brackets((x, y, z))} mm; every side must be above zero, "
            f"from {least:g} to {most:g} mm",
            "write the true voxel size (pixdim) into its header",
        )
    return x, y, z


def _offset(path: Path, offset: float, least: int) -> int:
    if not (math.isfinite(offset) and offset >= least and offset == int(offset)):
        raise refusal(
            path,
            f"declares that its voxels begin at byte {offset:g}; the first possible is {least}",
            "export it again",
        )
    return int(offset)


# -------------------------------------------------------------------- where it lies


def _encode_header(stored: Array, geometry: Geometry, told: Told) -> bytes:
    from nibabel.nifti1 import Nifti1Header

    if stored.ndim != 3 or not _is_plain(stored.dtype) or stored.dtype == np.float16:
        raise TypeError(f"no image file holds an array of {counted(stored.ndim, 'dimension')} of {stored.dtype}")
    forms, header = forms_of_grid(geometry), Nifti1Header(endianness="<")
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape[::-1])
    header.set_xyzt_units("mm")
    values: dict[str, Any] = {
        "pixdim": (forms.handedness, *geometry.spacing[::-1], 0, 0, 0, 0),
        "vox_offset": SINGLE_FILE_OFFSET,
        "scl_slope": told.step,
        "scl_inter": 0,
        "descrip": told.description.encode("ascii")[:79],
        "qform_code": forms.qform_code,
        "sform_code": forms.sform_code,
        **dict(zip((*QUATERNION, *OFFSET), (*forms.quaternion, *forms.offset), strict=True)),
        **dict(zip(ROWS, np.reshape(forms.matrix, (3, 4)), strict=True)),
        "magic": b"n+1",
    }
    for name, value in values.items():
        header[name] = value
    packed: bytes = header.binaryblock
    return packed + bytes(SINGLE_FILE_OFFSET - NIFTI_1)


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    header = _encode_header(data, geometry, told)
    write_plain_voxels(path, header, data, packed_from=0 if path.name.lower().endswith(".gz") else None)


NIFTI = Format(
    endings=(".nii.gz", ".nii"),
    read_header=_read_header,
    read_voxels=_read_voxels,
    write=_write,
    holds_step=True,
)

PAIR = Format(
    endings=HEADERS,
    read_header=_read_header,
    read_voxels=_read_voxels,
    beside=_voxels_of_pair,
)
