"""Voxels that lie one after the other in a file, plain or in one gzip or zlib stream.

The formats' libraries are not asked for them: where a compressed file was cut short or damaged they hand out what is left,
or zeros, without a word, and they never look whether a file goes on behind its voxels (`tests/images/test_libraries.py`).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.arrays import Array
from autoseg.images.format import Header, Request
from autoseg.images.refusals import overfull, refusal, truncated, unreadable

LAST_BYTES = -1
"""An offset: the voxels are the last bytes of what is unpacked."""

READING_BYTES = 2**20
"""A piece; no second copy of the volume is held."""

COMPRESSION_LEVEL = 6
"""zlib's default: label images shrink as far as with ITK, in the same time."""

GZIP = b"\x1f\x8b"
"""What a gzip stream begins with."""


def read_plain_voxels(path: Path, header: Header, _: Request) -> Array:
    """Read all voxels, of the header's shape and in this machine's byte order.

    Raises:
        DatasetError: The file is damaged, or holds more or fewer voxels; its last byte and all checksums were looked at.
    """
    path = header.data_file or path
    stored = np.empty(header.shape, header.voxel_type)
    try:
        with path.open("rb") as file:
            found = _fill(stored.reshape(-1).view(np.uint8), _pieces(file, header), header.spare)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy or download it again") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if found < header.size:
        raise truncated(path, header, found)
    if found > header.size + header.spare:
        raise overfull(path, header)
    return stored.astype(header.voxel_type.newbyteorder("="), copy=False)


def _fill(target: Array, pieces: Iterator[bytes], spare: int) -> int:
    """Put pieces into an array of bytes until they end or are far too many; how many bytes there were."""
    found = 0
    for piece in pieces:
        wanted = piece[: max(0, target.size - found)]
        target[found : found + len(wanted)] = np.frombuffer(wanted, np.uint8)
        found += len(piece)
        if found > target.size + spare:
            break
    return found


def _pieces(file: BufferedReader, header: Header) -> Iterator[bytes]:
    """The bytes from the first voxel on."""
    stream: BinaryIO | gzip.GzipFile = file
    if header.packed_from is not None:
        file.seek(header.packed_from)
        if file.peek(2)[:2] != GZIP and header.offset == 0:
            return _inflated(file)
        stream = gzip.GzipFile(fileobj=file)
    stream.seek(max(0, _length(stream) - header.size) if header.offset == LAST_BYTES else header.offset)
    return iter(lambda: stream.read(READING_BYTES), b"")


def _length(stream: BinaryIO | gzip.GzipFile) -> int:
    return sum(map(len, iter(lambda: stream.read(READING_BYTES), b"")))


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """A zlib stream, which only MetaImage has, unpacked to its end with the checksum."""
    stream = zlib.decompressobj()
    while not stream.eof:
        packed = stream.unconsumed_tail or file.read(READING_BYTES)
        if not packed:
            raise EOFError("it ends before its compressed voxels do")
        yield stream.decompress(packed, READING_BYTES)


def write_plain_voxels(path: Path, header: bytes, data: Array, *, packed_from: int | None) -> None:
    """Write what stands before the voxels, then these; equal input, equal bytes.

    Args:
        packed_from: Byte of header and voxels from which on they are compressed, as one gzip stream; None: nowhere.
    """
    with path.open("wb") as plain:
        if packed_from is None:
            plain.write(header)
            plain.write(data.data)
            return
        plain.write(header[:packed_from])
        with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, plain, mtime=0) as packed:
            packed.write(header[packed_from:])
            packed.write(data.data)
