"""Hostile files by the hundred thousand: mutations of valid ones, given to the readers that meet files from elsewhere.

    python benchmarks/fuzz.py --inputs 100000 [--only plans headers formats drawings archives json] [--seed 0]

Each input must be read, or refused with an error of autoseg's own; nothing else may be raised, imported, written or left
running. What is mutated is made to pass the first check of its reader (CRCs, sums and headers are right again), so that
the checks behind are met too. Inputs are read in child processes, which may crash without ending the count.
"""

from __future__ import annotations

import argparse
import codecs
import copy
import gzip
import hashlib
import io
import json
import multiprocessing
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import AutosegError

SECONDS_FOR_ONE = 20
INPUTS_OF_A_CHILD = 20_000
MEMORY_DISK = Path("/dev/shm")
STRUCTURAL = 0.85
"""The share of mutations that change values and leave the container whole."""

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        7,
        255,
        10**6,
        10**9,
        2**63,
        -(2**31),
        10**299,
        10**400,
        0.5,
        -0.0,
        1e-300,
        1e308,
    ),
    *("", "x", "../../x", "/etc/passwd", "a\0b", "\ud800", "x" * 300, "2d", "3d_fullres", "case_000", "\x1b[2J", "é"),
    *([], {}, [[]], [1, 2], [0.5], [None], ["x"], {"x": 1}, {"0": "x"}, {"__class__": "os.system"}),
)


@dataclass(frozen=True)
class Target:
    """One reader under test.

    Attributes:
        make: From a generator to a file's ending and content.
        first_check: Whether the content passes what its reader looks at first.
        read: Reads the file; it may write into its folder only.
    """

    make: Callable[[random.Random], tuple[str, bytes]]
    first_check: Callable[[Path], object]
    read: Callable[[Path], object]


@dataclass
class Count:
    """What came of many inputs."""

    inputs: int = 0
    passed: int = 0
    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Add another count to this one."""
        self.inputs += other.inputs
        self.passed += other.passed
        self.read += other.read
        self.refused += other.refused
        self.faults += other.faults


def fuzz(target: Target, number: int, seed: int) -> Count:
    """Give a reader `number` inputs, in this process."""
    count, generator = Count(), random.Random(seed)
    outer = Path(tempfile.mkdtemp(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None))
    known = set(sys.modules)
    try:
        for index in range(number):
            _try_one(target, generator, outer, count, f"seed {seed}, input {index}")
    finally:
        shutil.rmtree(outer)
    count.faults += [f"seed {seed}: imported {name}" for name in sorted(set(sys.modules) - known)]
    return count


def _try_one(target: Target, generator: random.Random, outer: Path, count: Count, where: str) -> None:
    ending, content = target.make(generator)
    folder = outer / "inner" / "folder"
    folder.mkdir(parents=True)
    path = folder / ending
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    count.inputs += 1
    signal.alarm(SECONDS_FOR_ONE)
    try:
        count.passed += _passes(target, path)
        target.read(path)
        count.read += 1
    except AutosegError as error:
        count.refused += 1
        if not str(error):
            count.faults.append(f"{where}: refused without a word")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        count.faults.append(f"{where}: {type(error).__name__}: {error!s:.200}")
    finally:
        signal.alarm(0)
    beside = [entry.name for entry in [*outer.iterdir(), *(outer / "inner").iterdir()]]
    if sorted(beside) != ["folder", "inner"]:
        count.faults.append(f"{where}: wrote {beside}")
    shutil.rmtree(outer / "inner")


def _passes(target: Target, path: Path) -> bool:
    try:
        target.first_check(path)
    except AutosegError:
        return False
    return True


# ------------------------------------------------------------------------------ mutation


def mutated(generator: random.Random, value: Any) -> Any:
    """A deep copy of plain values with one to three changes at random places."""
    changed = copy.deepcopy(value)
    for _ in range(generator.randint(1, 3)):
        changed = _changed_once(generator, changed)
    return changed


def _changed_once(generator: random.Random, value: Any) -> Any:
    places = list(_places(value))
    if not places:
        return generator.choice(STRANGE)
    parent, key = generator.choice(places)
    action = generator.choice(["replace", "replace", "replace", "remove", "double", "deepen"])
    if action == "replace":
        parent[key] = copy.deepcopy(generator.choice(STRANGE))
    elif action == "remove":
        del parent[key]
    elif action == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif action == "double":
        parent[f"{key}_"] = parent[key]
    else:
        for _ in range(generator.choice([1, 3, 70])):
            parent[key] = [parent[key]]
    return value


def _places(value: Any) -> Any:
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from _places(item)


def with_other_bytes(generator: random.Random, content: bytes, start: int = 0) -> bytes:
    """Bytes set, cut or inserted in a few places."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(min(start, max(0, len(changed) - 1)), len(changed) + 1)
        action = generator.choice(["set", "cut", "insert"])
        if action == "set" and at < len(changed):
            changed[at] = generator.randrange(256)
        elif action == "cut":
            del changed[at : at + generator.randint(1, 30)]
        else:
            changed[at:at] = generator.randbytes(generator.randint(1, 30))
    return bytes(changed)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


