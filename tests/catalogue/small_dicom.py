"""Small DICOM files of a patient whose name must not be found anywhere else: series, structure sets, enhanced images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

PATIENT = {"PatientName": "Doe^Jane", "PatientID": "4711-0815", "PatientBirthDate": "19700102", "PatientSex": "F"}
SECRETS = (b"Doe", b"4711-0815", b"19700102")
SPACING = (2.5, 0.5, 0.8)
ORIGIN = (-30.0, 10.0, 20.0)
"""(z, y, x), mm."""

Curve = Sequence[tuple[float, float, float]]
"""Corners, (z, y, x) in mm."""


def write_series(folder: Path, voxels: np.ndarray, *, series: str = "", **changes: Any) -> str:
    """A CT of a file for each slice, whose names say nothing of their order; returns the identifier of the series."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = series or new_uid()
    for number, plane in enumerate(voxels):
        one = _image(CTImageStorage, f"{uid}.{number + 1}", uid, voxels.shape[1:])
        z, y, x = ORIGIN
        one.ImagePositionPatient = [x, y, z + number * SPACING[0]]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness = list(SPACING[1:]), SPACING[0]
        one.RescaleSlope, one.RescaleIntercept, one.InstanceNumber = 1, -1024, number + 1
        one.PixelData = (plane + 1024).astype("<i2").tobytes()
        for tag, value in changes.items():
            setattr(one, tag, value)
        one.save_as(folder / f"{(7 * number + 3) % 11:02d}.dcm", enforce_file_format=True)
    return uid


def write_enhanced(path: Path, voxels: np.ndarray, *, echoes: int = 1) -> None:
    """An enhanced CT of all slices in one file, from the last to the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    uid = new_uid()
    one = _image(EnhancedCTImageStorage, f"{uid}.1", uid, voxels.shape[1:])
    one.NumberOfFrames = len(voxels)
    one.SharedFunctionalGroupsSequence = [
        _group(
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            PixelMeasuresSequence={"PixelSpacing": list(SPACING[1:]), "SliceThickness": SPACING[0]},
        )
    ]
    z, y, x = ORIGIN
    one.PerFrameFunctionalGroupsSequence = [
        _group(
            PlanePositionSequence={"ImagePositionPatient": [x, y, z + number // echoes * SPACING[0]]},
            PixelValueTransformationSequence={"RescaleSlope": 1, "RescaleIntercept": -1024 - number},
            FrameContentSequence={"TemporalPositionIndex": 1 + number % echoes},
        )
        for number in reversed(range(len(voxels)))
    ]
    stored = [plane + 1024 + number for number, plane in enumerate(voxels)]
    one.PixelData = np.stack(stored[::-1]).astype("<i2").tobytes()
    one.save_as(path, enforce_file_format=True)


def write_structures(
    path: Path, series: str, structures: Mapping[str, Sequence[Curve]], kind: str = "CLOSED_PLANAR"
) -> None:
    """A structure set that refers to a series and names no image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    one = _file(RTStructureSetStorage, new_uid())
    one.Modality, one.SeriesInstanceUID = "RTSTRUCT", new_uid()
    referenced = _group(RTReferencedSeriesSequence={"SeriesInstanceUID": series})
    study = pydicom.Dataset()
    study.RTReferencedSeriesSequence = referenced.RTReferencedSeriesSequence
    frame = pydicom.Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = _frame_of_reference(series), [study]
    one.ReferencedFrameOfReferenceSequence = [frame]
    one.StructureSetROISequence, one.ROIContourSequence = [], []
    for number, (name, curves) in enumerate(structures.items(), start=1):
        named, drawn = pydicom.Dataset(), pydicom.Dataset()
        named.ROINumber, named.ROIName, drawn.ReferencedROINumber = number, name, number
        drawn.ContourSequence = []
        for curve in curves:
            contour = pydicom.Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(curve)
            contour.ContourData = [f"{value:.4f}" for corner in curve for value in reversed(corner)]
            drawn.ContourSequence.append(contour)
        one.StructureSetROISequence.append(named)
        one.ROIContourSequence.append(drawn)
    one.save_as(path, enforce_file_format=True)


def rectangle(slice_: float, rows: tuple[float, float], columns: tuple[float, float]) -> Curve:
    """A closed curve on a slice, its sides in voxels from the first one's centre."""
    corners = [(rows[0], columns[0]), (rows[0], columns[1]), (rows[1], columns[1]), (rows[1], columns[0])]
    z, y, x = ORIGIN
    return [(z + slice_ * SPACING[0], y + row * SPACING[1], x + column * SPACING[2]) for row, column in corners]


def new_uid() -> str:
    """Short enough for numbers behind it."""
    return str(generate_uid())[:50].rstrip(".")


def _frame_of_reference(series: str) -> str:
    return f"{series}.0"


def _file(kind: str, instance: str) -> pydicom.Dataset:
    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID = kind, instance
    one.StudyInstanceUID, one.StudyDate, one.StudyTime, one.AccessionNumber = "1.2.3", "20200101", "120000", "A1"
    one.StudyID, one.Manufacturer, one.ReferringPhysicianName = "1", "maker", ""
    for tag, value in PATIENT.items():
        setattr(one, tag, value)
    return one


def _image(kind: str, instance: str, series: str, shape: Sequence[int]) -> pydicom.Dataset:
    one = _file(kind, instance)
    one.Modality, one.SeriesInstanceUID, one.SeriesNumber = "CT", series, 4
    one.FrameOfReferenceUID, one.ImageType = _frame_of_reference(series), ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.Rows, one.Columns = shape
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    return one


def _group(**sequences: Mapping[str, Any]) -> pydicom.Dataset:
    group = pydicom.Dataset()
    for name, content in sequences.items():
        item = pydicom.Dataset()
        for tag, value in content.items():
            setattr(item, tag, value)
        setattr(group, name, [item])
    return group
