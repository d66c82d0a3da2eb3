"""Trained models without training: small plans, networks as they are initialised, scores made up."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from small_plans import unet_plan

import autoseg
from autoseg.evaluation.summary import CaseScores, Summary, save_summary
from autoseg.inference.model import WeightsFile, save_weights
from autoseg.networks import build_network
from autoseg.paths import Workspace, find_models
from autoseg.planning.fingerprint import DatasetFingerprint, save_fingerprint
from autoseg.plans import FORMAT, Plans, save_plans
from autoseg.postprocessing.rules import Rule, save_rules
from autoseg.sharing.card import AboutData
from autoseg.sharing.exporting import Sources, export_models

TASK = "Task004_Balls"
CASES = ("case_000", "case_001", "case_002", "case_003")


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Answers on this machine by a handler; gives the address."""
    with ExitStack() as stack:
        yield lambda handler: stack.enter_context(_served(handler))


def plans_of(configuration: str, *, task: str = TASK, previous: str | None = None) -> Plans:
    """Plans of a two-level network of eight features, for one channel and one label."""
    dimensions = 2 if configuration == "2d" else 3
    names = [configuration, *([previous] if previous else [])]
    plans = {
        name: unet_plan(
            name=name,
            spacing=(1.0, 1.5, 2.0),
            median_shape=(12, 16, 14),
            patch_size=(8,) * dimensions,
            batch_size=2,
            poolings=((2,) * dimensions,),
            kernels=((3,) * dimensions,) * 2,
            in_plane=False,
            normalisation=("nonCT",),
            masked=(False,),
            batch_dice=False,
            previous=previous if name == configuration else None,
            network="unet",
            features=2,
            max_features=4,
            convs_per_stage=1,
        )
        for name in names
    }
    return Plans(
        format=FORMAT,
        version=autoseg.__version__,
        identifier="autoseg",
        planner="Planner3D",
        dataset=task,
        channels=("MRI",),
        labels=("background", "ball"),
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations=plans,
    )


class TrainModel(Protocol):
    def __call__(
        self,
        results: Path,
        configuration: str = "3d_fullres",
        *,
        folds: Sequence[str] = ("0",),
        trainer: str = "Trainer",
        task: str = TASK,
        previous: str | None = None,
        checkpoints: Sequence[str] = ("final",),
    ) -> Path: ...


@pytest.fixture(scope="session")
def train_model() -> TrainModel:
    """Write a model folder as training leaves it; fold k validated case k with a Dice of 0.5 + k / 10."""

    def train(
        results: Path,
        configuration: str = "3d_fullres",
        *,
        folds: Sequence[str] = ("0",),
        trainer: str = "Trainer",
        task: str = TASK,
        previous: str | None = None,
        checkpoints: Sequence[str] = ("final",),
    ) -> Path:
        folder = results / configuration / task / f"{trainer}__autoseg"
        plans = plans_of(configuration, task=task, previous=previous)
        folder.mkdir(parents=True)
        save_plans(plans, folder / "plans.pkl")
        save_rules([Rule(kind="keep_largest", labels=(1,))], folder / "postprocessing.json")
        torch.manual_seed(0)
        channels = 2 if previous else 1
        for fold in folds:
            place = folder / (fold if fold == "all" else f"fold_{fold}")
            network = build_network(plans.configuration(configuration), channels, 2)
            file = WeightsFile(
                trainer=trainer,
                custom_network=trainer != "Trainer",
                mirror_axes=(0, 1),
                epoch=10,
                weights=dict(network.state_dict()),
            )
            for checkpoint in checkpoints:
                save_weights(place / f"weights_{checkpoint}.pt", file)
            (place / "checkpoint.pt").write_bytes(b"not to be shared")
            number = 9 if fold == "all" else int(fold)
            save_summary(scores(f"/home/someone/case_00{number}.nii.gz", 0.5 + number / 10), summary_file(place))
        return folder

    return train


def scores(path: str, dice: float) -> Summary:
    case = CaseScores(test=path, reference=path, scores={0: {"Dice": 1.0}, 1: {"Dice": dice}})
    return Summary(name="validation", task=TASK, timestamp="2026-01-01T00:00:00", labels=(0, 1), cases=(case,))


def summary_file(fold: Path) -> Path:
    return fold / "validation_raw" / "summary.json"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.from_environment({}, home=tmp_path / "home")


@pytest.fixture(scope="session")
def fingerprint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preprocessed") / "fingerprint.json"
    fingerprint = DatasetFingerprint(
        channels=("MRI",),
        labels=("background", "ball"),
        cases=CASES,
        spacings=((1.0, 1.5, 2.0),) * 4,
        shapes=((12, 16, 14),) * 4,
        kept_fractions=(1.0,) * 4,
        intensities=(None,),
    )
    save_fingerprint(fingerprint, path)
    return path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, train_model: TrainModel, fingerprint_file: Path) -> Path:
    """An archive of two configurations, with a selection; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    train_model(folder / "results", "2d", folds=("0",))
    train_model(folder / "results", "3d_fullres", folds=("0", "1"))
    selection = folder / "results" / "selections" / TASK / "selection.json"
    selection.parent.mkdir(parents=True)
    selection.write_text('{"members": ["2d", "3d_fullres"]}')
    sources = Sources(
        about=AboutData(name="Balls", licence="CC0 1.0"), fingerprint=fingerprint_file, selection=selection
    )
    export_models(find_models(folder / "results"), folder / "balls.zip", sources)
    return folder / "balls.zip"


@pytest.fixture(scope="session")
def contents(archive: Path) -> Mapping[str, bytes]:
    """The files of the archive by name, the manifest left out."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist() if name != "manifest.json"}


PackFiles = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path) -> PackFiles:
    """Write a zip of the given files whose manifest is right; `changes` are made to the manifest, `extra` after it."""

    def write(
        files: Mapping[str, bytes],
        changes: Mapping[str, Any] | None = None,
        extra: Sequence[tuple[zipfile.ZipInfo | str, bytes]] = (),
    ) -> Path:
        path = tmp_path / "made.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in files.items():
                opened.writestr(name, content)
            opened.writestr("manifest.json", json.dumps(manifest_of(files) | dict(changes or {})))
            for info, content in extra:
                opened.writestr(info, content)
        return path

    return write


def manifest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    import hashlib

    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    return {"format": 1, "version": "0.1.0", "files": entries}
