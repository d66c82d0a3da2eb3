"""Sound DICOM drawings, and a zip of a series, to be mutated by `fuzz.py`."""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from fuzz_formats import dicom_slice

from autoseg.geometry import Geometry
from autoseg.images.formats.dicom import SliceGrid

GRID = SliceGrid(name=Path("ct"), geometry=Geometry(spacing=(2.0, 1.0, 1.0)), shape=(1, 8, 9))


@cache
def sound_drawings() -> dict[str, bytes]:
    """Content by a name: a structure set, a segmentation, a zip of the series that both were drawn on."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as opened:
            opened.writestr("DICOM/1", dicom_slice())
        return {"rt": _structures(), "seg": _segmentation(), "x.zip": file.getvalue()}


def _structures() -> bytes:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

    one, named, drawn, contour = (pydicom.Dataset() for _ in range(4))
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = RTStructureSetStorage, "1.2.5", "RTSTRUCT"
    named.ROINumber, named.ROIName, drawn.ReferencedROINumber = 1, "heart", 1
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
    contour.ContourData = [1, 1, 0, 6, 1, 0, 6, 5, 0, 1, 5, 0]
    drawn.ContourSequence = [contour]
    one.StructureSetROISequence, one.ROIContourSequence = [named], [drawn]
    buffer = io.BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _segmentation() -> bytes:
    from autoseg.images.dicom_seg import write_dicom_seg
    from autoseg.images.formats.dicom import series_in

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ct").mkdir()
        (Path(folder) / "ct" / "1").write_bytes(dicom_slice())
        (series,) = series_in(Path(folder) / "ct")
        labels = np.resize(np.array([0, 1, 2], np.uint8), GRID.shape)
        write_dicom_seg(Path(folder) / "seg.dcm", labels, series, ("background", "heart", "lung"))
        return (Path(folder) / "seg.dcm").read_bytes()
