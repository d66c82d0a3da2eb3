"""What the catalogue is made of: a small sound workspace, ways to spoil it, and what a command then has to say."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from small_plans import changed

from autoseg.files.storage import encode
from autoseg.images import Image, read_image, write_image
from autoseg.plans import ConfigurationPlan, Plans, load_plans, save_plans

TASK = "Task001_Balls"
CASE = "case_001"
LARGE = 2**20
"""Bytes from which a file is compared by its size."""

PREPARED = f"preprocessed/{TASK}"


@dataclass(frozen=True)
class Place:
    """A copy of the sound workspace, to be spoilt; `outer` is the folder around it, where commands are run."""

    outer: Path

    @property
    def home(self) -> Path:
        return self.outer / "home"

    @property
    def raw(self) -> Path:
        return self.home / "raw_data" / TASK

    @property
    def image(self) -> Path:
        return self.raw / "imagesTr" / f"{CASE}_0000.nii.gz"

    @property
    def label(self) -> Path:
        return self.raw / "labelsTr" / f"{CASE}.nii.gz"

    @property
    def new(self) -> Path:
        """The image to predict."""
        return self.raw / "imagesTs" / "test_005_0000.nii.gz"

    @property
    def prepared(self) -> Path:
        return self.home / PREPARED

    @property
    def splits(self) -> Path:
        return self.prepared / "splits_final.json"

    @property
    def archive(self) -> Path:
        return self.outer / "balls.zip"

    @property
    def selection(self) -> Path:
        return self.home / "results" / "selections" / TASK / "selection.json"

    def model(self, configuration: str = "2d") -> Path:
        return self.home / "results" / configuration / TASK / "Trainer__autoseg"

    def plans(self, configuration: str = "2d") -> Path:
        return self.prepared / f"autoseg_plans_{'2D' if configuration == '2d' else '3D'}.pkl"

    def weights(self, configuration: str = "2d", fold: str = "fold_0") -> Path:
        return self.model(configuration) / fold / "weights_final.pt"


Spoil = Callable[[Place], object]


def nothing(_place: Place) -> None:
    """The workspace is sound; it is the command line or the environment that is wrong."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One spoilt input.

    In `words`, `message`, `report` and `environment` "{home}" and "{outer}" stand for the folders' paths, and
    "{some}" for a version or an amount of memory.

    Attributes:
        words: The command line.
        message: All that the command says after its name, at the very end of stderr, whole.
        report: What stdout holds as whole lines.
        writes: Paths below `outer` that the command may add or change, as it would for sound input.
        environment: Beside it there is no variable of autoseg's; with it `--home` is not added.
        alone: In a process of its own: it could harm the one that tests.
    """

    name: str
    spoil: Spoil = nothing
    words: str
    message: str
    report: str = ""
    code: int = 1
    writes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    own_home: bool = False
    alone: bool = False


def verified(name: str, spoil: Spoil, report: str, *, errors: int = 1) -> Entry:
    """An entry of `autoseg_verify_dataset`, whose report names the finding in a line of its own."""
    return Entry(
        name=name,
        spoil=spoil,
        words="autoseg_verify_dataset -t 1 --workers 1",
        report=f"  {report}",
        message=f"errors in {TASK} ({errors}); put right what the report names and verify again",
    )


# ------------------------------------------------------------------------------------ ways to spoil


def describe(**changes: Any) -> Spoil:
    """Other values in dataset.json."""
    return lambda place: edit(place.raw / "dataset.json", lambda content: content.update(changes))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change parsed JSON in place, or take what the change returns where that is a list or an object."""
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(changed if isinstance(changed, (list, dict)) else content))


def field_of(path: Path, position: int, form: str, *values: Any) -> None:
    """Other numbers in a NIfTI header; see https://nifti.nimh.nih.gov/nifti-1 for the positions."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<" + form, content, position, *values)
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))


def voxels(path: Path, change: Callable[[np.ndarray[Any, Any]], Any]) -> None:
    """Other voxels: what `change` returns, or the array it changed."""
    image = read_image(path)
    data = image.data.copy()
    changed = change(data)
    write_image(path, changed if isinstance(changed, np.ndarray) else data, image.geometry)


def moved(path: Path, change: Callable[[Image], Image]) -> None:
    image = change(read_image(path))
    write_image(path, image.data, image.geometry)


def planned(configuration: str, **changes: Any) -> Spoil:
    """Other values in a configuration's plan, in the part that knows them, as a pickle that no check of ours has seen."""

    def spoil(place: Place) -> None:
        content = encode(load_plans(place.plans(configuration)))
        plan = content["configurations"][configuration]
        parts = (plan["grid"], plan["sampling"], plan["network"]["settings"])
        for key, value in changes.items():
            next((part for part in parts if key in part), plan)[key] = value
        place.plans(configuration).write_bytes(pickle.dumps(content, protocol=4))

    return spoil


def all_planned(configuration: str, **changes: Any) -> Spoil:
    """The same for what holds for all configurations."""

    def spoil(place: Place) -> None:
        content = encode(load_plans(place.plans(configuration)))
        content.update(changes)
        place.plans(configuration).write_bytes(pickle.dumps(content, protocol=4))

    return spoil


def weights_changed(change: Callable[[dict[str, Any]], object], configuration: str = "2d") -> Spoil:
    """Other values in a weights file."""

    def spoil(place: Place) -> None:
        import torch

        path = place.weights(configuration)
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)

    return spoil


def checkpoint_changed(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(place: Place) -> None:
        import torch

        path = place.model("2d") / "fold_0" / "checkpoint.pt"
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)

    return spoil


def repacked(change: Callable[[dict[str, bytes]], object], *, honest: bool = True) -> Spoil:
    """Other files in the archive, with a manifest that is right for them, or the old one."""

    def spoil(place: Place) -> None:
        with zipfile.ZipFile(place.archive) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        manifest = json.loads(files.pop("manifest.json"))
        change(files)
        if honest:
            manifest = manifest_of(files)
        place.archive.unlink()
        with zipfile.ZipFile(place.archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
                opened.writestr(name, content)

    return spoil


def manifest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    import hashlib

    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    return {"format": 1, "version": "0.1.0", "files": entries}


class Hostile:
    """Leaves a file behind when it is unpickled the careless way."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


# --------------------------------------------------------------------------------- the sound workspace


def small(plans: Plans) -> Plans:
    """With networks of a few features, as fast as they are useless."""
    return replace(
        plans,
        configurations={name: _small_configuration(plan) for name, plan in plans.configurations.items()},
    )


def _small_configuration(plan: ConfigurationPlan) -> ConfigurationPlan:
    return changed(plan, features=2, max_features=4, convs_per_stage=1, batch_size=2)


def shrink(home: Path) -> None:
    for dimensions in ("2D", "3D"):
        path = home / PREPARED / f"autoseg_plans_{dimensions}.pkl"
        save_plans(small(load_plans(path)), path)


def tree(folder: Path) -> dict[str, str | bytes]:
    """Everything below a folder: a file's content, where a link leads, and that a folder is there."""
    found: dict[str, str | bytes] = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root) / name
            if path.is_symlink():
                content: str | bytes = f"-> {path.readlink()}"
            else:
                content = "folder" if path.is_dir() else _content(path)
            found[str(path.relative_to(folder))] = content
    return found


def _content(path: Path) -> str | bytes:
    size = path.stat().st_size
    return path.read_bytes() if size < LARGE else f"{size} bytes"


def copy_of(sound: Path, outer: Path) -> Place:
    shutil.copytree(sound, outer, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return Place(outer)