# ------------------------------------------------------------------------------ valid files


def valid_plans() -> dict[str, Any]:
    """Plans of a network of two levels, as plain values."""
    plan = {
        "name": "2d",
        "grid": {"spacing": [1.0, 1.5, 2.0], "median_shape": [12, 16, 14]},
        "sampling": {"patch_size": [8, 8], "in_plane": False},
        "network": {
            "name": "unet",
            "settings": {
                "strides": [[1, 1], [2, 2]],
                "kernels": [[3, 3], [3, 3]],
                "features": 2,
                "max_features": 4,
                "convs_per_stage": 1,
            },
        },
        "intensities": [{"name": "nonCT", "masked": False}],
        "batch_size": 2,
        "batch_dice": False,
        "previous": None,
        "prepared_as": "2d",
        "cost": 0,
    }
    return {
        "format": 2,
        "version": "0.1.0",
        "identifier": "autoseg",
        "planner": "Planner2D",
        "dataset": "Task004_Balls",
        "channels": ["MRI"],
        "labels": ["background", "ball"],
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "intensities": None,
        "configurations": {"2d": plan},
    }


def valid_archive() -> dict[str, bytes]:
    """The files of an archive of one model."""
    from autoseg.evaluation.summary import CaseScores, Summary, save_summary
    from autoseg.inference.model import WeightsFile, save_weights
    from autoseg.networks import build_network
    from autoseg.paths import find_models
    from autoseg.plans import load_plans_json, save_plans
    from autoseg.postprocessing.rules import Rule, save_rules
    from autoseg.sharing.exporting import Sources, export_models

    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        folder = results / "2d" / "Task004_Balls" / "Trainer__autoseg"
        folder.mkdir(parents=True)
        (folder / "plans.json").write_bytes(as_json(valid_plans()))
        plans = load_plans_json(folder / "plans.json")
        save_plans(plans, folder / "plans.pkl")
        save_rules([Rule(kind="keep_largest", labels=(1,))], folder / "postprocessing.json")
        network = build_network(plans.configuration("2d"), 1, 2)
        weights = dict(network.state_dict())
        file = WeightsFile(trainer="Trainer", custom_network=False, mirror_axes=(0, 1), epoch=1, weights=weights)
        save_weights(folder / "fold_0" / "weights_final.pt", file)
        case = CaseScores(test="a.nii.gz", reference="b.nii.gz", scores={0: {"Dice": 1.0}, 1: {"Dice": 0.5}})
        summary = Summary(name="v", task="Task004_Balls", timestamp="2026-01-01", labels=(0, 1), cases=(case,))
        save_summary(summary, folder / "fold_0" / "validation_raw" / "summary.json")
        export_models(find_models(results), results / "x.zip", Sources())
        with zipfile.ZipFile(results / "x.zip") as opened:
            return {member: opened.read(member) for member in opened.namelist() if member != "manifest.json"}


def valid_image() -> bytes:
    """An unpacked NIfTI of 3 x 4 x 5 voxels."""
    from autoseg.geometry import Geometry
    from autoseg.images import write_image

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.nii"
        write_image(path, np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry(spacing=(2.0, 1.0, 1.0)))
        return path.read_bytes()


NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 4 3\n"
    "space directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (0,0,0)\n\n"
)
MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 5 4 3\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
WORDS = (
    "0",
    "-1",
    "1 1 1",
    "3",
    "4",
    "99999999999",
    "nan nan nan",
    "1e-320 1 1",
    "LOCAL",
    "gzip",
    "raw",
    "",
    "x",
    "(1,0,0)",
)
WORDS += (
    "9" * 400,
    "True",
    "False",
    "inf 1 1",
    "5 4 3",
    "(nan,0,0) (0,1,0) (0,0,1)",
    "MET_DOUBLE",
    "uchar",
    "\0",
    "۳ 4 5",
)

