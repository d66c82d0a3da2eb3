"""Sound files of every format that is not plain text or NIfTI, to be mutated by `fuzz.py`."""

from __future__ import annotations

import gzip
import io
import struct
from functools import cache

import numpy as np

VOXELS = np.arange(8 * 9, dtype=np.uint8).reshape(8, 9)
VOLUME = np.arange(2 * 8 * 9, dtype="<i2").reshape(2, 8, 9)

BESIDE = "voxels.raw"
"""What detached headers name."""

DETACHED_NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 9 8 2\nspacings: 1 1 1\nendian: little\nencoding: raw\n"
    f"byte skip: 0\nline skip: 0\ndata file: {BESIDE}\n"
)
DETACHED_MHA = (
    f"NDims = 3\nDimSize = 9 8 2\nElementSpacing = 1 1 1\nElementType = MET_SHORT\nElementDataFile = {BESIDE}\n"
)


@cache
def sound_files() -> dict[str, bytes]:
    """Content by a name whose ending tells the format; two tell the same in other ways."""
    from nibabel.nifti1 import Nifti1Header
    from PIL import Image

    header = Nifti1Header(endianness="<")
    header.set_data_dtype(np.int16)
    header.set_data_shape(VOLUME.shape[::-1])
    header["magic"] = b"ni1"
    colours = np.dstack([VOXELS] * 3)
    saved = {
        "x.png": (Image.fromarray(VOXELS), "PNG"),
        "x.jpg": (Image.fromarray(colours), "JPEG"),
        "x.bmp": (Image.fromarray(VOXELS), "BMP"),
    }
    files = {name: _saved(image, kind) for name, (image, kind) in saved.items()}
    return files | {
        "x.tif": _tiff(),
        "x.h5": _hdf5(),
        "x.mgh": _mgh(),
        "x.mgz": gzip.compress(_mgh(), mtime=0),
        "x.hdr": bytes(header.binaryblock),
        "x.nhdr": DETACHED_NRRD.encode(),
        "x.mhd": DETACHED_MHA.encode(),
        "x": dicom_slice(),
    }


def _saved(image: object, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _tiff() -> bytes:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, VOLUME.astype(np.uint16), imagej=True, metadata={"axes": "ZYX", "spacing": 2, "unit": "um"}
    )
    return buffer.getvalue()


def _hdf5() -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        array = file.create_dataset("raw", data=VOLUME, chunks=(1, 8, 9), compression="gzip")
        array.attrs["element_size_um"] = (1.0, 1.0, 1.0)
    return buffer.getvalue()


def _mgh() -> bytes:
    numbers = (1, 9, 8, 2, 1, 4, 0, 1, 1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
    return struct.pack(">7ih15f", *numbers).ljust(284, b"\0") + VOLUME.astype(">i2").tobytes()


def dicom_slice() -> bytes:
    """A series of one slice."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID = MRImageStorage, "1.2.3", "1.2.4"
    image.Modality, image.SeriesNumber, image.InstanceNumber = "MR", 1, 1
    image.StudyInstanceUID, image.FrameOfReferenceUID, image.StudyDate, image.StudyTime = "1.2", "1.2.6", "", ""
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "", "", ""
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 2
    image.Rows, image.Columns, image.SamplesPerPixel = 8, 9, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = VOLUME[0].tobytes()
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
