"""A prediction of some cases into files of any names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.dataset import Case
from autoseg.inference.settings import PredictionRun, PredictionSettings


def asked(cases: Sequence[Case], files: Sequence[Path], folder: Path | None = None, **settings: Any) -> PredictionRun:
    """What is asked of a prediction: `files` are the cases' in their order, `folder` gets the record."""
    outputs = {case.identifier: file for case, file in zip(cases, files, strict=True)}
    return PredictionRun(cases=cases, outputs=outputs, folder=folder, settings=PredictionSettings(**settings))