FIELDS = (
    *("dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units", "descrip"),
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
"""Of a NIfTI header, those that say what and where its voxels are."""

SPLIT = {"train": ["a", "b", "c"], "val": ["d"]}
METADATA = "case\tpatient\tsite\na\tp1\tMontréal\nb\tp2\tn/a\nc\tp2\t\n".encode()
JSON_FILES: Mapping[str, Any] = {
    "dataset.json": {
        "name": "Balls",
        "modality": {"0": "MRI", "1": "CT"},
        "labels": {"0": "background", "1": "ball"},
        "numTraining": 2,
        "numTest": 1,
        "training": [{"image": f"./imagesTr/{c}.nii.gz", "label": f"./labelsTr/{c}.nii.gz"} for c in "ab"],
        "test": ["./imagesTs/c.nii.gz"],
    },
    "splits_final.json": [SPLIT, {"train": ["b", "c", "d"], "val": ["a"]}],
    "patients.json": {"a": "p1", "b": "p2", "c": "p3", "d": "p4", "e": "p5"},
    "plans.json": valid_plans(),
    "fingerprint.json": {
        "sizes": [[12, 16, 14], [10, 16, 14]],
        "spacings": [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]],
        "modalities": ["MRI"],
        "num_classes": 2,
        "size_reductions": [1.0, 0.5],
    },
    "postprocessing.json": {
        "format": 1,
        "rules": [{"kind": "remove_small", "labels": [1], "minimum_mm3": 30.0}],
        "evidence": None,
    },
    "selection.json": {
        "format": 1,
        "version": "0.1.0",
        "task": "Task004_Balls",
        "name": "2d",
        "members": [{"configuration": "2d", "trainer": "Trainer", "plans": "autoseg", "folds": ["0"]}],
        "rules": [{"kind": "keep_largest", "labels": [1], "minimum_mm3": None}],
        "expected_dice": 0.5,
        "interval": [0.4, 0.6],
        "lead": None,
        "scores": {"2d": 0.5},
        "folds": ["0"],
        "cases": 4,
        "incomplete": [],
        "sources": {"2d": "0"},
    },
    "summary.json": {
        "name": "x",
        "task": "t",
        "timestamp": "now",
        "results": {
            "all": [{"0": {"Dice": 1.0}, "1": {"Dice": None}, "test": "a", "reference": "b"}],
            "mean": {"0": {}, "1": {}},
        },
    },
}


# ------------------------------------------------------------------------------ targets


def plans_target() -> Target:
    from autoseg.files.pickles import read_plain_pickle
    from autoseg.plans import load_plans

    plain = valid_plans()

    def make(generator: random.Random) -> tuple[str, bytes]:
        if generator.random() < STRUCTURAL:
            return "plans.pkl", pickle.dumps(mutated(generator, plain), protocol=4)
        return "plans.pkl", with_other_bytes(generator, pickle.dumps(plain, protocol=4))

    return Target(make, read_plain_pickle, load_plans)


def headers_target() -> Target:
    from nibabel.nifti1 import header_dtype

    from autoseg.errors import DatasetError
    from autoseg.images import read_image

    nifti, voxels = valid_image(), valid_image()[352:]

    def field(generator: random.Random) -> bytes:
        changed = bytearray(nifti)
        for _ in range(generator.randint(1, 3)):
            kind, position = header_dtype.fields[generator.choice(FIELDS)][:2]
            at = position + generator.randrange(kind.itemsize)
            strange = generator.choice([b"\0", b"\xff", b"\x7f\xc0", b"\0\0\x80\x7f", b"\x01", generator.randbytes(2)])
            changed[at : at + len(strange)] = strange
        return bytes(changed[: len(nifti)])

    def text(generator: random.Random, header: str) -> bytes:
        lines = header.split("\n")
        for _ in range(generator.randint(1, 2)):
            at = generator.randrange(1, len(lines) - 2)
            key, separator, _ = lines[at].replace(" = ", ": ").partition(": ")
            separator = " = " if header is MHA else separator
            lines[at] = key + separator + generator.choice(WORDS)
            if generator.random() < 0.15:
                lines.insert(at, lines[at])
        return "\n".join(lines).encode() + voxels

    def make(generator: random.Random) -> tuple[str, bytes]:
        kind = generator.choice(["x.nii", "x.nii.gz", "x.nrrd", "x.mha"])
        sound = {"x.nrrd": NRRD.encode() + voxels, "x.mha": MHA.encode() + voxels}.get(kind, nifti)
        if generator.random() > STRUCTURAL:
            content = with_other_bytes(generator, sound)
        elif kind.startswith("x.nii"):
            content = field(generator)
        else:
            content = text(generator, NRRD if kind == "x.nrrd" else MHA)
        return kind, gzip.compress(content, 1, mtime=0) if kind.endswith(".gz") else content

    def first_check(path: Path) -> None:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.name.endswith(".gz") else content
        starts = {".nrrd": content[:7] == b"NRRD000", ".mha": b"\nElementDataFile" in content}
        if not starts.get(path.suffix, content[:4] == nifti[:4] and content[344:347] == b"n+1"):
            raise DatasetError("another format")

    def read(path: Path) -> None:
        place = read_image(path).geometry
        if not np.isfinite([*place.spacing, *place.origin, *place.direction]).all():
            raise ArithmeticError(f"lies nowhere: {place}")

    return Target(make, first_check, read)


