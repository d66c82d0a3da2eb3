"""What DICOM files say of their slices, through pydicom, the extra `dicom`: one file a slice, or many frames in one.

Nothing of who was scanned is read. Standard: https://dicom.nema.org/medical/dicom/current/output/html/part03.html, sections
C.7.6.2 and C.7.6.3, and C.7.6.16 for the groups of frames of enhanced images.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.errors import DatasetError
from autoseg.forms import STRAIGHT
from autoseg.images.refusals import first_bytes, refusal

if TYPE_CHECKING:
    from pydicom import Dataset

MARK, MARK_AT = b"DICM", 128
"""PS3.10, section 7.1: 128 bytes of anything, then the four letters."""

SHARED, OF_EACH_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("Modality", "SeriesNumber"),
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated", SHARED, OF_EACH_FRAME),
    *("RescaleSlope", "RescaleIntercept", "EchoTime", "ImageType", "TemporalPositionIdentifier", "InstanceNumber"),
)
"""All that is read beside the voxels: nothing that says who was scanned, or where."""

LOCALISER = "LOCALIZER"
NO_IMAGES = ("SEG", "RTSTRUCT", "RTDOSE", "RTIMAGE", "PR")
"""Modalities of what was drawn on images, computed from them or stored beside them."""

SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7"
"""The beginning of all secondary captures: pages of reports and pictures of screens (PS3.4, table B.5-1)."""

SAME_ORIENTATION = 1e-3
"""Entries of the axes of two slices may differ by so much and be of one volume."""

FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)
"""What pydicom raises of damaged files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a file says of its slice, or of one of its frames; vectors are left, posterior, superior.

    Attributes:
        frame: Which of the file's, counted from 0.
        order: By which slices of one place come after each other.
        instance: The file's own identifier, by which other objects refer to it.
        series, study, frame_of_reference: Identifiers of what it belongs to.
        key: Equal for the slices of one volume.
        axes: 3x2; unit vectors along a row (x) and down a column (y).
        pixel: Distance of rows and of columns, mm.
        shape: Rows and columns.
    """

    path: Path
    frame: int
    order: str
    instance: str
    series: str
    study: str
    frame_of_reference: str
    key: tuple[Any, ...]
    modality: str
    number: int
    position: tuple[float, float, float]
    axes: Float64Array
    pixel: tuple[float, float]
    shape: tuple[int, int]
    thickness: float
    slope: float
    intercept: float

    @property
    def normal(self) -> Float64Array:
        """Of the slice's plane."""
        return np.cross(self.axes[:, 0], self.axes[:, 1])

    @property
    def depth(self) -> float:
        """Its place along the normal, mm."""
        return float(np.dot(self.normal, self.position))


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(MARK_AT + len(MARK))[MARK_AT:] == MARK
    except OSError:
        return False


def slices_in(path: Path) -> tuple[Slice, ...]:
    """The slices of a file; none where it is no image, or a localiser.

    Raises:
        DatasetError: It is damaged, does not say where its slices lie, or holds colours.
    """
    if not is_dicom(path):
        return ()
    with opened(path, tags=TAGS) as content:
        if "Rows" not in content and _is_image(content):
            raise refusal(path, "is truncated: the header of its image is not whole", "copy or export it again")
        if "Rows" not in content or str(content.get("Modality", "")) in NO_IMAGES:
            return ()
        if LOCALISER in content.get("ImageType", ()) or _is_screenshot(content):
            return ()
        if int(content.get("SamplesPerPixel", 1)) != 1:
            raise refusal(path, "holds colours", "save its gray values")
        if OF_EACH_FRAME in content:
            return tuple(_as_slice(path, one, frame) for frame, one in enumerate(frames_of(content)))
        if int(content.get("NumberOfFrames", 1) or 1) > 1:
            raise refusal(
                path,
                "holds several frames and does not say where each of them lies",
                "export the series again, as CT, MR or PET images",
            )
        return (_as_slice(path, content, 0),)


