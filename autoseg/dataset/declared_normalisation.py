"""How the channels of a task are to be scaled, as its dataset.json says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.dataset.normalisations import read_normalisation
from autoseg.dataset.notes import Notes
from autoseg.errors import DatasetError
from autoseg.extensions import digest_of_code
from autoseg.words import first_few

NORMALISATION, NAME = "normalisation", "name"
EXAMPLE = '"percentile", {"0": "robust"} or {"name": "percentile", "low": 1, "high": 99}'


def declared_normalisation(
    description: Mapping[str, Any], channels: tuple[str, ...], folder: Path, notes: Notes
) -> tuple[str, ...]:
    """A rule for each channel, written as plans have it, "" where the channel's name decides; empty where nothing is said.
    Args:
        folder: Of the task, in which functions of the user's own are looked for.
    """
    said = description.get(NORMALISATION)
    if said is None:
        return ()
    by_number = said if isinstance(said, dict) and NAME not in said else None
    if by_number is not None and (unknown := by_number.keys() - {str(number) for number in range(len(channels))}):
        notes.add(
            f"{NORMALISATION}: {first_few(sorted(unknown))}: no channel has this number; they are numbered as modality"
        )
        return ()
    rules = [
        _rule(said if by_number is None else by_number.get(str(number), ""), number, folder)
        for number in range(len(channels))
    ]
    if None in rules:
        notes.add(f"{NORMALISATION}: expected a name, or names by channel, such as {EXAMPLE}; found {said!r:.100}")
        return ()
    try:
        return tuple(str(read_normalisation(rule)) if rule else "" for rule in rules)
    except DatasetError as error:
        notes.add(f"{NORMALISATION}: {error}")
        return ()


def _rule(said: Any, channel: int, folder: Path) -> str | None:
    """The text of a rule; None where it is none."""
    if isinstance(said, str):
        path, _, function = said.rpartition(":")
        own = folder / path
        return f"{own.resolve()}:{function}@{digest_of_code(own)}" if path.endswith(".py") and own.is_file() else said
    if not isinstance(said, dict) or not isinstance(said.get(NAME), str):
        return None
    settings = []
    for key, value in said.items():
        of_channel = value[channel] if isinstance(value, list) and channel < len(value) else value
        if key == NAME:
            continue
        if isinstance(of_channel, bool) or not isinstance(of_channel, (int, float, str)):
            return None
        settings.append(f"{key}={of_channel}")
    return f"{said[NAME]}({', '.join(settings)})" if settings else said[NAME]
