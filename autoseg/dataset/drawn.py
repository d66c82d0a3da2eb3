"""Which files a case's labels lie in, where it has more than one, and which outputs were drawn in it at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.dataset.cases import Case
from autoseg.dataset.declared_target import ANNOTATED, RATER
from autoseg.dataset.facts import FactsTable
from autoseg.dataset.notes import Notes
from autoseg.dataset.target import Target
from autoseg.images import holds_channels, split_ending
from autoseg.words import first_few, nearest, readable

SEPARATOR = ","
"""Between the outputs in a cell of metadata.tsv."""


def with_label_files(cases: Sequence[Case], target: Target, notes: Notes) -> tuple[Case, ...]:
    """The training cases with the label files that are there: of each mask, and of each rater.

    A case of exclusive labels or regions whose file is there under the listed name stays as it is.
    """
    folders = {case.segmentation.parent for case in cases if case.segmentation}
    there = {folder: _files_by_name(folder) for folder in folders}
    named = [_with_files(case, target, there, notes) for case in cases]
    owners = Counter(path for case in named for path in _own_files(case))
    for path in [path for path, times in owners.items() if times > 1]:
        names = [case.identifier for case in named if any(path in files for files in case.drawn)]
        notes.add(
            f"masks: {readable(path.name)} would be a label of {first_few(names)}; rename a case or a mask",
            kind="shared mask",
        )
    return tuple(named)


def _own_files(case: Case) -> list[Path]:
    paths = list(case.label_paths if case.drawn else ())
    return paths[:1] if case.label_parts[:1] == (0,) else paths


def _files_by_name(folder: Path) -> Mapping[str, Path]:
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.name[0] != "." and split_ending(path.name)[1])
    return {split_ending(path.name)[0]: path for path in files}


def _with_files(case: Case, target: Target, there: Mapping[Path, Mapping[str, Path]], notes: Notes) -> Case:
    if case.segmentation is None:
        return case
    files, stem = there[case.segmentation.parent], split_ending(case.segmentation.name)[0]
    wanted = target.files_of(stem)
    drawn = tuple(_files_of(name, files, case, notes) for name in wanted)
    if target.drawn_apart:
        if not any(drawn) and len(drawn) > 1 and stem in files and holds_channels(files[stem].name):
            return replace(case, segmentation=None, drawn=((files[stem],),) * len(drawn), annotated=target.outputs)
        if not any(drawn):
            notes.add(
                f"case {readable(case.identifier)}: nothing is annotated; add a label file such as {wanted[0]}.nii.gz, or "
                "take the case off the list",
                kind="nothing annotated",
            )
        annotated = tuple(name for name, found in zip(target.outputs, drawn, strict=True) if found)
        return replace(case, segmentation=None, drawn=drawn, annotated=annotated)
    is_plain = not drawn[0] or drawn[0] == (files.get(stem),)
    if is_plain and not target.soft:
        return case
    return replace(case, segmentation=None, drawn=drawn if drawn[0] else ((case.segmentation,),))


def _files_of(name: str, files: Mapping[str, Path], case: Case, notes: Notes) -> tuple[Path, ...]:
    """The file of a name, or those of its raters in their order; none where it was not drawn."""
    raters = {
        int(match[2]): path for stem, path in files.items() if (match := RATER.fullmatch(stem)) and match[1] == name
    }
    if raters and name in files:
        notes.add(
            f"case {readable(case.identifier)}: {readable(files[name].name)} lies beside the files of raters; is it "
            f"their mean, take it away, or one more, call it {readable(f'{name}_rater{max(raters) + 1}')}",
            kind="raters and one",
        )
    alone = (files[name],) if name in files else ()
    return tuple(raters[number] for number in sorted(raters)) + alone


# ---------------------------------------------------------------- annotated


def annotate(cases: Sequence[Case], declared: Any, target: Target, facts: FactsTable, notes: Notes) -> tuple[Case, ...]:
    """The training cases with the outputs that were drawn in each.

    Args:
        declared: What stands under "annotated": an object of cases and lists of outputs, or the name of a column of
            metadata.tsv in which the outputs stand, separated by commas; None where all of every case is drawn.
    """
    if declared is None:
        return tuple(cases)
    if isinstance(declared, str):
        if not any(_fact(case, declared, facts) for case in cases):
            notes.add(f"{ANNOTATED}: metadata.tsv says nothing in a column {declared!r}; name one that holds outputs")
        return tuple(_annotated(case, _in_cell(_fact(case, declared, facts)), target, notes) for case in cases)
    if not isinstance(declared, dict):
        notes.add(
            f'{ANNOTATED}: expected an object such as {{"case_001": ["{target.labels[1]}"]}}, or the name of a column of '
            f"metadata.tsv, found {declared!r:.100}"
        )
        return tuple(cases)
    names = [case.identifier for case in cases]
    for name in declared:
        if name not in names:
            notes.add(
                f"{ANNOTATED}: there is no training case {name!r}{nearest(name, names)}; correct the name",
                kind="unknown case",
            )
    return tuple(_annotated(case, declared.get(case.identifier), target, notes) for case in cases)


def _fact(case: Case, column: str, facts: FactsTable) -> str | None:
    return facts.of(case.identifier).get(column)


def _in_cell(cell: str | None) -> list[str] | None:
    return None if cell is None else [name.strip() for name in cell.split(SEPARATOR)]


def _annotated(case: Case, drawn: Any, target: Target, notes: Notes) -> Case:
    """The case with those outputs; None: all, or of masks those that have files."""
    if drawn is None:
        return case
    where = f"{ANNOTATED}: case {readable(case.identifier)}"
    known = tuple(target.labels[number] for number in target.scored)
    if not isinstance(drawn, list) or not all(isinstance(name, str) for name in drawn):
        notes.add(f'{where}: expected a list of outputs such as ["{known[0]}"], found {drawn!r:.100}', kind="no list")
        return case
    if not drawn:
        notes.add(
            f"{where}: nothing is annotated; name what was drawn, or take the case off the list",
            kind="nothing annotated",
        )
        return case
    if unknown := [name for name in drawn if name not in known]:
        notes.add(
            f"{where}: {first_few(unknown)}: no output is called so{nearest(unknown[0], known)}; known: {first_few(known)}",
            kind="unknown output",
        )
        return case
    ordered = tuple(name for name in known if name in drawn)
    if target.drawn_apart and ordered != case.annotated:
        notes.add(
            f"{where}: {first_few(ordered)} by {ANNOTATED}, but there are files of {first_few(case.annotated or ())}; "
            "make the two agree, or leave the case out there",
            kind="files otherwise",
        )
    return case if ordered == known else replace(case, annotated=ordered)
