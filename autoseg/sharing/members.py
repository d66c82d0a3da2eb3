"""What an archive may hold, by name: the model folders of one task, its selection, a card, a manifest. Nothing else.

manifest.json
model_card.md, model_card.json
results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/   plans.pkl, plans.json, fingerprint.json,
    postprocessing.json, fold_k/ or all/ with weights_final.pt, weights_best.pt, validation_raw/summary.json
results/selections/TaskXXX_Name/selection.json
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import ModelError
from autoseg.files.layout import (
    CARD_FILE,
    CARD_TEXT_FILE,
    CHECKPOINTS,
    CONFIGURATION_PATTERN,
    FINGERPRINT_FILE,
    FOLD_PATTERN,
    FUSION_FILE,
    PLANS_FILE,
    PLANS_VIEW_FILE,
    POSTPROCESSING_FILE,
    RUNS_FOLDER,
    SELECTION_FILE,
    SELECTIONS_FOLDER,
    SUMMARY_FILE,
    VALIDATION_FOLDER,
    weights_name,
)
from autoseg.files.model_folder import ModelKey
from autoseg.files.pickles import LARGEST_PICKLE

MANIFEST = "manifest.json"
RESULTS = "results"
"""The folder of an archive that holds what belongs into one's results."""

SMALL_FILE = 1 * 2**20
"""Bytes; cards and manifests take a few thousand."""

LARGE_JSON = 64 * 2**20
"""Bytes; scores of a thousand cases with a hundred labels stay below."""

LARGEST_WEIGHTS = 4 * 2**30
"""Bytes; the largest residual U-Net that is trained today takes a quarter."""

LARGEST_ARCHIVE = 64 * 2**30
"""Bytes, packed or unpacked: four configurations of five folds, the best and the final weights of each."""

MOST_MEMBERS = 1000
"""Four configurations of five folds take about a hundred."""

LONGEST_NAME = 400


def _one_of(*names: str) -> str:
    """What matches any of some names."""
    return f"(?:{'|'.join(map(re.escape, names))})"


TASK = r"(?P<task>Task\d{3,6}_\w(?:[\w .+()-]{0,98}[\w+()])?)"
MODEL = rf"{RESULTS}/(?P<configuration>(?!{_one_of(SELECTIONS_FOLDER, RUNS_FOLDER)}/){CONFIGURATION_PATTERN})/{TASK}/(?P<model>[^\W\d]\w{{0,99}}__[\w.-]{{1,99}})"
FOLD = rf"(?P<fold>{FOLD_PATTERN})"
NAMES = (
    (re.compile(re.escape(MANIFEST)), SMALL_FILE),
    (re.compile(_one_of(CARD_FILE, CARD_TEXT_FILE)), SMALL_FILE),
    (re.compile(rf"{RESULTS}/{SELECTIONS_FOLDER}/{TASK}/{_one_of(SELECTION_FILE)}"), LARGE_JSON),
    (re.compile(rf"{MODEL}/{_one_of(PLANS_FILE)}"), LARGEST_PICKLE),
    (
        re.compile(rf"{MODEL}/{_one_of(PLANS_VIEW_FILE, FINGERPRINT_FILE, POSTPROCESSING_FILE, FUSION_FILE)}"),
        LARGE_JSON,
    ),
    (re.compile(rf"{MODEL}/{FOLD}/{_one_of(*map(weights_name, CHECKPOINTS))}"), LARGEST_WEIGHTS),
    (re.compile(rf"{MODEL}/{FOLD}/{VALIDATION_FOLDER}/{_one_of(SUMMARY_FILE)}"), LARGE_JSON),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A file of an archive, by its name.

    Attributes:
        name: Path inside the archive, with forward slashes.
        limit: Bytes it may have at most.
        task: `TaskXXX_Name`, where it belongs to one.
        configuration, model: Of the model folder it lies in, where it lies in one; `model` is `<Trainer>__<plans>`.
        fold: `fold_k` or `all`, where it belongs to one.
    """

    name: str
    limit: int
    task: str | None = None
    configuration: str | None = None
    model: str | None = None
    fold: str | None = None

    @property
    def folder(self) -> str | None:
        """The model folder, relative to the archive; None for what lies in none."""
        return f"{RESULTS}/{self.configuration}/{self.task}/{self.model}" if self.model else None


def place_in_archive(model: ModelKey) -> str:
    """The folder of a model, relative to the archive."""
    return f"{RESULTS}/{model.place}"


def parse_member(name: str) -> ArchiveMember:
    """Understand one name.

    Raises:
        ModelError: The name leaves the archive's folder, or is none that an archive of models has.
    """
    _refuse_dangerous(name)
    for pattern, limit in NAMES:
        if found := pattern.fullmatch(name):
            return ArchiveMember(name=name, limit=limit, **found.groupdict())
    raise ModelError(f"{shown(name)} is no file of a model archive")


def parse_members(names: Iterable[str]) -> dict[str, ArchiveMember]:
    """Understand all names of an archive, in order.

    Raises:
        ModelError: Also for a name that is there twice (letter case and accents aside, as some disks see them), for
            more than one task, and where a model lacks its plans or all its weights.
    """
    members: dict[str, ArchiveMember] = {}
    seen: set[str] = set()
    for name in names:
        member = parse_member(name)
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            raise ModelError(f"{shown(name)} is there twice")
        seen.add(folded)
        members[name] = member
    _require_whole_models(members)
    return members


def shown(text: str) -> str:
    """Text from an archive as it may appear in a message: quoted, control characters escaped, not too long."""
    quoting = reprlib.Repr()
    quoting.maxstring = 200
    return quoting.repr(text)


def _refuse_dangerous(name: str) -> None:
    if "\\" in name or ":" in name:
        raise ModelError(f"{shown(name)} holds a backslash or a drive letter")
    if name.startswith("/") or ".." in name.split("/"):
        raise ModelError(f"{shown(name)} leaves the archive's folder")
    if name.endswith("/"):
        raise ModelError(f"{shown(name)} is a folder; an archive of models lists files only")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise ModelError(f"{shown(name)} is too long or holds characters that cannot be printed")


def _require_whole_models(members: dict[str, ArchiveMember]) -> None:
    for name in (MANIFEST, CARD_FILE, CARD_TEXT_FILE):
        if name not in members:
            raise ModelError(f"{name} is missing")
    folders = {member.folder for member in members.values()} - {None}
    if not folders:
        raise ModelError("there is no model in it")
    if len(tasks := {member.task for member in members.values()} - {None}) > 1:
        raise ModelError(f"it holds models of several tasks: {', '.join(sorted(map(str, tasks)))}")
    for folder in sorted(map(str, folders)):
        if missing := [name for name in (PLANS_FILE, PLANS_VIEW_FILE) if f"{folder}/{name}" not in members]:
            raise ModelError(f"{folder} lacks {' and '.join(missing)}")
        if not any(member.folder == folder and member.limit == LARGEST_WEIGHTS for member in members.values()):
            raise ModelError(f"{folder} holds no weights")


def unpacked_path(folder: Path, member: ArchiveMember) -> Path:
    """Where a member lies under `folder`."""
    return folder.joinpath(*member.name.split("/"))
