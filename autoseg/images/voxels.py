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
from autoseg.images.format import Header
from autoseg.images.refusals import SPARE_BYTES, overfull, refusal, truncated, unreadable

READING_BYTES = 2**20
"""A piece; no second copy of the volume is held."""

GZIP = b"\x1f\x8b"
"""What a gzip stream begins with."""


def read_plain_voxels(path: Path, header: Header) -> Array:
    """Read all voxels, of the header's shape and in this machine's byte order.

    Raises:
        DatasetError: The file is damaged, or holds more or fewer voxels; its last byte and all checksums were looked at.
    """
    stored = np.empty(header.shape, header.voxel_type)
    try:
        with path.open("rb") as file:
            found = _fill(stored.reshape(-1).view(np.uint8), _pieces(file, header))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy or download it again") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if found < header.size:
        raise truncated(path, header, found)
    if found > header.size + SPARE_BYTES:
        raise overfull(path, header)
    return stored.astype(header.voxel_type.newbyteorder("="), copy=False)


def _fill(target: Array, pieces: Iterator[bytes]) -> int:
    """Put pieces into an array of bytes until they end or are far too many; how many bytes there were."""
    found = 0
    for piece in pieces:
        wanted = piece[: max(0, target.size - found)]
        target[found : found + len(wanted)] = np.frombuffer(wanted, np.uint8)
        found += len(piece)
        if found > target.size + SPARE_BYTES:
            break
    return found


def _pieces(file: BufferedReader, header: Header) -> Iterator[bytes]:
    """The bytes from the first voxel on."""
    stream: BinaryIO | gzip.GzipFile = file
    if header.packed_from is not None:
        file.seek(header.packed_from)
        if file.peek(2)[:2] != GZIP:
            return _inflated(file)
        stream = gzip.GzipFile(fileobj=file)
    stream.seek(header.offset)
    return iter(lambda: stream.read(READING_BYTES), b"")


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """A zlib stream, which only MetaImage has, unpacked to its end with the checksum."""
    stream = zlib.decompressobj()
    while not stream.eof:
        packed = stream.unconsumed_tail or file.read(READING_BYTES)
        if not packed:
            raise EOFError("it ends before its compressed voxels do")
        yield stream.decompress(packed, READING_BYTES)
