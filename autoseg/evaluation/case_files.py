"""Which files of two folders are scored against each other: of a case one pair, or one for each mask, and several raters'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import image_files
from autoseg.dataset.declared_target import RATER
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError, WorkspaceError
from autoseg.evaluation.drawn_references import drawings_in
from autoseg.evaluation.metrics import Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One file of a prediction.

    Attributes:
        references: What it is scored against: one file, those of several raters, or none where it was not drawn.
        counted: What in it.
    """

    prediction: Path
    references: tuple[Path, ...]
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFiles:
    """All files of a case; `prediction` and `reference` are what they would be called if each were one."""

    identifier: str
    prediction: Path
    reference: Path
    pairs: tuple[Pair, ...]


def find_pairs(
    predictions: Path, references: Path, counted: Counted, cases: Sequence[str] | None
) -> Sequence[CaseFiles]:
    """The files of the cases, or of all that are in either folder.

    Raises:
        DatasetError: A case lacks a prediction, or has no reference at all; both sides are listed.
    """
    predicted, true = _files(predictions), _references(references)
    wanted = (
        sorted(_cases(predicted, counted) | _cases(_without_raters(true, predicted), counted))
        if cases is None
        else cases
    )
    pairs = {case: _pairs_of(case, predicted, true, counted) for case in wanted}
    absent = [name for case in wanted for name, _ in counted.files(case) if name not in predicted]
    unknown = [case for case in wanted if not any(_raters(name, true) for name, _ in counted.files(case))]
    if missing := [(folder, names) for folder, names in ((predictions, absent), (references, unknown)) if names]:
        listing = "\n".join(f"  not in {folder}: {', '.join(names)}" for folder, names in missing)
        raise DatasetError(
            f"{predictions} and {references}: the two folders must hold the same cases\n{listing}\n"
            "Add what is missing or move what is not to be scored, or score the cases that both hold (`common`)."
        )
    if not wanted:
        raise DatasetError(f"{predictions}: no segmentation (.nii.gz) to score here; predict first")
    return [
        CaseFiles(
            identifier=case,
            prediction=_called(case, predicted, predictions),
            reference=_called(case, true, references),
            pairs=tuple(pairs[case]),
        )
        for case in wanted
    ]


def common_cases(predictions: Path, references: Path, counted: Counted) -> tuple[list[str], list[str]]:
    """The cases that both folders hold, and those that one of them lacks.

    Raises:
        DatasetError: They have none in common.
    """
    found = _files(predictions)
    predicted, true = _cases(found, counted), _cases(_without_raters(_references(references), found), counted)
    if not predicted & true:
        raise DatasetError(f"{predictions} and {references}: no case is in both; files of one case have equal names")
    return sorted(predicted & true), sorted(predicted ^ true)


def cases_in(names: Iterable[str], target: Target) -> tuple[str, ...]:
    """The cases that files of such names, endings left out, belong to; a file that is none of a mask's stands for a case
    of its own name."""
    suffixes = sorted(target.files_of(""), key=len, reverse=True)
    cases = {next((name.removesuffix(one) for one in suffixes if name.endswith(one)), name) for name in names}
    return tuple(sorted(cases))


def references_of(case: str, references: Path, target: Target, predictions: Path) -> tuple[tuple[Path, ...], ...]:
    """For each map of a case's segmentation its true labels: a file, one for each rater, or none where it was not drawn.

    Raises:
        WorkspaceError: There is none of the case.
    """
    files = _files(references) if references.is_dir() else {}
    found = tuple(_raters(name, files) for name in target.files_of(case))
    if not any(found):
        raise WorkspaceError(
            f"{references / case}.nii.gz: no reference for {predictions / case}.nii.gz; run autoseg_plan_and_preprocess, "
            "which copies them"
        )
    return found


def _pairs_of(case: str, predicted: Mapping[str, Path], true: Mapping[str, Path], counted: Counted) -> list[Pair]:
    return [
        Pair(prediction=predicted[name], references=_raters(name, true), counted=part)
        for name, part in counted.files(case)
        if name in predicted
    ]


def _raters(name: str, files: Mapping[str, Path]) -> tuple[Path, ...]:
    """The file of a name, or else those of its raters."""
    if name in files:
        return (files[name],)
    return tuple(path for stem, path in files.items() if (match := RATER.fullmatch(stem)) and match[1] == name)


def _without_raters(files: Iterable[str], predicted: Mapping[str, Path]) -> set[str]:
    """Names as predictions have them."""
    return {match[1] if name not in predicted and (match := RATER.fullmatch(name)) else name for name in files}


def _cases(names: Iterable[str], counted: Counted) -> set[str]:
    return set(names) if counted.target is None else set(cases_in(names, counted.target))


def _references(folder: Path) -> dict[str, Path]:
    """The true labels of a folder: images, and of other cases what is drawn in DICOM."""
    images = _files(folder)
    return {**drawings_in(folder), **images}


def _called(case: str, files: Mapping[str, Path], folder: Path) -> Path:
    return files.get(case, folder / f"{case}.nii.gz")


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name a folder of segmentations (.nii.gz)")
    return image_files(folder)
