"""DICOM segmentations of a series, through highdicom, the extra `dicom`: written from a label map.

What is written names no patient: viewers find its images by the identifiers of the study and of the slices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import LabelArray
from autoseg.files.storage import atomic_path
from autoseg.images.colours import colour_of
from autoseg.images.formats.dicom import Series
from autoseg.images.formats.dicom_slices import FAULTS, is_dicom, opened
from autoseg.images.refusals import refusal

BLANK = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs", "AccessionNumber")
"""What a segmentation copies of its images, and ours leaves empty."""

UNICODE = "ISO_IR 192"
SERIES_NUMBER = 9000
LONGEST_NAME = 64
"""Characters of a segment's label (PS3.5, value representation LO)."""


def can_write_dicom_seg(image: Path) -> bool:
    """Whether an image is a DICOM series, and highdicom is there."""
    return find_spec("highdicom") is not None and is_dicom(image)


def write_dicom_seg(
    path: Path, labels: LabelArray, series: Series, names: tuple[str, ...], description: str = ""
) -> None:
    """Write a label map of a series as a DICOM segmentation: a segment with a name and a colour for each label.

    Args:
        labels: `(Z, Y, X)` on the series' grid.
        names: Of the values, the background first; an empty one is no label.
        description: Of its origin.

    Raises:
        DatasetError: The series says of itself what no segmentation of it can hold.
        StorageError: The file cannot be written.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    named = [(value, name) for value, name in enumerate(names) if value and name]
    numbers = np.zeros(len(names), dtype=np.uint8 if len(named) < 256 else np.uint16)
    for number, (value, _) in enumerate(named, start=1):
        numbers[value] = number
    algorithm = hd.AlgorithmIdentificationSequence(
        name="autoseg", version="1", family=codes.cid7162.ArtificialIntelligence
    )
    as_stored = sorted(range(len(series.slices)), key=lambda place: series.slices[place].frame)
    with _quiet(), _refusing(series):
        written = hd.seg.Segmentation(
            source_images=[_source(path, series) for path in dict.fromkeys(one.path for one in series.slices)],
            pixel_array=numbers[labels[as_stored]],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                hd.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=name[:LONGEST_NAME],
                    segmented_property_category=codes.SCT.AnatomicalStructure,
                    segmented_property_type=codes.SCT.AnatomicalStructure,
                    algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                    algorithm_identification=algorithm,
                    display_color=hd.color.CIELabColor.from_rgb(*colour_of(value)),
                )
                for number, (value, name) in enumerate(named, start=1)
            ],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="autoseg",
            manufacturer_model_name="autoseg",
            software_versions="1",
            device_serial_number="0",
            series_description="segmentation by autoseg",
            omit_empty_frames=False,
        )
        written.ImageComments = description
        for tag in BLANK:
            if tag in written:
                setattr(written, tag, "")
    with _quiet(), atomic_path(path) as temporary:
        written.save_as(temporary)


def _source(path: Path, series: Series) -> Any:
    """A slice without what says who it is of, and of the study and frame of reference of the first: some programs that take
    names away give each slice its own, or take that away, too.
    """
    first = series.slices[0]
    with opened(path) as content:
        content.SpecificCharacterSet = UNICODE
        for tag in BLANK:
            setattr(content, tag, "")
        content.StudyInstanceUID, content.FrameOfReferenceUID = first.study, first.frame_of_reference or first.series
        if "ImageOrientationPatient" in content:  # equal in all slices but for the last decimals
            content.ImageOrientationPatient = [f"{entry:.8f}" for entry in first.axes.T.ravel()]
        if "SliceThickness" not in content:
            content.SliceThickness = f"{first.thickness:.6g}"
        for element in content:
            if element.VR in ("DA", "TM", "DT") and not _is_moment(element.VR, str(element.value)):
                element.value = ""
        return content


def _is_moment(kind: str, text: str) -> bool:
    """Whether a date or time is one; where names were taken away it may be 20120000."""
    from pydicom import valuerep

    try:
        {"DA": valuerep.DA, "TM": valuerep.TM, "DT": valuerep.DT}[kind](text)
    except ValueError:
        return False
    return True


@contextmanager
def _refusing(series: Series) -> Iterator[None]:
    """Whatever highdicom does not take of a series, whose files may hold anything."""
    try:
        yield
    except FAULTS as error:
        text = " ".join(str(error).split())
        raise refusal(
            series.path.parent, f"cannot be written as DICOM segmentation ({text:.80})", "export the series again"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
