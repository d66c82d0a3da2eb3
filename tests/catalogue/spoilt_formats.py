"""Pictures, HDF5, FreeSurfer's volumes, pairs and detached headers that lie, or are none; and what dataset.json says of them."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import tifffile
from PIL import Image
from spoiling import CASE, Entry, Place, Spoil, describe, verified

GRAY = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
COLOUR = np.dstack([GRAY, GRAY[::-1], GRAY])
VOXELS = np.arange(8 * 12 * 12, dtype="<i2").reshape(8, 12, 12)

Write = Callable[[Path], object]


def image_as(ending: str, write: Write) -> Spoil:
    """The image in another format."""

    def spoil(place: Place) -> None:
        place.image.unlink()
        relist(place, f"imagesTr/{CASE}.nii.gz", f"imagesTr/{CASE}.{ending}")
        write(place.image.parent / f"{CASE}_0000.{ending}")

    return spoil


def label_as(ending: str, write: Write) -> Spoil:
    """The label in another format."""

    def spoil(place: Place) -> None:
        place.label.unlink()
        relist(place, f"labelsTr/{CASE}.nii.gz", f"labelsTr/{CASE}.{ending}")
        write(place.label.parent / f"{CASE}.{ending}")

    return spoil


def relist(place: Place, old: str, new: str) -> None:
    text = (place.raw / "dataset.json").read_text()
    (place.raw / "dataset.json").write_text(text.replace(old, new))


def picture(values: np.ndarray, **more: object) -> Write:
    return lambda path: Image.fromarray(values).save(path, **more)


def plain(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def cut(write: Write, kept: int) -> Write:
    def spoil(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[:kept])

    return spoil


def deep_colours(path: Path) -> None:
    """A PNG of 16-bit colours by its header, which no library at hand writes."""
    Image.fromarray(COLOUR).save(path)
    content = bytearray(path.read_bytes())
    content[24] = 16
    path.write_bytes(content)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(GRAY).save(path, exif=exif)


def frames(path: Path) -> None:
    Image.fromarray(GRAY).save(path, save_all=True, append_images=[Image.fromarray(GRAY[::-1])])


def tiff(values: np.ndarray, **more: object) -> Write:
    return lambda path: tifffile.imwrite(path, values, **more)


def several_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(GRAY)
        file.write(GRAY[:4])


def with_sidecar(content: object) -> Write:
    def spoil(path: Path) -> None:
        Image.fromarray(GRAY).save(path)
        text = content if isinstance(content, str) else json.dumps(content)
        path.with_suffix(".json").write_text(text)

    return spoil


def hdf5(name: str, values: np.ndarray, **attributes: object) -> Write:
    def spoil(path: Path) -> None:
        with h5py.File(path, "w") as file:
            array = file.create_dataset(name, data=values)
            for key, value in attributes.items():
                array.attrs[key] = value

    return spoil


def linked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["raw"] = h5py.ExternalLink("/etc/passwd", "/raw")


def mgh(version: int = 1, dims: tuple[int, ...] = (12, 12, 8, 1), kind: int = 4, size: float = 1.0) -> Write:
    header = struct.pack(">7ih15f", version, *dims, kind, 0, 1, size, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
    return plain(gzip.compress(header.ljust(284, b"\0") + VOXELS.astype(">i2").tobytes()))


def nhdr(data: str, body: bytes, **more: str) -> Write:
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 12 12 8", "spacings: 1 1 1", "endian: little"]
    lines += ["encoding: raw", f"data file: {data}", *(f"{key}: {value}" for key, value in more.items())]

    def spoil(path: Path) -> None:
        path.write_text("\n".join(lines) + "\n")
        (path.parent / "voxels.raw").write_bytes(body)

    return spoil


def mhd(data: str, body: bytes) -> Write:
    lines = ["NDims = 3", "DimSize = 12 12 8", "ElementSpacing = 1 1 1", "ElementType = MET_SHORT"]

    def spoil(path: Path) -> None:
        path.write_text("\n".join([*lines, f"ElementDataFile = {data}", ""]))
        (path.parent / "voxels.raw").write_bytes(body)

    return spoil


def pair_without_voxels(place: Place) -> None:
    content = bytearray(gzip.decompress(place.image.read_bytes())[:348])
    content[344:348] = b"ni1\0"
    image_as("hdr", plain(bytes(content)))(place)


def single_file_as_pair(place: Place) -> None:
    content = gzip.decompress(place.image.read_bytes())
    image_as("hdr", plain(content))(place)


def of_image(name: str, ending: str, write: Write, text: str) -> Entry:
    return verified(name, image_as(ending, write), f"case {CASE}, imagesTr/{CASE}_0000.{ending}: {text}")


def of_label(name: str, ending: str, write: Write, text: str) -> Entry:
    return verified(name, label_as(ending, write), f"case {CASE}, labelsTr/{CASE}.{ending}: {text}")


def of_sidecar(name: str, content: object, text: str) -> Entry:
    where = f"case {CASE}, imagesTr/{CASE}_0000.png: {{home}}/raw_data/Task001_Balls/imagesTr/{CASE}_0000.json: "
    return verified(name, image_as("png", with_sidecar(content)), where + text)


def of_json(name: str, text: str, **changes: object) -> Entry:
    return verified(name, describe(**changes), f"dataset.json: {text}")


REMEDY = 'write {"spacing": [0.5, 0.5]} in mm, (y, x) or (z, y, x)'

ENTRIES = (
    of_image(
        "a colour picture of one channel",
        "png",
        picture(COLOUR),
        'is a picture of 3 colours; images are 3D here; declare three channels in dataset.json ("0": "red", "1": "green", "2": "blue"), or save it as gray',
    ),
    of_image(
        "a picture that is a text",
        "png",
        plain(b"hello"),
        "is not a PNG picture; copy it again, or correct the ending of its name",
    ),
    of_image(
        "a JPEG under the name of a PNG",
        "png",
        lambda path: Image.fromarray(GRAY).save(path, format="JPEG"),
        "is not a PNG picture; copy it again, or correct the ending of its name",
    ),
    of_image(
        "a picture that was cut",
        "bmp",
        cut(picture(GRAY), 1100),
        "is truncated or damaged (image file is truncated (10 bytes not processed)); copy or download it again",
    ),
    of_image(
        "a picture of 16-bit colours",
        "png",
        deep_colours,
        "has colours of 16 bits, or alpha beside 16 bits; save it as TIFF, or with 8 bits",
    ),
    of_image(
        "a photograph that is to be turned",
        "jpg",
        turned,
        "asks viewers to turn it (EXIF orientation 3), which not all programs do; save it turned",
    ),
    of_image(
        "a picture of inks",
        "jpg",
        lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path),
        "has pixels of the kind CMYK, neither gray nor RGB; save it as gray or RGB PNG",
    ),
    of_image(
        "a picture that moves",
        "png",
        frames,
        "holds several frames; save each as a picture of its own, or all as a TIFF stack",
    ),
    of_image(
        "a TIFF of a time series",
        "tif",
        tiff(np.stack([GRAY] * 3), metadata={"axes": "TYX"}, ome=True),
        "has the axes 'T', such as time; save each volume as a file of its own, with the axes ZYX",
    ),
    of_image(
        "a TIFF of several sizes",
        "tif",
        several_sizes,
        "holds pictures of several sizes ((8, 12), (4, 12)); save the one that is meant as a file of its own",
    ),
    of_image(
        "a TIFF of complex numbers",
        "tif",
        tiff(GRAY.astype("c8")),
        "its pixels are of the type complex64; save it with plain integers or floats",
    ),
    of_image(
        "a TIFF that is none",
        "tif",
        plain(b"hello"),
        "is not a TIFF picture; copy it again, or correct the ending of its name",
    ),
    of_image(
        "a TIFF of two channels for one",
        "tif",
        tiff(np.stack([GRAY] * 2), imagej=True, metadata={"axes": "CYX"}),
        "holds 2 colours or channels; images are 3D here; declare as many channels in dataset.json, or save each as a file of its own",
    ),
    of_sidecar("a sidecar that is no JSON", "{", f"goes with a picture, and is no JSON; correct it, or {REMEDY}"),
    of_sidecar("a sidecar that is a list", [1], f"goes with a picture, and is no JSON object; correct it, or {REMEDY}"),
    of_sidecar(
        "a sidecar with a size of nothing",
        {"spacing": [0, 1]},
        f"says that a pixel is [0, 1] mm; each of 2 or 3 sides must be from 1e-06 to 1e+06 mm; {REMEDY}",
    ),
    of_sidecar(
        "a sidecar with a size in words",
        {"PixelSize": "small"},
        f"its size of a pixel is 'small', which are no numbers; {REMEDY}",
    ),
    of_sidecar(
        "a sidecar with a unit that nobody knows",
        {"PixelSize": [1, 1], "PixelSizeUnits": "ell"},
        "its PixelSizeUnits is 'ell'; write mm, um or nm",
    ),
    of_label(
        "a label as JPEG",
        "jpg",
        picture(GRAY),
        "is a JPEG, which changes the numbers of labels near their borders; save it as PNG",
    ),
    of_label(
        "a label in colours",
        "png",
        picture(COLOUR),
        "is a picture of 3 colours; a label is one gray picture; save it as one, with another number for each structure",
    ),
    of_label(
        "HDF5 without labels",
        "h5",
        hdf5("raw", VOXELS),
        'has no array label, but raw; name it in dataset.json, "hdf5": {"raw": "...", "label": "..."}',
    ),
    of_label(
        "HDF5 with several masks for one map",
        "h5",
        hdf5("label", np.stack([VOXELS, VOXELS])),
        "its array label holds 2 channels; a label is one map (z, y, x); save it as one, with another number for each structure",
    ),
    of_image(
        "HDF5 that is none",
        "h5",
        plain(b"hello"),
        "is not an HDF5 file; copy it again, or correct the ending of its name",
    ),
    of_image(
        "HDF5 with another array",
        "h5",
        hdf5("volumes/em", VOXELS),
        'has no array raw, but volumes/em; name it in dataset.json, "hdf5": {"raw": "...", "label": "..."}',
    ),
    of_image(
        "HDF5 with five dimensions",
        "hdf5",
        hdf5("raw", VOXELS[None, None]),
        "its array /raw has the size (1, 1, 8, 12, 12); save it as (z, y, x), or (channel, z, y, x)",
    ),
    of_image(
        "HDF5 of complex numbers",
        "h5",
        hdf5("raw", VOXELS * 1j),
        "its array /raw holds complex128; save it with plain integers or floats",
    ),
    of_image(
        "HDF5 with voxels of no size",
        "h5",
        hdf5("raw", VOXELS, element_size_um=(1.0, 0.0, 1.0)),
        "its element_size_um is [1. 0. 1.]; write three sizes above 0, z, y, x",
    ),
    of_image("HDF5 that leads elsewhere", "h5", linked, "its array raw lies in other files; save it as one file"),
    of_image(
        "a FreeSurfer volume of another version",
        "mgz",
        mgh(version=2),
        "is not a FreeSurfer volume; replace it by one, or convert it to .nii.gz",
    ),
    of_image(
        "a FreeSurfer volume of several frames",
        "mgz",
        mgh(dims=(12, 12, 8, 2)),
        "has 4 dimensions, of size (12, 12, 8, 2); images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz",
    ),
    of_image(
        "a FreeSurfer volume of bits",
        "mgz",
        mgh(kind=5),
        "its voxels are of the type 5, which is no plain number; convert it to .nii.gz",
    ),
    of_image(
        "a FreeSurfer volume without a voxel size",
        "mgz",
        mgh(size=0.0),
        "declares a voxel size of (0, 1, 1) mm; every side must be above zero; write the true voxel size into its header",
    ),
    verified(
        "a header whose voxels are not there",
        pair_without_voxels,
        f"case {CASE}, imagesTr/{CASE}_0000.hdr: its voxels should lie in {CASE}_0000.img, which is not there; put both side by side",
    ),
    verified(
        "a single file under the name of a pair",
        single_file_as_pair,
        f"case {CASE}, imagesTr/{CASE}_0000.hdr: holds its voxels itself by its header; rename it to {CASE}_0000.nii",
    ),
    of_image(
        "a detached header that leads out of its folder",
        "nhdr",
        nhdr("../../dataset.json", b""),
        "its voxels lie in '../../dataset.json'; what is read is one file beside the header; put it there, and only its name into the header",
    ),
    of_image(
        "a detached header that declares too few voxels",
        "nhdr",
        nhdr("voxels.raw", VOXELS.tobytes() + b"\0\0"),
        "{home}/raw_data/Task001_Balls/imagesTr/voxels.raw: holds more than the (12, 12, 8) voxels its header declares; export it again with the true size",
    ),
    of_image(
        "a detached header that skips nobody knows what",
        "nhdr",
        nhdr("voxels.raw", VOXELS.tobytes(), **{"byte skip": "-5"}),
        "its byte skip is '-5'; it can be a number from 0 on, or -1; save it anew as .nii.gz",
    ),
    of_image(
        "a MetaImage in many files",
        "mhd",
        mhd("LIST", b""),
        "its voxels lie in 'LIST'; what is read is one file beside the header; put it there, and only its name into the header",
    ),
    of_image(
        "a MetaImage whose voxels were cut",
        "mhd",
        mhd("voxels.raw", VOXELS.tobytes()[:-1]),
        "{home}/raw_data/Task001_Balls/imagesTr/voxels.raw: is truncated: its header declares 2304 bytes of voxels, 2303 are there; copy or download it again",
    ),
    of_json(
        "a normalisation that nobody knows",
        "normalisation: unknown normalisation persentile; did you mean percentile?, known are CT, nonCT, noNorm, rgb, min_max, percentile, robust, max_abs, quantile, histogram, and a function of your own as path/to/file.py:function",
        normalisation="persentile",
    ),
    of_json(
        "a normalisation of a channel that is not there",
        "normalisation: 3: no channel has this number; they are numbered as modality",
        normalisation={"3": "rgb"},
    ),
    of_json(
        "a normalisation between wrong percentiles",
        "normalisation: normalisation percentile(low=99, high=1): low must be below high, both from 0 to 100",
        normalisation={"name": "percentile", "low": 99, "high": 1},
    ),
    of_json(
        "a pixel size in words",
        "spacing: expected the size of a voxel in mm, [y, x] or [z, y, x], such as [0.5, 0.5], found 'fine'",
        spacing="fine",
    ),
    of_json(
        "arrays of HDF5 that are no names",
        'hdf5: expected the names of arrays, such as {"raw": "raw", "label": "label"}, found {\'image\': \'raw\'}',
        hdf5={"image": "raw"},
    ),
    Entry(
        name="predictions in a format that is not written",
        words="autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/out -t 1 -m 2d -device cpu --output_format gif",
        message="--output_format: nothing is written as 'gif'; name one of nii.gz, nii, seg.nrrd, nrrd, mha, png, tif, tiff, h5, hdf5",
    ),
)
