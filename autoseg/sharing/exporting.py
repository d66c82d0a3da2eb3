"""Packing trained models into one file, which holds what prediction needs and nothing that names the machine."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import autoseg
from autoseg.command_words import training_command
from autoseg.errors import ModelError, StorageError
from autoseg.evaluation.summary import load_summary, save_summary
from autoseg.files.layout import (
    ALL,
    CARD_FILE,
    CARD_TEXT_FILE,
    FINGERPRINT_FILE,
    SELECTION_FILE,
    SELECTIONS_FOLDER,
    weights_name,
)
from autoseg.files.model_folder import ModelFolder
from autoseg.files.storage import atomic_path, write_bytes
from autoseg.files.zips import BLOCK
from autoseg.machine.progress import progress
from autoseg.outputs import require_own_file
from autoseg.planning.fingerprint import load_fingerprint
from autoseg.plans import load_plans
from autoseg.sharing.archive import is_archive, open_archive
from autoseg.sharing.card import AboutData, ModelCard, card_text, make_card, make_entry, save_card
from autoseg.sharing.checking import check_files
from autoseg.sharing.manifest import FileEntry, Manifest, save_manifest
from autoseg.sharing.members import MANIFEST, RESULTS, parse_members, place_in_archive

FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest a zip can hold, so that equal models give equal archives."""

READABLE_FILE = 0o100644 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is packed beside the models' own files, each where there is one.

    Attributes:
        fingerprint: Used for models that do not hold one themselves.
        selection: The choice of the best configuration.
    """

    about: AboutData = field(default_factory=AboutData)
    fingerprint: Path | None = None
    selection: Path | None = None


def export_models(
    models: Sequence[ModelFolder],
    target: Path,
    sources: Sources,
    *,
    folds: Sequence[str] | None = None,
    checkpoints: Sequence[str] = ("final",),
    overwrite: bool = False,
) -> ModelCard:
    """Write an archive of models of one task; the same models give the same bytes.

    Args:
        models: At least one; a cascade together with the configuration it follows.
        folds: "0", "1", ... or "all"; None takes every fold that is trained.
        checkpoints: "final", "best" or both.
        overwrite: Replace what is there, though it is no archive of models.

    Raises:
        ModelError: A fold is not trained (the command that trains it is named), or a file is damaged.
        PlanError: The plans of a model are damaged.
        WorkspaceError: Something else than an archive of models is there.
        StorageError: The archive cannot be written; what was there before is left as it was.
    """
    if target.suffix != ".zip":
        raise StorageError(f"{target}: an archive's name ends in .zip; name it {target.name or 'model'}.zip")
    chosen = {model: _chosen_folds(model, folds, checkpoints) for model in models}
    with tempfile.TemporaryDirectory() as made, atomic_path(target) as temporary:
        card, files = _collect(chosen, sources, checkpoints, Path(made))
        check_files(parse_members([*files, MANIFEST]), files)
        _write_archive(files, temporary)
        if not overwrite:
            require_own_file(target, is_archive)
        with open_archive(temporary):  # what is written can be opened
            return card


def _chosen_folds(model: ModelFolder, wanted: Sequence[str] | None, checkpoints: Sequence[str]) -> tuple[str, ...]:
    trained = [fold for fold in model.folds(checkpoints[0]) if all(fold in model.folds(name) for name in checkpoints)]
    missing = [fold for fold in (wanted or ()) if fold not in trained]
    if missing or not trained:
        lacking = f"fold {', '.join(missing)}" if missing else "any fold"
        weights = " and ".join(map(weights_name, checkpoints))
        commands = "\n".join(f"  {training_command(model.key, fold)}" for fold in missing or ["0"])
        raise ModelError(f"{model.folder}: no {weights} of {lacking}; train with\n{commands}")
    return tuple(fold for fold in trained if wanted is None or fold in wanted)


def _collect(
    chosen: Mapping[ModelFolder, Sequence[str]], sources: Sources, checkpoints: Sequence[str], made: Path
) -> tuple[ModelCard, dict[str, Path]]:
    """The card, and every file of the archive by its name in it, sorted; files that are made lie in `made`."""
    files: dict[str, Path] = {}
    entries = []
    for number, (model, folds) in enumerate(chosen.items()):
        plans = load_plans(model.plans_file)
        files |= _model_files(model, sources.fingerprint)
        for fold in folds:
            files |= _fold_files(model, fold, checkpoints, made / str(number))
        entries.append(make_entry(model, plans, folds, checkpoint=checkpoints[0]))
    if sources.selection is not None:
        files[f"{RESULTS}/{SELECTIONS_FOLDER}/{plans.dataset}/{SELECTION_FILE}"] = sources.selection
    card = make_card(
        plans,
        sources.about,
        entries,
        training_cases=_training_cases(files),
        selection=sources.selection is not None,
    )
    save_card(card, made / CARD_FILE)
    write_bytes(made / CARD_TEXT_FILE, card_text(card).encode())
    cards = {name: made / name for name in (CARD_TEXT_FILE, CARD_FILE)}
    return card, cards | dict(sorted(files.items()))


def _model_files(model: ModelFolder, fingerprint: Path | None) -> dict[str, Path]:
    own = (model.plans_file, model.plans_view_file, model.postprocessing, model.fusion, model.fingerprint)
    wanted = {_name_of(model, path): path for path in own}
    if fingerprint is not None and not model.fingerprint.is_file():
        wanted[_name_of(model, model.fingerprint)] = fingerprint
    return {name: path for name, path in wanted.items() if path.is_file()}


def _fold_files(model: ModelFolder, fold: str, checkpoints: Sequence[str], made: Path) -> dict[str, Path]:
    trained = model.fold(fold)
    packed = {_name_of(model, path): path for path in map(trained.weights, checkpoints)}
    summary = trained.summary()
    if fold != ALL and summary.is_file():
        packed[_name_of(model, summary)] = _without_folders(summary, made / fold / summary.name)
    return packed


def _name_of(model: ModelFolder, path: Path) -> str:
    """Of a model's file, in an archive."""
    return f"{place_in_archive(model.key)}/{path.relative_to(model.folder).as_posix()}"


def _without_folders(summary_file: Path, target: Path) -> Path:
    """A copy of a summary whose cases are named by their files only: the folders say whose machine it was."""
    summary = load_summary(summary_file)
    cases = [
        replace(case, test=PurePath(case.test).name, reference=PurePath(case.reference).name) for case in summary.cases
    ]
    save_summary(replace(summary, cases=tuple(cases)), target)
    return target


def _training_cases(files: Mapping[str, Path]) -> int | None:
    fingerprints = [path for name, path in files.items() if name.endswith(f"/{FINGERPRINT_FILE}")]
    return len(load_fingerprint(fingerprints[0]).cases) if fingerprints else None


def _write_archive(files: Mapping[str, Path], target: Path) -> None:
    entries: dict[str, FileEntry] = {}
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        progress(len(files), "packing", unit="file") as bar,
    ):
        for name, path in files.items():
            entries[name] = _add(archive, name, path)
            bar.update()
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / MANIFEST
            save_manifest(Manifest(version=autoseg.__version__, files=entries), manifest)
            _add(archive, MANIFEST, manifest)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> FileEntry:
    """Pack one file; its size and sum are those of the bytes that were packed."""
    info = zipfile.ZipInfo(name, FIXED_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = READABLE_FILE
    info.create_system = 3  # Unix, on every machine
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=path.stat().st_size >= 2**31) as packed:
        while block := source.read(BLOCK):
            digest.update(block)
            size += len(block)
            packed.write(block)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)
