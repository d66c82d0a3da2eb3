"""A dataset's folder in place of a task, for commands that work on tasks: what to make of it, and what was understood."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autoseg.commands.arguments import Group, add_task_number, add_where
from autoseg.commands.settings import typed
from autoseg.commands.values import number_from_zero
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.conversion.settings import ConversionSettings
    from autoseg.conversion.taken_in import TakenIn

CONVERSION = frozenset(
    "source task_number name channels label_names remap_labels contrasts multichannel label_suffixes roi_suffix roi_margin where overlap hdf5_arrays sheared".split()
)
"""Where the options are kept."""


def add_conversion(options: Group) -> None:
    """Options that say what to make of a dataset's folder."""
    _add_names(options)
    _add_bids(options)
    _add_cases(options)
    _add_reading(options)


def _add_names(options: Group) -> None:
    add_task_number(options, "that of the folder's name, else the first free one from 500")
    options.add_argument("--name", metavar="NAME", help="name of the new task (default: that of the folder)")
    options.add_argument(
        "--channels",
        metavar="NAME",
        nargs="+",
        help="for folders without dataset.json: what the channels are; CT is normalised in its own way",
    )
    options.add_argument(
        "--label_names",
        metavar="NAME",
        nargs="+",
        help="for folders without dataset.json: what labels 1, 2, ... are (default: what the files name them); of DICOM the structures to take, by name",
    )
    options.add_argument(
        "--remap_labels",
        action="store_true",
        help="renumber label values with gaps in the copies (0 and 255 become 0 and 1)",
    )


def _add_bids(options: Group) -> None:
    options.add_argument(
        "--contrasts", metavar="SUFFIX", nargs="+", default=[], help="of BIDS: images of these suffixes, T1w T2w"
    )
    options.add_argument(
        "--multichannel",
        action="store_true",
        help="of BIDS: the contrasts are channels of one case (default: cases of their own)",
    )
    options.add_argument(
        "--label_suffixes",
        metavar="SUFFIX",
        nargs="+",
        default=[],
        help="of BIDS: what stands behind the image's name in the names of its labels, one for each label: _seg-anterior",
    )
    options.add_argument(
        "--roi_suffix",
        metavar="SUFFIX",
        help="of BIDS: masks in derivatives outside of which nothing is known, so nothing is trained on there",
    )


def _add_cases(options: Group) -> None:
    options.add_argument(
        "--crop_to_roi",
        dest="roi_margin",
        metavar="MM",
        type=number_from_zero,
        help="cut images to their regions of interest (masks in rois, roi in dataset.json or a table, --roi_suffix) and so "
        "many mm around them (default: whole; either way nothing is trained on outside)",
    )
    add_where(options, "only these cases, by what BIDS, metadata.tsv or a table says of them")


def _add_reading(options: Group) -> None:
    options.add_argument(
        "--overlap",
        choices=("masks", "last"),
        help="labels with a file each: masks that may overlap, or one map, in which the last one counts where they do "
        "(default: one map where no two ever overlap, else masks)",
    )
    options.add_argument(
        "--hdf5_arrays",
        metavar=("IMAGE", "LABEL"),
        nargs=2,
        default=[],
        help="of HDF5 files with image and label in one: what these are called in them (default: raw label)",
    )
    options.add_argument(
        "--sheared",
        choices=("refuse", "resample"),
        default="refuse",
        help="NIfTI whose axes are not perpendicular, as of a tilted gantry: resampled onto a straight grid wherever it is "
        "read, which dataset.json then says (default: refuse)",
    )


def chosen_conversion(arguments: argparse.Namespace) -> ConversionSettings:
    """As given by `add_conversion`."""
    from autoseg.conversion.settings import ConversionSettings

    return ConversionSettings(
        number=arguments.task_number,
        name=arguments.name,
        remap_labels=arguments.remap_labels,
        channels=tuple(arguments.channels) if arguments.channels else None,
        labels=tuple(arguments.label_names) if arguments.label_names else None,
        contrasts=tuple(arguments.contrasts),
        multichannel=arguments.multichannel,
        label_suffixes=tuple(arguments.label_suffixes),
        overlap=arguments.overlap,
        where=arguments.where,
        roi_suffix=arguments.roi_suffix,
        roi_margin=arguments.roi_margin,
        hdf5_arrays=tuple(arguments.hdf5_arrays),
        sheared=arguments.sheared,
    )


def taken_in(arguments: argparse.Namespace, workspace: Workspace, *, look_only: bool = False) -> TakenIn:
    """The task of the folder that was given; what was understood of it is printed before anything is written."""
    from autoseg.conversion.taken_in import take_in

    settings = chosen_conversion(arguments)
    taken = take_in(
        arguments.source,
        workspace,
        settings,
        lambda planned: print(typed(planned.understood.report()), flush=True),
        look_only=look_only,
    )
    print(f"{'task' if taken.is_there else 'would become'}: {workspace.task(taken.name).raw}", flush=True)
    return taken
