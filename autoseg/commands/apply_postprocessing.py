"""`autoseg_apply_postprocessing`: the rules of a postprocessing.json, applied to a folder of segmentations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import add_overwrite, add_workers, folder
from autoseg.commands.running import Command, Parser, run_command
from autoseg.dataset import image_files
from autoseg.errors import DatasetError
from autoseg.paths import Workspace
from autoseg.words import counted

if TYPE_CHECKING:
    from autoseg.postprocessing.rules import Rule

BYTES_PER_WORKER = 2 * 10**9
"""A label image of 1000 slices of 512x512, the numbers of its components, and a copy."""

RECIPE = "rules 1"
"""Raised whenever the same rules give other labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    identifier: str
    path: Path
    output: Path


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i", dest="inputs", metavar="IN", type=folder, required=True, help="segmentations <case>.nii.gz"
    )
    parser.add_argument("-o", dest="output", metavar="OUT", type=folder, required=True, help="where the results go")
    parser.add_argument(
        "-pp",
        dest="rules",
        metavar="FILE",
        type=folder,
        required=True,
        help="a postprocessing.json, or one of your own",
    )
    add_overwrite(parser)
    add_workers(parser, what="apply rules")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - no task folder is touched
    """Apply, and say what."""
    from autoseg.outputs import POSTPROCESSING, copy_beside, require_room_for_copy
    from autoseg.postprocessing.rules import load_rules

    rules = load_rules(arguments.rules)
    if not arguments.overwrite_existing:
        require_room_for_copy(arguments.rules, arguments.output, POSTPROCESSING)
    written = apply_postprocessing(
        arguments.inputs,
        arguments.output,
        rules,
        overwrite=arguments.overwrite_existing,
        workers=arguments.workers,
    )
    copy_beside(arguments.rules, arguments.output)
    print("\n".join(str(rule) for rule in rules) or "no rule: the segmentations stay as they are")
    print(f"written: {counted(len(written), 'segmentation')} in {arguments.output}")


def apply_postprocessing(
    inputs: Path, output: Path, rules: Sequence[Rule], *, overwrite: bool = False, workers: int | None = None
) -> list[Path]:
    """Apply rules to every segmentation of a folder, and return the files written.

    Files in the output of which nothing is known are kept.

    Args:
        overwrite: Replace what is there.

    Raises:
        DatasetError: There is no such folder, or no segmentation in it.
        WorkspaceError: The output is the folder of the segmentations, or holds a task's own data.
        ModelError: What is there was predicted or averaged.
        CasesFailed: After all were tried, naming those that failed.
    """
    from autoseg.files.storage import content_hash
    from autoseg.outputs import POSTPROCESSING, require_apart, require_known_origin
    from autoseg.parallel import fitting_workers, run_on_cases

    if not inputs.is_dir():
        raise DatasetError(f"{inputs}: no such folder; name a folder of segmentations (.nii.gz)")
    require_apart([output], {"the folder of the segmentations; name one of its own": [inputs]})
    files = _files(inputs, output)
    model = content_hash(RECIPE, tuple(rules))
    unknown = [] if overwrite else require_known_origin([file.output for file in files], model, POSTPROCESSING)
    count = fitting_workers(workers, BYTES_PER_WORKER)
    waiting = [file for file in files if file.output not in unknown]
    run_on_cases(
        partial(_apply_to_file, rules=tuple(rules), model=model), waiting, task="postprocessing", workers=count
    )
    return [file.output for file in waiting]


def _files(inputs: Path, output: Path) -> list[_File]:
    """The segmentations of a folder, each with the file it goes to."""
    files = [
        _File(identifier=identifier, path=path, output=output / f"{identifier}.nii.gz")
        for identifier, path in image_files(inputs).items()
    ]
    if not files:
        raise DatasetError(f"{inputs}: no segmentation (.nii.gz) here; name a folder of segmentations")
    return files


def _apply_to_file(file: _File, rules: Sequence[Rule], model: str) -> None:
    from autoseg.evaluation.summary import read_labels
    from autoseg.images import write_image
    from autoseg.outputs import POSTPROCESSING, Origin, hash_files
    from autoseg.postprocessing.rules import apply_rules

    origin = Origin(model=model, inputs=hash_files(file.path), mark=POSTPROCESSING.mark)
    image = read_labels(file.path)
    ruled = apply_rules(image.data, image.geometry.spacing, rules)
    write_image(file.output, ruled, image.geometry, description=str(origin))


COMMAND = Command(
    name="autoseg_apply_postprocessing",
    summary="apply postprocessing rules to segmentations",
    reads="IN/<case>.nii.gz, and a postprocessing.json: a model's, or one of your own such as\n"
    '{"format": 1, "rules": [{"kind": "keep_largest", "labels": [1, 2]},\n'
    '                        {"kind": "remove_small", "labels": [1], "minimum_mm3": 30},\n'
    '                        {"kind": "fill_holes", "labels": [2]}]}',
    writes="OUT/<case>.nii.gz on the same grid, and a copy of the rules. What somebody else made is kept.",
    example="autoseg_apply_postprocessing -i predictions -o cleaned -pp my_rules.json",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
main = partial(run_command, COMMAND)
