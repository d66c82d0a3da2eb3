"""`autoseg_apply_postprocessing`: the rules of a postprocessing.json, applied to a folder of segmentations."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_output, add_overwrite, add_rules, add_workers
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import folder
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i",
        dest="inputs",
        metavar="IN",
        type=folder,
        required=True,
        help="segmentations: <case>.nii.gz, or a file for each mask",
    )
    add_output(parser, "where the results go")
    add_rules(parser, "a postprocessing.json, or one of your own", required=True)
    add_overwrite(parser)
    add_workers(parser, what="apply rules")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - no task folder is touched
    """Apply, and say what."""
    from autoseg.outputs import POSTPROCESSING, copy_beside, require_room_for_copy
    from autoseg.postprocessing.folders import apply_postprocessing
    from autoseg.postprocessing.rules import load_rules, target_of_rules

    rules = load_rules(arguments.rules)
    if not arguments.overwrite_existing:
        require_room_for_copy(arguments.rules, arguments.output, POSTPROCESSING)
    written = apply_postprocessing(
        arguments.inputs,
        arguments.output,
        rules,
        target=target_of_rules(arguments.rules),
        overwrite=arguments.overwrite_existing,
        workers=arguments.workers,
    )
    copy_beside(arguments.rules, arguments.output)
    print("\n".join(str(rule) for rule in rules) or "no rule: the segmentations stay as they are")
    print(f"written: {counted(len(written), 'segmentation')} in {arguments.output}")


COMMAND = main = Command(
    name="autoseg_apply_postprocessing",
    summary="apply postprocessing rules to segmentations",
    reads="IN/<case>.nii.gz, and a postprocessing.json: a model's, or one of your own such as\n"
    '{"format": 1, "rules": [{"kind": "keep_largest", "labels": [1, 2]},\n'
    '                        {"kind": "remove_small", "labels": [1], "minimum_mm3": 30},\n'
    '                        {"kind": "fill_holes", "labels": [2]}]}\n'
    'Rules of masks say so: {"format": 1, "masks": ["axon", "myelin"], "rules": [...]}',
    writes="OUT/<case>.nii.gz on the same grid, and a copy of the rules. What somebody else made is kept.",
    example="autoseg_apply_postprocessing -i predictions -o cleaned -pp my_rules.json",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
