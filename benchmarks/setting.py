"""What all stages share: the two environments, the data of both sides, and how fast this machine is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import FRESH, Ceiling, Side, measure, words_of

HERE = Path(__file__).resolve().parent
TASK, NUMBER = "Task004_Hippocampus", "4"
PEER_TASK = "Dataset004_Hippocampus"
CONFIGURATION = "3d_fullres"
FOLD = "0"
PEER_MODEL = f"nnUNetTrainer__nnUNetPlans__{CONFIGURATION}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One call of the benchmark.

    Attributes:
        autoseg_python: The interpreter of the environment that holds autoseg; `peer_python` that of nnU-Net v2.
        openvino_python: That of an environment with autoseg and its extra `openvino`; may be autoseg's own.
        data: Holds `Task04_Hippocampus` in the layout of the Medical Segmentation Decathlon.
        work: Everything is made in here.
        training_cases: Of the task; None takes all.
        predicted_cases: How many are predicted.
        iterations: Of training that are timed.
        quick: Tiny sizes, to see that everything runs; its numbers mean nothing.
    """

    autoseg_python: Path
    peer_python: Path
    openvino_python: Path
    data: Path
    work: Path
    training_cases: int | None
    predicted_cases: int
    iterations: int
    device: str
    quick: bool

    # ------------------------------------------------------------------------------ starting sides

    def script(self, side: str, name: str, *words: object, environment: Mapping[str, str] | None = None) -> Side:
        """A stage's own script in the environment of a side."""
        python = self.autoseg_python if side == "autoseg" else self.peer_python
        return Side(
            words=words_of(python, HERE / f"{name}.py", side, *words),
            environment=self.environment(side) | dict(environment or {}),
        )

    def command(
        self,
        side: str,
        name: str,
        *words: object,
        environment: Mapping[str, str] | None = None,
        produces: tuple[str, int] | None = None,
    ) -> Side:
        """An installed command of a side."""
        python = self.autoseg_python if side == "autoseg" else self.peer_python
        return Side(
            words=words_of(python.parent / name, *words),
            environment=self.environment(side) | dict(environment or {}),
            produces=produces,
        )

    def environment(self, side: str) -> dict[str, str]:
        """Where a side finds its folders."""
        home = self.work / side
        if side == "autoseg":
            return {"AUTOSEG_HOME": str(home), "MPLCONFIGDIR": str(home / "matplotlib")}
        return {
            "nnUNet_raw": str(home / "raw"),
            "nnUNet_preprocessed": str(home / "preprocessed"),
            "nnUNet_results": str(home / "results"),
            "MPLCONFIGDIR": str(home / "matplotlib"),
        }

    def ask(self, side: Side) -> dict[str, Any]:
        """Run something that is not compared, and return what it reports with its `seconds`."""
        measured = measure(side, self.work / "fresh_preparation")
        return {"seconds": measured.seconds, **measured.said}

    # -------------------------------------------------------------------------------- the machine

    @cached_property
    def rates(self) -> dict[str, Any]:
        """What `machine.py` measured: bytes copied and operations done in a second."""
        return self.ask(self.script("autoseg", "machine", *(["--quick"] if self.quick else [])))

    def ceiling(self, *, moved: float = 0, operations: float = 0, threads: str = "all") -> Ceiling:
        """The longer of moving so many bytes and doing so many operations in the fastest format of the machine."""
        memory = moved / self.rates[f"copy_{threads}"]
        name = max(("fp32", "bf16"), key=lambda name: self.rates[f"{name}_{threads}"])
        arithmetic = operations / self.rates[f"{name}_{threads}"]
        if memory >= arithmetic:
            return Ceiling(seconds=memory, bound="memory bandwidth")
        return Ceiling(seconds=arithmetic, bound=f"{name} arithmetic")

    # ----------------------------------------------------------------------------------- the data

    @cached_property
    def decathlon(self) -> Path:
        """The task with as many training cases as wanted, as links to the data."""
        source, folder = self.data.resolve() / "Task04_Hippocampus", self.work / "Task04_Hippocampus"
        shutil.rmtree(folder, ignore_errors=True)
        content = json.loads((source / "dataset.json").read_text())
        content["training"] = content["training"][: self.training_cases]
        content["numTraining"] = len(content["training"])
        files = [entry[kind] for entry in content["training"] for kind in ("image", "label")] + content["test"]
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(source / name)
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """Names of the training cases."""
        content = json.loads((self.decathlon / "dataset.json").read_text())
        return tuple(Path(entry["image"]).name.removesuffix(".nii.gz") for entry in content["training"])

    @cached_property
    def raw(self) -> dict[str, Path]:
        """The task in each side's own layout, made by its own converter.

        All that follows from it is made anew too; the peer's converter refuses a task that any of its folders knows.
        """
        for side in ("autoseg", "peer"):
            shutil.rmtree(self.work / side, ignore_errors=True)
        for folder in ("autoseg/raw_data", "peer/raw", "peer/preprocessed", "peer/results"):
            (self.work / folder).mkdir(parents=True)
        self.ask(self.command("autoseg", "autoseg_convert_decathlon_task", "-i", self.decathlon))
        self.ask(self.command("peer", "nnUNetv2_convert_MSD_dataset", "-i", self.decathlon, "-np", os.cpu_count() or 1))
        return {
            "autoseg": self.work / "autoseg/raw_data" / TASK,
            "peer": self.work / "peer/raw" / PEER_TASK,
        }

    @cached_property
    def prepared(self) -> dict[str, Path]:
        """The task planned and prepared by each side; refused where the two would not train the same network."""
        assert self.raw
        self.ask(self.command("autoseg", "autoseg_plan_and_preprocess", "-t", NUMBER))
        self.ask(self.command("peer", "nnUNetv2_plan_and_preprocess", "-d", NUMBER, "-c", CONFIGURATION))
        folders = {
            "autoseg": self.work / "autoseg/preprocessed" / TASK,
            "peer": self.work / "peer/preprocessed" / PEER_TASK,
        }
        require_same_work(
            json.loads((folders["autoseg"] / "autoseg_plans_3D.json").read_text())["configurations"][CONFIGURATION],
            json.loads((folders["peer"] / "nnUNetPlans.json").read_text())["configurations"][CONFIGURATION],
        )
        return folders

    @cached_property
    def models(self) -> dict[str, Path]:
        """A model of each side with random weights, in the folders that their commands look into."""
        folders = {
            "autoseg": self.work / "autoseg/results" / CONFIGURATION / TASK / "Trainer__autoseg",
            "peer": self.work / "peer/results" / PEER_TASK / PEER_MODEL,
        }
        parameters = [
            self.ask(self.script(side, "models", self.prepared[side], folder))["parameters"]
            for side, folder in folders.items()
        ]
        if abs(parameters[0] / parameters[1] - 1) > SAME_PARAMETERS:
            raise SystemExit(f"not the same network: {parameters[0]} parameters here, {parameters[1]} at the peer")
        return folders

    @cached_property
    def images(self) -> Path:
        """A folder of the images to predict, which both sides read."""
        folder = self.work / "images"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in self.cases[: self.predicted_cases]:
            (folder / f"{name}_0000.nii.gz").symlink_to(self.raw["autoseg"] / "imagesTr" / f"{name}_0000.nii.gz")
        return folder


SAME_PARAMETERS = 0.01
"""The networks may differ by so much: biases before a normalisation, outputs of a level that is not used."""


def require_same_work(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse to compare trainings of different patches or batches."""
    for name in ("patch_size", "batch_size"):
        if ours[name] != theirs[name]:
            raise SystemExit(f"{name}: {ours[name]} here, {theirs[name]} at the peer; nothing can be compared")


def fresh(name: str) -> str:
    """A path in the run's own folder."""
    return f"{FRESH}/{name}"
