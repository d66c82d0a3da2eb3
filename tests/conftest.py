"""What every room's tests share: one thread a process, an empty environment, the real data, tiny synthetic tasks."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

# Before numpy or torch is imported anywhere: the suite runs one process a core.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import settings

from autoseg.forms import forms_of
from autoseg.geometry import Geometry

settings.register_profile("autoseg", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("autoseg")

# A shell that starts the suite in the background has it ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

WORKSPACE_VARIABLES = ("AUTOSEG_HOME", "AUTOSEG_RAW_DATA", "AUTOSEG_PREPROCESSED", "AUTOSEG_RESULTS")
LARGEST_TEST_POOL = 8


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite uses every core; a part of it, named on the command line, starts faster in one process."""
    if config.option.file_or_dir or config.option.keyword or config.option.usepdb:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(LARGEST_TEST_POOL, cores)


@pytest.fixture(autouse=True)
def _no_workspace_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in WORKSPACE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def _no_protection_of_an_earlier_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command forbids what it starts to import from the working folder; scripts of later tests do not inherit it."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


@pytest.fixture(autouse=True)
def _no_terminal_of_an_earlier_command() -> None:
    """Commands send what is logged to stderr; tests that run after them in the same process must not see it twice."""
    logging.getLogger("autoseg").handlers.clear()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data: AUTOSEG_TEST_DATA, or `shared/data` beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AUTOSEG_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real data; {folder} is absent, set AUTOSEG_TEST_DATA to where they lie")
    return folder


class MakeTask(Protocol):
    """Write a raw task of balls in noise and return its folder.

    `parent / name` holds dataset.json, imagesTr, labelsTr and imagesTs. Label k is a ball of its own brightness
    (100 k over noise of standard deviation 10) at a random place; labels never overlap. With `border`, that many
    voxels around the image are exactly zero, so that cropping has something to remove.
    """

    def __call__(
        self,
        name: str = "Task001_Balls",
        *,
        parent: Path | None = None,
        cases: int = 5,
        test_cases: int = 1,
        shape: tuple[int, int, int] = (12, 16, 14),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: Sequence[str] = ("MRI",),
        labels: Sequence[str] = ("background", "ball"),
        border: int = 0,
        seed: int = 0,
    ) -> Path: ...


@pytest.fixture(scope="session")
def make_task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeTask]:
    """Factory of tiny synthetic raw tasks; `shape` and `spacing` are (z, y, x). Without `parent`, in a new folder."""

    def make(
        name: str = "Task001_Balls",
        *,
        parent: Path | None = None,
        cases: int = 5,
        test_cases: int = 1,
        shape: tuple[int, int, int] = (12, 16, 14),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: Sequence[str] = ("MRI",),
        labels: Sequence[str] = ("background", "ball"),
        border: int = 0,
        seed: int = 0,
    ) -> Path:
        folder = (parent or tmp_path_factory.mktemp("raw_data")) / name
        generator = np.random.default_rng(seed)
        for number in range(cases + test_cases):
            image, label = _balls(generator, shape, len(channels), len(labels) - 1, border)
            images, case = ("imagesTr", f"case_{number:03d}") if number < cases else ("imagesTs", f"test_{number:03d}")
            for channel, volume in enumerate(image):
                _write(folder / images / f"{case}_{channel:04d}.nii.gz", volume, spacing)
            if number < cases:
                _write(folder / "labelsTr" / f"{case}.nii.gz", label, spacing)
        training = [f"case_{number:03d}" for number in range(cases)]
        test = [f"test_{number:03d}" for number in range(cases, cases + test_cases)]
        description = {
            "name": name.partition("_")[2],
            "modality": {str(number): channel for number, channel in enumerate(channels)},
            "labels": {str(value): label for value, label in enumerate(labels)},
            "numTraining": cases,
            "numTest": test_cases,
            "training": [{"image": f"./imagesTr/{c}.nii.gz", "label": f"./labelsTr/{c}.nii.gz"} for c in training],
            "test": [f"./imagesTs/{c}.nii.gz" for c in test],
        }
        (folder / "dataset.json").write_text(json.dumps(description))
        return folder

    yield make


class Select(Protocol):
    """Write a selection of models, each of fold 0, and return its file; `changes` are fields of `Selection`."""

    def __call__(self, home: Path, *configurations: str, task: str = "Task001_Balls", **changes: Any) -> Path: ...


@pytest.fixture(scope="session")
def select() -> Select:
    """What would stand there after `autoseg_find_best_configuration`."""
    import autoseg
    from autoseg.ensembling.selection import Member, Selection, save_selection

    def write(home: Path, *configurations: str, task: str = "Task001_Balls", **changes: Any) -> Path:
        path = home / "results" / "selections" / task / "selection.json"
        selection = Selection(
            version=autoseg.__version__,
            task=task,
            name="+".join(configurations),
            members=tuple(
                Member(configuration=name, trainer="Trainer", plans="autoseg", folds=("0",)) for name in configurations
            ),
            rules=(),
            expected_dice=None,
            interval=None,
            lead=None,
            scores={},
            folds=("0",),
            cases=1,
            incomplete=(),
            sources={},
        )
        save_selection(replace(selection, **changes), path)
        return path

    return write


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount disks of so many bytes (whole pages of 4096); what is beyond is refused by the kernel itself."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk_{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk (root on Linux)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def _balls(
    generator: np.random.Generator, shape: tuple[int, int, int], channels: int, balls: int, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one ball a label: images `(C, Z, Y, X)` float32 and labels `(Z, Y, X)` uint8."""
    inner = np.array(shape) - 2 * border
    radius = max(1.5, min(inner) / 4)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    label = np.zeros(shape, np.uint8)
    for value in range(1, balls + 1):
        centre = border + generator.uniform(inner * 0.3, inner * 0.7)
        inside = ((grid - centre[:, None, None, None]) ** 2).sum(axis=0) <= radius**2
        label[inside & (label == 0)] = value
    image = generator.normal(100 * label.astype(np.float32), 10, (channels, *shape)).astype(np.float32)
    if border:
        kept = np.zeros(shape, bool)
        kept[(slice(border, -border),) * 3] = True
        image[:, ~kept] = 0
    return image, label


def _write(path: Path, volume: np.ndarray, spacing: tuple[float, float, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, path)


@pytest.fixture
def coregistered() -> Callable[[Geometry], Geometry]:
    """A grid whose header says more: the qform puts it there (code 1), an sform (code 2) 13 mm further."""

    def place(geometry: Geometry) -> Geometry:
        (z, y, x), (up, back, left) = geometry.spacing, geometry.origin
        axes = np.reshape(geometry.direction, (3, 3))[::-1, ::-1] * [[-1], [-1], [1]]
        forms = forms_of((x, y, z), (-left, -back, up), axes)
        moved = np.add(np.reshape(forms.matrix, (3, 4)), [[0, 0, 0, 3], [0, 0, 0, 4], [0, 0, 0, 12]])
        return replace(geometry, forms=replace(forms, sform_code=2, matrix=tuple(moved.ravel().tolist())))

    return place
