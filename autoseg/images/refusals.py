"""What is refused alike in every format."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import DatasetError
from autoseg.images.format import Header
from autoseg.remedies import remedy
from autoseg.words import counted, readable

LARGEST_VOLUME = 32 * 2**30
"""Bytes of voxels; a micro-CT of 2048 x 2048 x 2048 16-bit voxels has half of it."""

LARGEST_PACKING = 1032
"""Deflate shrinks nothing further (zlib.net, "Maximum expansion factor")."""

CHANNEL_EACH = "save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz"


class SeveralVolumesError(DatasetError):
    """A file of more than one volume; `found` says so, for whoever knows what the file was meant to be.

    Attributes:
        label: What a label in a file of this format is.
    """

    def __init__(self, path: Path, found: str, remedy: str, *, label: str = "3D volume") -> None:
        self.found, self.label = found, label
        super().__init__(str(refusal(path, f"{found}; images are 3D here", remedy)))


def refusal(path: Path, problem: str, remedy: str) -> DatasetError:
    """The error for a file that is not taken, on one line."""
    return DatasetError(f"{readable(path)}: {problem}; {remedy}")


def unreadable(path: Path, error: OSError) -> DatasetError:
    """What the operating system said, with the file's name."""
    return refusal(
        path, f"cannot be read: {error.strerror or error}", remedy(error, "check the disk and the permissions")
    )


def truncated(path: Path, header: Header, found: int) -> DatasetError:
    """The file ends after `found` bytes of voxels."""
    there = counted(max(0, found), "is", "are")
    return refusal(
        path,
        f"is truncated: its header declares {counted(header.size, 'byte')} of voxels, {there} there",
        "copy or download it again",
    )


def overfull(path: Path, header: Header) -> DatasetError:
    """The file goes on behind the declared voxels."""
    return refusal(
        path,
        f"holds more than the {header.shape[::-1]} voxels its header declares",
        "export it again with the true size",
    )


def first_bytes(path: Path, most: int) -> tuple[bytes, int]:
    """Up to `most` bytes from the beginning of a file, and its size."""
    try:
        if not path.is_file():
            raise refusal(path, "there is no such file", "check the name, and where a link leads")
        with path.open("rb") as file:
            return file.read(most), path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error


def require_possible_size(path: Path, header: Header) -> None:
    """Refuse what declares more voxels than any image has, or none."""
    if min(header.shape) < 1:
        raise refusal(path, f"declares the size {header.shape[::-1]}; every side needs a voxel", "export it again")
    if header.size > LARGEST_VOLUME:
        raise refusal(
            path,
            f"declares {header.shape[::-1]} voxels, {header.size / 1e9:.4g} GB; "
            f"no more than {LARGEST_VOLUME / 1e9:.4g} GB are read",
            "check its header, or crop the image",
        )


def with_true_size(path: Path, header: Header, file_size: int) -> Header:
    """The header, where a file of so many bytes can hold what it declares; not a byte of memory is taken before."""
    require_possible_size(path, header)
    if header.packed_from is not None:
        packed = file_size - header.packed_from
        if header.offset + header.size > packed * LARGEST_PACKING:
            raise refusal(
                path,
                f"declares {counted(header.size, 'byte')} of voxels, which its {counted(packed, 'compressed byte')} "
                "cannot hold",
                "copy or download it again",
            )
        return header
    found = file_size - header.offset
    if header.size > found:
        raise truncated(path, header, found)
    if header.size + header.spare < found:
        raise overfull(path, header)
    return header
