"""HDF5 through h5py, the extra `hdf5`: an array of the image and one of labels in one file.

An array is (z, y, x), or of several channels (c, z, y, x); two dimensions are one slice. Its attribute `element_size_um`
holds the size of a voxel, z, y, x in micrometres, as in the data of pytorch-3dunet and ilastik. Voxels are read chunk by
chunk, as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images.format import Format, Header, Request, Told
from autoseg.images.formats.pixel_sizes import picture_grid, sidecars
from autoseg.images.refusals import SeveralVolumesError, first_bytes, refusal, require_possible_size
from autoseg.machine.disk_arrays import let_go
from autoseg.words import counted, readable

if TYPE_CHECKING:
    from h5py import Dataset, File

ENDINGS = (".h5", ".hdf5")
BEGINNING = b"\x89HDF\r\n\x1a\n"
ELEMENT_SIZE, MICROMETRE = "element_size_um", 1e-3
ORIGIN = "autoseg_origin"
LABEL, MAPS = "label", "probability_maps"
DIMENSIONS = (2, 3, 4)
FAULTS = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, AttributeError)
"""What h5py raises of damaged files."""


def is_hdf5(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(ENDINGS)


def _read_header(path: Path, wanted: Request) -> Header:
    with _opened(path) as file:
        array = _array(path, file, wanted)
        kind, shape = np.dtype(array.dtype), tuple(array.shape)
        if kind.kind not in "iufb" or kind.itemsize > 8:
            raise refusal(path, f"its array {array.name} holds {kind}", "save it with plain integers or floats")
        if len(shape) not in DIMENSIONS or 0 in shape:
            raise refusal(
                path, f"its array {array.name} has the size {shape}", "save it as (z, y, x), or (channel, z, y, x)"
            )
        own, described = _element_size(path, array), str(array.attrs.get(ORIGIN, ""))
    if len(shape) == 4 and wanted.dimensions < 4 and shape[0] > 1:
        raise SeveralVolumesError(
            path,
            f"its array {array_name(wanted)} holds {counted(shape[0], 'channel')}",
            "declare as many channels in dataset.json, or name another array",
            label="map (z, y, x)",
        )
    volume = (1, *shape) if len(shape) == 2 else shape[-3:]
    header = Header(
        shape=(shape[0], *volume) if len(shape) == 4 and shape[0] > 1 else volume,
        voxel_type=np.dtype(np.uint8) if kind.kind == "b" else kind,
        geometry=picture_grid(path, wanted.reading, own),
        description=described,
    )
    require_possible_size(path, header)
    return header


def array_name(wanted: Request) -> str:
    """What the array is called that is wanted of a file."""
    return wanted.reading.label if wanted.label else wanted.reading.raw


def _array(path: Path, file: File, wanted: Request) -> Dataset:
    """The array that is wanted; of a file of ours, which holds labels alone, these."""
    import h5py

    name = array_name(wanted)
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise _elsewhere(path, name)
    found = file.get(name)
    if found is None and not wanted.label and set(file) <= {LABEL, MAPS} and LABEL in file:
        found = file[LABEL]
    if not isinstance(found, h5py.Dataset):
        there = ", ".join(readable(one) for one in _names(file)[:10]) or "no array"
        raise refusal(
            path,
            f"has no array {readable(name)}, but {there}",
            'name it in dataset.json, "hdf5": {"raw": "...", "label": "..."}',
        )
    if found.is_virtual or found.external or found.file.filename != file.filename:
        raise _elsewhere(path, name)
    return found


def _elsewhere(path: Path, name: str) -> DatasetError:
    return refusal(path, f"its array {readable(name)} lies in other files", "save it as one file")


def _names(file: File) -> list[str]:
    import h5py

    names: list[str] = []
    file.visititems(lambda name, one: names.append(name) if isinstance(one, h5py.Dataset) else None)
    return names


def arrays_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a file by their names, with their sizes.

    Raises:
        DatasetError: It is no HDF5 file, or damaged.
    """
    with _opened(path) as file:
        return {name: tuple(file[name].shape) for name in _names(file)}


def _element_size(path: Path, array: Dataset) -> tuple[float, ...] | None:
    said = array.attrs.get(ELEMENT_SIZE)
    if said is None:
        return None
    size = np.asarray(said, dtype=np.float64).ravel()
    if size.size not in (2, 3) or not (np.isfinite(size).all() and (size > 0).all()):
        raise refusal(path, f"its {ELEMENT_SIZE} is {np.array2string(size)[:60]}", "write three sizes above 0, z, y, x")
    return tuple((size * MICROMETRE).tolist())


def _read_voxels(path: Path, header: Header, wanted: Request) -> Array:
    voxels = np.empty(header.shape, header.voxel_type.newbyteorder("="))
    with _opened(path) as file:
        array = _array(path, file, wanted)
        target = voxels.reshape(array.shape)
        array.read_direct(target) if array.dtype.kind != "b" else target.__setitem__(..., array[...])
    return voxels


def _read_part(path: Path, header: Header, wanted: Request, part: tuple[slice, ...]) -> Array:
    with _opened(path) as file:
        array = _array(path, file, wanted)
        axes = (0,) * (array.ndim - len(part)) + part[
            -array.ndim :
        ]  # one channel, or one slice, may go without an axis
        voxels = np.asarray(array[axes]).astype(header.voxel_type.newbyteorder("="), copy=False)
    return voxels.reshape(tuple(len(range(side)[some]) for side, some in zip(header.shape, part, strict=True)))


@contextmanager
def _opened(path: Path) -> Iterator[File]:
    """The file, opened for reading; what goes wrong with it is told, whatever h5py raises."""
    try:
        import h5py
    except ImportError as error:
        raise refusal(
            path, "is HDF5, which the package h5py reads", "install it: pip install 'autoseg[hdf5]'"
        ) from error
    beginning, _ = first_bytes(path, len(BEGINNING))
    if beginning != BEGINNING:
        raise refusal(path, "is not an HDF5 file", "copy it again, or correct the ending of its name")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DatasetError:
        raise
    except FAULTS as error:
        text = " ".join(str(error).split())
        raise refusal(path, f"is truncated or damaged ({text:.80})", "copy or download it again") from error


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    import h5py

    with h5py.File(path, "w", track_order=False) as file:
        array = file.create_dataset(LABEL, data.shape, data.dtype, compression="gzip", chunks=True, track_times=False)
        for planes in array.iter_chunks(np.s_[:, :1, :1]):
            array[planes[0]] = data[planes[0]]
            let_go(data)
        if not geometry.in_pixels:
            array.attrs[ELEMENT_SIZE] = np.array(geometry.spacing) / MICROMETRE
        if told.description:
            array.attrs[ORIGIN] = told.description
        if told.maps is not None:
            file.create_dataset(MAPS, data=told.maps(), compression="gzip", chunks=True, track_times=False)
        for value, name in enumerate(told.names):
            if value and name:
                array.attrs[f"name_{value}"] = name


HDF5 = Format(
    endings=ENDINGS,
    read_header=_read_header,
    read_voxels=_read_voxels,
    read_part=_read_part,
    write=_write,
    written_as=".h5",
    holds_channels=True,
    beside=sidecars,
)