@contextmanager
def opened(path: Path, tags: Sequence[str] = ()) -> Iterator[Dataset]:
    """The file's content, of some tags alone where these are named; what goes wrong with it is told, whatever pydicom raises."""
    try:
        import pydicom
    except ImportError as error:
        raise refusal(
            path, "is a DICOM file, which the package pydicom reads", "install it: pip install 'autoseg[dicom]'"
        ) from error

    first_bytes(path, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom.dcmread(path, stop_before_pixels=bool(tags), specific_tags=list(tags) or None)
    except DatasetError:
        raise
    except (pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException, *FAULTS) as error:
        text = " ".join(str(error).split())
        raise refusal(path, f"is truncated or damaged ({text:.80})", "copy or export it again") from error


def _is_image(content: Dataset) -> bool:
    """Whether the first bytes of a file declare an image, whatever comes then."""
    from pydicom.uid import UID

    return UID(str(content.file_meta.get("MediaStorageSOPClassUID", ""))).name.endswith("Image Storage")


def _is_screenshot(content: Dataset) -> bool:
    is_capture = str(content.get("SOPClassUID", "")).startswith(SCREENSHOT)
    return is_capture and not {"ImagePositionPatient", OF_EACH_FRAME} & set(content.dir())


def frames_of(content: Dataset) -> Iterator[Dataset]:
    """What an enhanced file says of each of its frames, as if each were a file of its own."""
    whole = _without_groups(content)
    for shared in content.get(SHARED) or ():
        whole.update(_flat(shared))
    for group in content[OF_EACH_FRAME].value:
        one = _without_groups(whole)
        one.update(_flat(group))
        yield one


def _without_groups(content: Dataset) -> Dataset:
    import pydicom

    return pydicom.Dataset({element.tag: element for element in content if element.VR != "SQ"})


def _flat(group: Dataset) -> Dataset:
    """What stands in the one item of each sequence of a group."""
    import pydicom

    found = pydicom.Dataset()
    for element in group:
        if element.VR == "SQ" and element.value:
            found.update(_without_groups(element.value[0]))
    return found


def _as_slice(path: Path, content: Dataset, frame: int) -> Slice:
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        if content.get(tag) is None:
            raise refusal(path, f"does not say where its slice lies ({tag})", "export the series again, as images")
    axes = np.array(content.ImageOrientationPatient, dtype=np.float64).reshape(2, 3).T
    if not np.isfinite(axes).all() or abs(float(np.dot(*axes.T))) > STRAIGHT:
        raise refusal(path, "its axes are not perpendicular", "export the series again")
    x, y, z = map(float, content.ImagePositionPatient)
    rows, columns = map(float, content.PixelSpacing)
    thickness = content.get("SpacingBetweenSlices") or content.get("SliceThickness") or max(rows, columns)
    series = str(content.get("SeriesInstanceUID", ""))
    key = (
        series,
        tuple(np.round(axes.ravel() / (2 * SAME_ORIENTATION)).tolist()),
        (int(content.Rows), int(content.Columns)),
        str(content.get("EffectiveEchoTime", content.get("EchoTime", ""))),
        str(content.get("TemporalPositionIndex", content.get("TemporalPositionIdentifier", ""))),
        str(content.get("StackID", "")),
        tuple(content.get("FrameType", content.get("ImageType", ()))),
    )
    return Slice(
        path=path,
        frame=frame,
        order=f"{int(content.get('InstanceNumber') or 0):012d} {frame:06d} {content.get('SOPInstanceUID', '')}",
        instance=str(content.get("SOPInstanceUID", "")),
        series=series,
        study=str(content.get("StudyInstanceUID", "")),
        frame_of_reference=str(content.get("FrameOfReferenceUID", "")),
        key=key,
        modality=str(content.get("Modality", "")),
        number=int(content.get("SeriesNumber") or 0),
        position=(x, y, z),
        axes=axes / np.linalg.norm(axes, axis=0),
        pixel=(rows, columns),
        shape=(int(content.Rows), int(content.Columns)),
        thickness=float(thickness),
        slope=float(content.get("RescaleSlope", 1) or 1),
        intercept=float(content.get("RescaleIntercept", 0) or 0),
    )
