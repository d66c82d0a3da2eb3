"""How to predict, and what: the values that a prediction is settled by before its first case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from autoseg.dataset import Case
from autoseg.dataset.raw_cases import RawCase
from autoseg.errors import ModelError
from autoseg.files.layout import PREDICTION_FILE
from autoseg.geometry import STEP_SIZE
from autoseg.images import WRITTEN_ENDINGS, written_ending
from autoseg.inference.engines import Engine
from autoseg.inference.scorers.halo import NO_HALO, Halo
from autoseg.preprocessing.slabs import SurveyedCase

Mode: TypeAlias = Literal["normal", "fast"]
MODES = ("normal", "fast")

Failures: TypeAlias = Sequence[tuple[str, str]]
"""Cases that failed, each with its cause."""


@dataclass(frozen=True, kw_only=True)
class Computation:
    """How a model's answers are computed.

    Attributes:
        device: A torch device or its name ("cpu", "cuda", "mps"); None takes the best there is.
        precision: "auto", "fp32", "bf16" or "fp16"; probabilities and averages are always computed in fp32.
        step_size: How far the window moves, as a fraction of the patch; above 0, at most 1.
        mirror: Average over all flips along the axes that were mirrored in training.
        mode: "normal" resamples probabilities and takes the labels then; "fast" resamples the labels.
        engine: What computes the networks: "torch"; "openvino", for CPUs; or "auto", OpenVINO on a CPU where it is
            installed and agrees with torch.
        halo: What becomes of the border of tiles.
        dropout_samples: Average over so many passes in which dropout stays on, as in training (Gal and Ghahramani 2016,
            arXiv 1506.02142); 0: one pass without. Torch computes them, and the same each time.

    Raises:
        ModelError: The step, the mode or the number of samples is out of range.
    """

    device: torch.device | str | None = None
    precision: str = "auto"
    step_size: float = STEP_SIZE
    mirror: bool = True
    mode: Mode = "normal"
    engine: Engine = "torch"
    halo: Halo = NO_HALO
    dropout_samples: int = 0

    def __post_init__(self) -> None:
        if self.dropout_samples < 0:
            raise ModelError(f"`dropout_samples`: 0 or more, found {self.dropout_samples}")
        if not 0 < self.step_size <= 1:
            raise ModelError(f"step size {self.step_size}: must be above 0 and at most 1; {STEP_SIZE} is usual")
        if self.mode not in MODES:
            raise ModelError(f"mode {self.mode!r}: unknown; use {' or '.join(MODES)}")


DEFAULT_COMPUTATION = Computation()


@dataclass(frozen=True, kw_only=True)
class Filing:
    """How files are read and written round the network.

    Attributes:
        save_npz: Also write the probabilities, `<case>.npz`, beside each segmentation.
        overwrite: Predict all anew, and replace what is there already. Without, a case whose file says that it was made
            by this model from these very images is left alone, and so is a file that says nothing; changed images are
            predicted again.
        preprocessing_threads: Threads that read and prepare; as many cases wait in memory.
        export_threads: Threads that compress and write.
        most_held: Bytes of an image in single precision. A larger one is read, predicted and written slab by slab where its
            format and the model allow; the result is the same.
    """

    save_npz: bool = False
    overwrite: bool = False
    preprocessing_threads: int = 2
    export_threads: int = 2
    most_held: int = 2**30


DEFAULT_FILING = Filing()


@dataclass(frozen=True, kw_only=True)
class PredictionSettings(Computation, Filing):
    """How to predict raw cases into files.

    Attributes:
        engine: As in `Computation`, but OpenVINO is tried unless another is named.
        part: Which part of the cases this process predicts, from 0.
        parts: Among how many processes they are shared.
        postprocess: Apply the model's rules.
        strict_inputs: Refuse cases that are far from the training cases.
        output_format: The ending of what is predicted into a folder; None for the kind of each case's image.

    Raises:
        ModelError: As `Computation`; or nothing is written in that format.
    """

    engine: Engine = "auto"
    part: int = 0
    parts: int = 1
    postprocess: bool = True
    strict_inputs: bool = False
    output_format: str | None = None

    def __post_init__(self) -> None:
        Computation.__post_init__(self)
        if self.output_format is not None and f".{self.output_format.lstrip('.').lower()}" not in WRITTEN_ENDINGS:
            raise ModelError(
                f"`output_format`: nothing is written as {self.output_format!a}; name one of "
                f"{', '.join(ending.lstrip('.') for ending in WRITTEN_ENDINGS)}"
            )

    def ending_for(self, case: Case) -> str:
        """Of the file of a case that is predicted into a folder."""
        if self.output_format is None:
            return written_ending(case.image_paths[0].name)
        return f".{self.output_format.lstrip('.').lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRun:
    """A prediction, settled before its first case.

    Attributes:
        cases: What to predict, from `find_cases`.
        outputs: The file of each case, by its name.
        folder: Where the records and the predictions of an earlier stage go; None leaves no trace of them.
        guard: Looks at each case that is read, in a thread; what it raises makes the case fail.
    """

    cases: Sequence[Case]
    outputs: Mapping[str, Path]
    settings: PredictionSettings = PredictionSettings()
    folder: Path | None = None
    guard: Callable[[RawCase | SurveyedCase], None] = lambda _: None

    @property
    def files(self) -> list[Path]:
        """The cases' files, in their order."""
        return [self.outputs[case.identifier] for case in self.cases]

    @property
    def record(self) -> Path | None:
        """Where it is written down with what was predicted."""
        return None if self.folder is None else self.folder / PREDICTION_FILE

    def without(self, failures: Failures) -> PredictionRun:
        """The same of the cases that did not fail."""
        failed = dict(failures)
        return replace(self, cases=[case for case in self.cases if case.identifier not in failed])

    def into(self, folder: Path, **settings: Any) -> PredictionRun:
        """The same into another folder, with other settings."""
        return replace(
            self,
            folder=folder,
            outputs={case.identifier: folder / f"{case.identifier}.nii.gz" for case in self.cases},
            settings=replace(self.settings, **settings),
        )
