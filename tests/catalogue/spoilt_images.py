"""Image files: headers that lie, voxels that are none, files that were cut, packed to burst, or of another kind."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from spoiling import CASE, Entry, Place, Spoil, field_of, moved, verified, voxels

DIMENSIONS, DATATYPE, SPACING, OFFSET, FORMS, SFORM, MAGIC = 40, 70, 80, 108, 252, 280, 344


def image(position: int, form: str, *values: object) -> Spoil:
    """Other numbers in the header of an image."""
    return lambda place: field_of(place.image, position, form, *values)


def content(change: Callable[[bytes], bytes]) -> Spoil:
    """Other bytes, packed."""
    return lambda place: place.image.write_bytes(change(place.image.read_bytes()))


def unpacked(change: Callable[[bytes], bytes]) -> Spoil:
    """Other bytes before they are packed."""
    return content(lambda packed: gzip.compress(change(gzip.decompress(packed)), 1, mtime=0))


def image_voxel(value: float) -> Spoil:
    return lambda place: voxels(place.image, lambda data: data.__setitem__((1, 2, 3), value))


def label_voxel(value: float, kind: type = np.float32) -> Spoil:
    def change(data: np.ndarray) -> np.ndarray:
        changed = data.astype(kind)
        changed[0, 0, 0] = value
        return changed

    return lambda place: voxels(place.label, change)


def bomb(place: Place) -> None:
    """A sound header, and more zeros behind it than any disk holds; the file has a thousandth of them."""
    header = gzip.decompress(place.image.read_bytes())[:352]
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(header), *(packer.compress(bytes(2**20)) for _ in range(64)), packer.flush()]
    place.image.write_bytes(b"".join(pieces))


def as_nrrd(header: str, body: bytes = b"", ending: str = "nrrd") -> Spoil:
    """All files of the case in another format."""

    def spoil(place: Place) -> None:
        place.image.unlink()
        text = (place.raw / "dataset.json").read_text()
        (place.raw / "dataset.json").write_text(text.replace(f"imagesTr/{CASE}.nii.gz", f"imagesTr/{CASE}.{ending}"))
        (place.image.parent / f"{CASE}_0000.{ending}").write_bytes(header.encode() + body)

    return spoil


NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 12 12 8\nencoding: raw\nspacings: 1 1 1\n"
MHA = "ObjectType = Image\nNDims = 3\nDimSize = 12 12 8\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
VOXELS = bytes(12 * 12 * 8)


def uncompressed(place: Place) -> None:
    """Its name still says that it is packed, which is read all the same, but it ends early."""
    place.image.write_bytes(gzip.decompress(place.image.read_bytes())[:-1000])


def skewed(place: Place) -> None:
    """Where there is a sound quaternion too, that is what counts."""
    field_of(place.image, FORMS, "2h", 0, 1)
    field_of(place.image, SFORM, "12f", 1, 0.5, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)


ENTRIES: tuple[Entry, ...] = (
    verified(
        "an empty image",
        content(lambda _: b""),
        "case case_001, imagesTr/case_001_0000.nii.gz: is not a NIfTI image; replace it by one, or convert it to .nii.gz",
    ),
    verified(
        "an image that is text",
        content(lambda _: b"not an image"),
        "case case_001, imagesTr/case_001_0000.nii.gz: is not a NIfTI image; replace it by one, or convert it to .nii.gz",
    ),
    verified(
        "an image cut short",
        content(lambda packed: packed[:-200]),
        "case case_001, imagesTr/case_001_0000.nii.gz: is truncated or damaged (Compressed file ended before the end-of-stream marker was reached); copy or download it again",
    ),
    verified(
        "an image cut within its header",
        content(lambda packed: gzip.compress(gzip.decompress(packed)[:200])),
        "case case_001, imagesTr/case_001_0000.nii.gz: is truncated: 200 bytes, the header alone has 348; copy or download it again",
    ),
    verified(
        "an image with flipped bits",
        content(lambda packed: packed[:-300] + bytes(8) + packed[-292:]),
        "case case_001, imagesTr/case_001_0000.nii.gz: is truncated or damaged (CRC check failed 0xbc005a25 != 0x5959c472); copy or download it again",
    ),
    verified(
        "an unpacked image cut short",
        uncompressed,
        "case case_001, imagesTr/case_001_0000.nii.gz: is truncated: its header declares 4608 bytes of voxels, 3608 are there; copy or download it again",
    ),
    verified(
        "a gzip bomb",
        bomb,
        "case case_001, imagesTr/case_001_0000.nii.gz: holds more than the (12, 12, 8) voxels its header declares; export it again with the true size",
    ),
    verified(
        "voxels beyond the declared ones",
        unpacked(lambda whole: whole + bytes(8000)),
        "case case_001, imagesTr/case_001_0000.nii.gz: holds more than the (12, 12, 8) voxels its header declares; export it again with the true size",
    ),
    verified(
        "NaN in an image",
        image_voxel(np.nan),
        "case case_001, imagesTr/case_001_0000.nii.gz: holds 1 NaN and 0 infinite voxels; replace each by a number",
    ),
    verified(
        "infinity in an image",
        image_voxel(np.inf),
        "case case_001, imagesTr/case_001_0000.nii.gz: holds 0 NaN and 1 infinite voxel; replace each by a number",
    ),
    verified(
        "a constant image",
        lambda place: voxels(place.image, lambda data: data * 0 + 7),
        "case case_001, imagesTr/case_001_0000.nii.gz: is constant: every voxel is 7; export it again or leave the case out",
    ),
    verified(
        "huge declared dimensions",
        image(DIMENSIONS, "8h", 3, 32767, 32767, 32767, 1, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares (32767, 32767, 32767) voxels, 1.407e+05 GB; no more than 34.36 GB are read; check its header, or crop the image",
    ),
    verified(
        "more declared than packed",
        image(DIMENSIONS, "8h", 3, 1000, 1000, 100, 1, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares 400000000 bytes of voxels, which its 4440 compressed bytes cannot hold; copy or download it again",
    ),
    verified(
        "a side of no voxel",
        image(DIMENSIONS, "8h", 3, 12, 0, 8, 1, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares the size (12, 0, 8); every side needs a voxel; export it again",
    ),
    verified(
        "a side of negative length",
        image(DIMENSIONS, "8h", 3, 12, -12, 8, 1, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares the size (12, -12, 8); every side needs a voxel; export it again",
    ),
    verified(
        "nine dimensions",
        image(DIMENSIONS, "h", 9),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares 9 dimensions; there are 1 to 7; export it again",
    ),
    verified(
        "a photograph of two dimensions",
        image(DIMENSIONS, "8h", 2, 12, 96, 1, 1, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: has 2 dimensions, of size (12, 96); images are 3D here; save it as a volume of one slice",
    ),
    verified(
        "several volumes in one image",
        image(DIMENSIONS, "8h", 4, 12, 12, 4, 2, 1, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: has 4 dimensions, of size (12, 12, 4, 2); images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz (autoseg_convert_decathlon_task does it for a Decathlon task)",
    ),
    verified(
        "vector pixels in five dimensions",
        image(DIMENSIONS, "8h", 5, 12, 12, 4, 1, 2, 1, 1),
        "case case_001, imagesTr/case_001_0000.nii.gz: has 5 dimensions, of size (12, 12, 4, 1, 2); images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz (autoseg_convert_decathlon_task does it for a Decathlon task)",
    ),
    verified(
        "colours",
        image(DATATYPE, "2h", 128, 24),
        "case case_001, imagesTr/case_001_0000.nii.gz: its voxels are RGB colours; save it with one plain integer or float in each voxel",
    ),
    verified(
        "complex numbers",
        image(DATATYPE, "2h", 32, 64),
        "case case_001, imagesTr/case_001_0000.nii.gz: its voxels are complex numbers; save it with one plain integer or float in each voxel",
    ),
    verified(
        "a type of number that does not exist",
        image(DATATYPE, "2h", 77, 32),
        "case case_001, imagesTr/case_001_0000.nii.gz: its voxels are a type of number nobody knows (datatype 77); save it with one plain integer or float in each voxel",
    ),
    verified(
        "zero spacing",
        image(SPACING, "3f", 1.0, 0.0, 1.0),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares a voxel size of (1, 0, 1) mm; every side must be above zero, from 1e-06 to 1e+06 mm; write the true voxel size (pixdim) into its header",
    ),
    verified(
        "negative spacing",
        image(SPACING, "3f", 1.0, 1.0, -3.0),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares a voxel size of (1, 1, -3) mm; every side must be above zero, from 1e-06 to 1e+06 mm; write the true voxel size (pixdim) into its header",
    ),
    verified(
        "spacing that is no number",
        image(SPACING, "3f", np.nan, 1.0, 1.0),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares a voxel size of (nan, 1, 1) mm; every side must be above zero, from 1e-06 to 1e+06 mm; write the true voxel size (pixdim) into its header",
    ),
    verified(
        "a direction that is skewed",
        skewed,
        'case case_001, imagesTr/case_001_0000.nii.gz: the axes in its header are skewed, not perpendicular unit vectors; resample it onto a straight grid ("sheared": "resample" in dataset.json has that done as it is read), or correct the sform in its header',
    ),
    verified(
        "a direction that is no number",
        image(SFORM, "f", np.nan),
        "case case_001, imagesTr/case_001_0000.nii.gz: the orientation in its header (qform or sform) holds NaN or infinite numbers; write the true orientation into its header",
    ),
    verified(
        "an orientation of zeros",
        image(FORMS, "2h18f", 0, 2, *[0.0] * 18),
        "case case_001, imagesTr/case_001_0000.nii.gz: its sform (code 2), which alone says where it lies, is all zero; write the true orientation into its header, or code 0 where it is not known",
    ),
    verified(
        "voxels that begin inside of the header",
        image(OFFSET, "f", 10.0),
        "case case_001, imagesTr/case_001_0000.nii.gz: declares that its voxels begin at byte 10; the first possible is 352; export it again",
    ),
    verified(
        "half of a header and image pair",
        image(MAGIC, "4s", b"ni1"),
        "case case_001, imagesTr/case_001_0000.nii.gz: is half of a header/image pair by its header; name the pair .hdr and .img, or save it as .nii.gz",
    ),
    verified(
        "a NIfTI header of another kind",
        image(MAGIC, "4s", b"xyz"),
        "case case_001, imagesTr/case_001_0000.nii.gz: is not a NIfTI image; replace it by one, or convert it to .nii.gz",
    ),
    verified(
        "an image that is a zip file",
        content(lambda _: b"PK\3\4" + bytes(600)),
        "case case_001, imagesTr/case_001_0000.nii.gz: is not a NIfTI image; replace it by one, or convert it to .nii.gz",
    ),
    verified(
        "labels of 0 and 255",
        lambda place: voxels(place.label, lambda data: data * 255),
        "case case_001, labelsTr/case_001.nii.gz: holds the value 255, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "labels with fractions",
        label_voxel(0.5),
        "case case_001, labelsTr/case_001.nii.gz: holds values that are no whole numbers: 0.5; save the labels as integers, resampled without interpolation",
    ),
    verified(
        "labels with NaN",
        label_voxel(np.nan),
        "case case_001, labelsTr/case_001.nii.gz: holds values that are no whole numbers: nan; save the labels as integers, resampled without interpolation",
    ),
    verified(
        "labels below zero",
        label_voxel(-1, np.int16),
        "case case_001, labelsTr/case_001.nii.gz: holds the value -1, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "labels beyond all bounds",
        label_voxel(1e30),
        "case case_001, labelsTr/case_001.nii.gz: holds the value 1e+30, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "labels of another size",
        lambda place: voxels(place.label, lambda data: data[:, 1:].copy()),
        "case case_001, labelsTr/case_001.nii.gz: lies on another grid than case_001_0000.nii.gz: size (8, 12, 12) and (8, 11, 12) voxels (z, y, x); resample it onto that grid",
    ),
    verified(
        "labels of another place",
        lambda place: moved(
            place.label, lambda image: replace(image, geometry=replace(image.geometry, origin=(5.0, 0.0, 0.0)))
        ),
        "case case_001, labelsTr/case_001.nii.gz: lies on another grid than case_001_0000.nii.gz: origin (0, 0, 0) and (5, 0, 0); resample it onto that grid",
    ),
    verified(
        "labels of another voxel size",
        lambda place: moved(
            place.label, lambda image: replace(image, geometry=replace(image.geometry, spacing=(1.0, 1.0, 1.2)))
        ),
        "case case_001, labelsTr/case_001.nii.gz: lies on another grid than case_001_0000.nii.gz: spacing (1, 1, 1) and (1, 1, 1.2); resample it onto that grid",
    ),
    verified(
        "NRRD whose voxels lie elsewhere",
        as_nrrd(NRRD + "data file: /etc/passwd\n\n"),
        "case case_001, imagesTr/case_001_0000.nrrd: its voxels lie in another file; save it as one file, header and voxels together",
    ),
    verified(
        "NRRD with a side of no voxel",
        as_nrrd(NRRD.replace("12 12 8", "12 0 8") + "\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: declares the size '12 0 8'; every one of 3 sides needs a voxel; export it again",
    ),
    verified(
        "NRRD with negative spacing",
        as_nrrd(NRRD.replace("1 1 1", "1 -1 1") + "\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: declares a voxel size of (1, -1, 1) mm; each of 3 sides must be from 1e-06 to 1e+06 mm; write the true voxel size into its header",
    ),
    verified(
        "NRRD of four dimensions",
        as_nrrd(NRRD.replace("dimension: 3", "dimension: 4") + "\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: has '4' dimensions; images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz",
    ),
    verified(
        "NRRD with vector pixels",
        as_nrrd(NRRD + "kinds: vector domain domain\n\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: its axes are not all of space: 'vector'; save each channel as a file of its own",
    ),
    verified(
        "NRRD packed with bzip2",
        as_nrrd(NRRD.replace("raw", "bzip2") + "\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: its voxels are encoded as 'bzip2'; save it with encoding raw or gzip",
    ),
    verified(
        "NRRD without an end",
        as_nrrd(NRRD),
        "case case_001, imagesTr/case_001_0000.nrrd: is truncated: its header does not end; copy or download it again",
    ),
    verified(
        "NRRD cut short",
        as_nrrd(NRRD + "\n", VOXELS[:700]),
        "case case_001, imagesTr/case_001_0000.nrrd: is truncated: its header declares 1152 bytes of voxels, 700 are there; copy or download it again",
    ),
    verified(
        "NRRD packed and cut short",
        as_nrrd(NRRD.replace("raw", "gzip") + "\n", gzip.compress(VOXELS)[:-6]),
        "case case_001, imagesTr/case_001_0000.nrrd: is truncated or damaged (Compressed file ended before the end-of-stream marker was reached); copy or download it again",
    ),
    verified(
        "NRRD that is none",
        as_nrrd("P6 12 12 255\n\n", VOXELS),
        "case case_001, imagesTr/case_001_0000.nrrd: is not a NRRD image; replace it by one, or convert it to .nii.gz",
    ),
    verified(
        "MHA whose voxels lie elsewhere",
        as_nrrd(MHA + "ElementDataFile = case.raw\n", b"", "mha"),
        "case case_001, imagesTr/case_001_0000.mha: its voxels lie in another file; save it as one file, header and voxels together",
    ),
    verified(
        "MHA with vector pixels",
        as_nrrd(MHA + "ElementNumberOfChannels = 3\nElementDataFile = LOCAL\n", VOXELS, "mha"),
        "case case_001, imagesTr/case_001_0000.mha: holds several numbers in each voxel; save each channel as a file of its own",
    ),
    verified(
        "MHA of huge dimensions",
        as_nrrd(MHA.replace("12 12 8", "99999 99999 99999") + "ElementDataFile = LOCAL\n", VOXELS, "mha"),
        "case case_001, imagesTr/case_001_0000.mha: declares (99999, 99999, 99999) voxels, 1e+06 GB; no more than 34.36 GB are read; check its header, or crop the image",
    ),
    verified(
        "MHA with a skewed direction",
        as_nrrd(MHA + "TransformMatrix = 1 0.5 0 0 1 0 0 0 1\nElementDataFile = LOCAL\n", VOXELS, "mha"),
        "case case_001, imagesTr/case_001_0000.mha: the axes in its header are skewed, not perpendicular unit vectors; resample it onto a straight grid, or correct its header",
    ),
    verified(
        "MHA with a key twice",
        as_nrrd(MHA + "NDims = 3\nElementDataFile = LOCAL\n", VOXELS, "mha"),
        "case case_001, imagesTr/case_001_0000.mha: its header says 'NDims' twice; correct the header, or save it anew as .nii.gz",
    ),
)
