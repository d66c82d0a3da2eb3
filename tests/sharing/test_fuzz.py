"""Mutated archives: whatever is done to one, it is installed whole or refused in words, and nothing lies elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoseg.errors import AutosegError
from autoseg.paths import find_models
from autoseg.sharing.exporting import Sources, export_models
from autoseg.sharing.installing import install_models

EXAMPLES = int(os.environ.get("AUTOSEG_FUZZ_EXAMPLES", "150"))
"""For each way to mutate; more by hand."""

FUZZING = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
HOSTILE_NAMES = [
    "../x",
    "results/../../x",
    "/tmp/x",
    "C:\\x",
    "results/2d/Task004_Balls/Trainer__autoseg/../../../../../x",
    "results/2d/Task004_Balls/Trainer__autoseg/fold_9/weights_final.pt",
    "results/2d/Task004_Balls/Other__autoseg/plans.pkl",
    "results/selections/Task004_Balls/selection.json/x",
    "model_card.MD",
    "x" * 2000,
    "a\0b",
    "",
]


MEMORY_DISK = Path("/dev/shm")
TEMPORARY = MEMORY_DISK if MEMORY_DISK.is_dir() else None


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, train_model, fingerprint_file: Path) -> bytes:
    """An archive of one fold of one model."""
    folder = tmp_path_factory.mktemp("small")
    train_model(folder, "2d")
    export_models(find_models(folder), folder / "x.zip", Sources(fingerprint=fingerprint_file))
    return (folder / "x.zip").read_bytes()


@pytest.fixture(scope="module")
def files_of(small: bytes) -> Mapping[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(small)) as opened:
        return {name: opened.read(name) for name in opened.namelist() if name != "manifest.json"}


def outcome(archive: bytes) -> str:
    """Install and say what came of it; the folder around the results must hold the archive and the results only."""
    outer = Path(tempfile.mkdtemp(dir=TEMPORARY))
    try:
        results = outer / "inner" / "results"
        results.mkdir(parents=True)
        path = outer / "inner" / "x.zip"
        path.write_bytes(archive)
        try:
            install_models(path, results)
        except AutosegError as error:
            assert str(path) in str(error)
            left = [str(found.relative_to(outer)) for found in outer.rglob("*")]
            assert sorted(left) == ["inner", "inner/results", "inner/x.zip"]
            return "refused"
        assert sorted(found.name for found in outer.iterdir()) == ["inner"]
        assert sorted(found.name for found in (outer / "inner").iterdir()) == ["results", "x.zip"]
        assert not any(found.name.startswith(".") or found.is_symlink() for found in results.rglob("*"))
        return "installed"
    finally:
        shutil.rmtree(outer)


@FUZZING
@given(data=st.data())
def test_bytes_changed_cut_and_doubled(small: bytes, data: st.DataObject) -> None:
    content = bytearray(small)
    # the directory, the end and the local headers are small; half of all changes go there
    start = data.draw(st.sampled_from([0, content.rindex(b"PK\1\2") - 1500, len(content) - 22]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(start, len(content) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "set":
            content[at] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=40))
        start = min(start, len(content) - 1)
    outcome(bytes(content))


@FUZZING
@given(data=st.data())
def test_members_changed_behind_a_right_manifest(files_of: Mapping[str, bytes], data: st.DataObject) -> None:
    """The first checks pass: what is refused is refused by the readers of the files themselves."""
    files = dict(files_of)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(files_of)))
        content = bytearray(files[name])
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        files[name] = bytes(content)
    outcome(packed(files))


@FUZZING
@given(data=st.data())
def test_members_of_hostile_names_and_kinds(files_of: Mapping[str, bytes], data: st.DataObject) -> None:
    files = dict(files_of)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(HOSTILE_NAMES) | st.text(max_size=20))
        files[name] = data.draw(st.binary(max_size=20))
    attributes = data.draw(st.sampled_from([0, 0o100644 << 16, 0o120777 << 16, 0o040755 << 16, 0x10]))
    result = outcome(packed(files, attributes, twice=data.draw(st.booleans())))
    assert result == "refused"


def packed(files: Mapping[str, bytes], attributes: int = 0, *, twice: bool = False) -> bytes:
    """A zip whose manifest is right for `files`; those that no archive holds get the attributes."""
    with io.BytesIO() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = attributes if not name.startswith(("results", "model_card")) else 0
                opened.writestr(info, content)
            if twice:
                opened.writestr(next(iter(files)), b"again")
            sums = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in files.items()}
            opened.writestr("manifest.json", json.dumps({"format": 1, "version": "0.1.0", "files": sums}))
        return file.getvalue()