def formats_target() -> Target:
    """Pictures, HDF5, FreeSurfer's volumes, pairs, detached headers and DICOM, changed byte by byte."""
    from fuzz_formats import BESIDE, VOLUME, sound_files

    from autoseg.images import read_volumes

    files = sound_files()

    def make(generator: random.Random) -> tuple[str, bytes]:
        name = generator.choice(sorted(files))
        if not name.endswith("z"):
            return name, with_other_bytes(generator, files[name], start=2)
        return name, gzip.compress(with_other_bytes(generator, gzip.decompress(files[name])), 1, mtime=0)

    def first_check(path: Path) -> None:
        if path.read_bytes()[:2] != files[path.name][:2]:
            raise AutosegError("another format")

    def read(path: Path) -> None:
        (path.parent / BESIDE).write_bytes(VOLUME.tobytes())
        for image in read_volumes(path):
            place = image.geometry
            if not np.isfinite([*place.spacing, *place.origin, *place.direction]).all():
                raise ArithmeticError(f"lies nowhere: {place}")

    return Target(make, first_check, read)


def drawings_target() -> Target:
    """Structure sets, segmentations and zip files of DICOM, changed byte by byte."""
    from fuzz_dicom import GRID, sound_drawings

    from autoseg.dataset.dicom_zips import unpack_dicom
    from autoseg.images.dicom_drawings import masks_of, read_drawing

    files = sound_drawings()

    def make(generator: random.Random) -> tuple[str, bytes]:
        name = generator.choice(sorted(files))
        return name, with_other_bytes(generator, files[name], start=132 if name != "x.zip" else 4)

    def first_check(path: Path) -> None:
        if path.read_bytes()[:132] != files[path.name][:132] and path.suffix != ".zip":
            raise AutosegError("another format")

    def read(path: Path) -> None:
        if path.suffix == ".zip":
            unpack_dicom(path, path.parent / "unpacked")
        elif (drawing := read_drawing(path)) is not None:
            for mask in masks_of(path, list(drawing.structures.values()), GRID):
                if mask.shape != GRID.shape:
                    raise ArithmeticError(f"lies nowhere: {mask.shape}")

    return Target(make, first_check, read)


def archives_target() -> Target:
    import torch._subclasses.schema_check_mode
    import torch.nested._internal.ops
    import torch.nested._internal.sdpa  # noqa: F401 - what torch imports of its own on first use, by kinds of tensors

    from autoseg.sharing.archive import open_archive
    from autoseg.sharing.installing import install_models

    files = valid_archive()
    whole = packed(files)

    def make(generator: random.Random) -> tuple[str, bytes]:
        if generator.random() > STRUCTURAL:
            start = generator.choice([0, whole.rindex(b"PK\1\2") - 800, len(whole) - 22])
            return "x.zip", with_other_bytes(generator, whole, start)
        changed = dict(files)
        for _ in range(generator.randint(1, 2)):
            name = generator.choice(sorted(files))
            changed[name] = _other_member(generator, name, files[name])
        return "x.zip", packed(changed)

    def first_check(path: Path) -> None:
        with open_archive(path):
            pass

    return Target(make, first_check, lambda path: install_models(path, path.parent / "results"))


def _other_member(generator: random.Random, name: str, content: bytes) -> bytes:
    if name.endswith(".json") and generator.random() < STRUCTURAL:
        return as_json(mutated(generator, json.loads(content)))
    if name.endswith(".pkl") and generator.random() < STRUCTURAL:
        return pickle.dumps(mutated(generator, valid_plans()), protocol=4)
    return with_other_bytes(generator, content)


