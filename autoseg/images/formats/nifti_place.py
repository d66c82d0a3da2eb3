"""Where a NIfTI image lies: the fields of its header as two forms, and the grid that they give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import DatasetError
from autoseg.forms import SKEWED, Forms, forms_of, unit_axes
from autoseg.geometry import Geometry
from autoseg.images.refusals import refusal

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
"""NIfTI counts to the right and the front; DICOM, and so `Geometry`, to the left and the back."""

ROWS = ("srow_x", "srow_y", "srow_z")
QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
OFFSET = ("qoffset_x", "qoffset_y", "qoffset_z")

LEAST_VOLUME = 0.5
"""Of the box between unit vectors along the axes: half of a cube's where they lean by 60 degrees."""


def read_forms(path: Path, fields: Mapping[str, Any], unit: float) -> Forms:
    """What a header's fields say.

    Args:
        unit: What they count in, in mm.

    Raises:
        DatasetError: That cannot be where an image lies.
    """
    quaternion = tuple(fields[name] for name in (*QUATERNION, *OFFSET))
    rows = tuple(entry for name in ROWS for entry in fields[name])
    declared = (*quaternion * (fields["qform_code"] > 0), *rows * (fields["sform_code"] > 0))
    if not all(map(math.isfinite, declared)):
        raise refusal(
            path,
            "the orientation in its header (qform or sform) holds NaN or infinite numbers",
            "write the true orientation into its header",
        )
    b, c, d, x, y, z = _finite(quaternion)
    forms = Forms(
        qform_code=fields["qform_code"],
        sform_code=fields["sform_code"],
        handedness=-1.0 if fields["pixdim"][0] < 0 else 1.0,
        quaternion=(b, c, d),
        offset=(unit * x, unit * y, unit * z),
        matrix=tuple(unit * entry for entry in _finite(rows)),
    )
    _require_axes(path, forms)
    return forms


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    """As they are, where they can mean anything: a form without a code may hold what it likes."""
    return values if all(map(math.isfinite, values)) else (0.0,) * len(values)


def _require_axes(path: Path, forms: Forms) -> None:
    """Refuse an sform that alone says where the voxels lie, but has no axes of a volume."""
    fault = forms.sform_fault if forms.used is not None else None
    if fault is None or forms.used == "qform" or fault.startswith(SKEWED):
        return
    raise refusal(
        path,
        f"its sform (code {forms.sform_code}), which alone says where it lies, is {fault}",
        "write the true orientation into its header, or code 0 where it is not known",
    )


def is_sheared(forms: Forms) -> bool:
    """Whether an sform that says where the voxels lie, alone or as much as the qform does, has axes that are not perpendicular.

    A skewed sform of another code than the qform's, such as of a registration to a template, is no news of the scanner.
    """
    counts = forms.used == "sform" or (forms.used == "qform" and forms.sform_code == forms.qform_code)
    return counts and (forms.sform_fault or "").startswith(SKEWED)


def can_be_straightened(forms: Forms, spacing: tuple[float, float, float]) -> bool:
    """Whether the sform shears no more than any gantry tilts, voxels of the size that the header says."""
    units = unit_axes(np.reshape(forms.matrix, (3, 4))[:, :3])
    return abs(np.linalg.det(units)) >= LEAST_VOLUME and not forms.has_other_sides(spacing)


def sheared(path: Path, forms: Forms) -> DatasetError:
    """Why an image is refused whose axes are not perpendicular."""
    return refusal(
        path,
        f"the axes in its header are {forms.sform_fault}",
        'resample it onto a straight grid ("sheared": "resample" in dataset.json has that done as it is read), or correct the '
        "sform in its header",
    )


def geometry_of(forms: Forms, spacing: tuple[float, float, float]) -> Geometry:
    """The grid by the form that counts; where there is none, axes as DICOM's, as ITK has it. Spacing is of x, y, z."""
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


def forms_of_grid(geometry: Geometry) -> Forms:
    """Those that it was read with, as long as they still say the same; else two that agree."""
    z, y, x = geometry.spacing
    if geometry.forms and not geometry_of(geometry.forms, (x, y, z)).differences(geometry):
        return geometry.forms
    right, front, up = (np.array(geometry.origin[::-1]) * LPS_TO_RAS).tolist()
    direction = np.reshape(geometry.direction, (3, 3))[::-1, ::-1] * LPS_TO_RAS[:, None]
    return forms_of((x, y, z), (right, front, up), direction)
