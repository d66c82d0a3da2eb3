"""What a user may ask of a conversion."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.conversion.drawn_masks import Overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionSettings:
    """What a user may ask of a conversion.

    Attributes:
        number: Of the new task; None takes the source's, or the first free one from 500.
        name: Of the new task; None takes the source's.
        link: Point to the source's files rather than copy them.
        remap_labels: Renumber label values that are not consecutive.
        channels: Names of the channels (plain folders only).
        labels: Names of the labels, in the order of their numbers, without the background (not with dataset.json).
        contrasts, multichannel, label_suffixes, roi_suffix: What is chosen of a BIDS dataset.
        overlap: What becomes of labels with a file each.
        where: A condition on what is known of the cases; others are left out.
        roi_margin: Millimetres around regions of interest to which images are cut; None leaves them whole.
        hdf5_arrays: What image and label are called in HDF5 files that hold both; empty for `raw` and `label`.
        sheared: Whether NIfTI images whose axes are not perpendicular are refused, or "resample"d wherever they are read (plain
            folders and files of paths).
    """

    number: int | None = None
    name: str | None = None
    link: bool = False
    remap_labels: bool = False
    channels: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    contrasts: tuple[str, ...] = ()
    multichannel: bool = False
    label_suffixes: tuple[str, ...] = ()
    overlap: Overlap = None
    where: str | None = None
    roi_suffix: str | None = None
    roi_margin: float | None = None
    hdf5_arrays: tuple[str, ...] = ()
    sheared: str = "refuse"