def packed(files: Mapping[str, bytes]) -> bytes:
    """A zip of the files with a manifest that is right for them."""
    sums = {name: {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)} for name, text in files.items()}
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened:
            for name, content in files.items():
                opened.writestr(name, content)
            opened.writestr("manifest.json", as_json({"format": 1, "version": "0.1.0", "files": sums}))
        return file.getvalue()


def json_target() -> Target:
    import sklearn.model_selection  # noqa: F401 - what making folds imports on first use

    from autoseg.dataset import read_dataset
    from autoseg.dataset.facts import read_facts
    from autoseg.dataset.splits import open_splits
    from autoseg.ensembling.selection import load_selection
    from autoseg.evaluation.summary import load_summary
    from autoseg.files.storage import read_json
    from autoseg.planning.fingerprint import load_fingerprint
    from autoseg.plans import load_plans_json
    from autoseg.postprocessing.rules import load_rules

    readers: Mapping[str, Callable[[Path], object]] = {
        "dataset.json": lambda path: read_dataset(path.parent),
        "splits_final.json": lambda path: open_splits(path, "abcd"),
        "patients.json": lambda path: open_splits(
            path.with_name("splits_final.json"), "abcde", facts=read_facts(path.parent)
        ),
        "metadata.tsv": lambda path: read_facts(path.parent, "abcde"),
        "plans.json": load_plans_json,
        "fingerprint.json": load_fingerprint,
        "postprocessing.json": load_rules,
        "selection.json": load_selection,
        "summary.json": load_summary,
    }

    def make(generator: random.Random) -> tuple[str, bytes]:
        name = generator.choice(sorted(readers))
        if name == "metadata.tsv":
            return name, with_other_bytes(generator, METADATA)
        if generator.random() < STRUCTURAL:
            return name, as_json(mutated(generator, JSON_FILES[name]))
        return name, with_other_bytes(generator, as_json(JSON_FILES[name]))

    return Target(make, read_json, lambda path: readers[path.name](path))


TARGETS: Mapping[str, Callable[[], Target]] = {
    "plans": plans_target,
    "headers": headers_target,
    "formats": formats_target,
    "drawings": drawings_target,
    "archives": archives_target,
    "json": json_target,
}


# ------------------------------------------------------------------------------ the command


def warmed(name: str) -> Target:
    """A target whose readers have imported all they ever import."""

    for encoding in (
        "idna",
        "raw_unicode_escape",
        "utf_8_sig",
        "utf_16",
        "utf_16_le",
        "utf_16_be",
        "utf_32",
        "utf_32_le",
        "utf_32_be",
    ):
        codecs.lookup(encoding)  # JSON may be in any of these
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _took_too_long)
    target = TARGETS[name]()
    fuzz(target, 60, seed=-1)
    return target


def _took_too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS_FOR_ONE} s")


def _in_child(name: str, number: int, seed: int, results: Any) -> None:
    if MEMORY_DISK.is_dir():
        tempfile.tempdir = str(MEMORY_DISK)  # what the readers write for a moment need not be synced to a disk
    results.send(fuzz(warmed(name), number, seed))


def fuzz_in_children(name: str, number: int, seed: int) -> Count:
    """Give a reader `number` inputs, some thousands in each child process; one that crashes is a fault."""
    count = Count()
    for start in range(0, number, INPUTS_OF_A_CHILD):
        size = min(INPUTS_OF_A_CHILD, number - start)
        receiving, sending = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(
            target=_in_child, args=(name, size, seed + start, sending), daemon=True
        )
        child.start()
        sending.close()
        try:
            count.add(receiving.recv())
        except EOFError:
            child.join()
            count.faults.append(f"seed {seed + start}: the process ended with {child.exitcode}")
        child.join()
    return count


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="for each target (default: 100000)")
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    print(
        "| target | inputs | past the first check | read | refused | faults | inputs/s |\n|---|---|---|---|---|---|---|"
    )
    faults: list[str] = []
    for name in arguments.only:
        started = time.monotonic()
        count = fuzz_in_children(name, arguments.inputs, arguments.seed)
        rate = count.inputs / (time.monotonic() - started)
        share = f"{count.passed} ({count.passed / max(1, count.inputs):.0%})"
        print(
            f"| {name} | {count.inputs} | {share} | {count.read} | {count.refused} | {len(count.faults)} | {rate:.0f} |",
            flush=True,
        )
        faults += [f"{name}, {fault}" for fault in count.faults]
    for fault, times in Counter(faults).most_common(40):
        print(f"{times} x {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
