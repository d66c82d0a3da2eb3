"""Installing: what was exported comes back whole; everything else is refused in words and leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg.errors import AutosegError, ModelError, StorageError
from autoseg.files.storage import read_json
from autoseg.inference.model import load_model
from autoseg.paths import find_models
from autoseg.sharing import archive as archive_module
from autoseg.sharing.card import card_text
from autoseg.sharing.exporting import Sources, export_models
from autoseg.sharing.installing import install_models, read_archived_card
from autoseg.sharing.members import parse_member, parse_members

FULLRES = "results/3d_fullres/Task004_Balls/Trainer__autoseg"
FLAT = "results/2d/Task004_Balls/Trainer__autoseg"
WEIGHTS = f"{FLAT}/fold_0/weights_final.pt"

Files = Mapping[str, bytes]
Pack = Callable[..., Path]


def everything(folder: Path) -> dict[str, bytes | None]:
    """All files and folders below, with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# ---------------------------------------------------------------- what works


def test_an_installed_model_is_the_exported_one(archive: Path, contents: Files, tmp_path: Path) -> None:
    results = tmp_path / "elsewhere" / "results"

    installation = install_models(archive, results)

    placed = {name: content for name, content in everything(results).items() if content is not None}
    expected = {name.removeprefix("results/"): content for name, content in contents.items() if "/" in name}
    for folder in (FLAT, FULLRES):
        for name in ("model_card.json", "model_card.md"):
            expected[f"{folder.removeprefix('results/')}/{name}"] = contents[name]
    assert placed == expected
    assert installation.folders == (
        results / "2d/Task004_Balls/Trainer__autoseg",
        results / "3d_fullres/Task004_Balls/Trainer__autoseg",
        results / "selections/Task004_Balls",
    )
    assert installation.replaced == ()
    assert installation.card.about.licence == "CC0 1.0"
    assert sorted(path.name for path in results.iterdir()) == ["2d", "3d_fullres", "selections"]


def test_the_installed_weights_are_those_that_were_trained(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path / "results", folds=("0", "1"))
    export_models(find_models(tmp_path / "results"), tmp_path / "x.zip", Sources())
    install_models(tmp_path / "x.zip", tmp_path / "other")

    ours = load_model(folder, "3d_fullres")
    theirs = load_model(tmp_path / "other" / folder.relative_to(tmp_path / "results"), "3d_fullres")

    assert theirs.folds == ("0", "1")
    assert theirs.rules == ours.rules
    for one, other in zip(ours.networks, theirs.networks, strict=True):
        for mine, yours in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(mine, yours)


def test_what_was_installed_can_be_exported_again(archive: Path, contents: Files, tmp_path: Path) -> None:
    install_models(archive, tmp_path / "results")

    export_models(find_models(tmp_path / "results"), tmp_path / "again.zip", Sources())

    with zipfile.ZipFile(tmp_path / "again.zip") as opened:
        again = {name: opened.read(name) for name in opened.namelist()}
    assert {n: c for n, c in again.items() if n.endswith((".pt", ".pkl", "fingerprint.json"))} == {
        n: c for n, c in contents.items() if n.endswith((".pt", ".pkl", "fingerprint.json"))
    }


def test_the_card_is_read_without_unpacking(archive: Path, contents: Files) -> None:
    assert card_text(read_archived_card(archive)).encode() == contents["model_card.md"]


# ---------------------------------------------------------------- models that are there


def test_a_model_that_is_there_is_not_touched_without_overwrite(archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "3d_fullres/Task004_Balls/Trainer__autoseg"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("mine")
    before = everything(tmp_path)

    with pytest.raises(ModelError) as error:
        install_models(archive, tmp_path)

    assert str(error.value) == f"{archive}: these are there already:\n  {mine}\nAdd `overwrite=True` to replace them."
    assert everything(tmp_path) == before


def test_with_overwrite_the_whole_folder_is_replaced(archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "3d_fullres/Task004_Balls/Trainer__autoseg"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("mine")
    other = tmp_path / "3d_fullres/Task004_Balls/MyTrainer__autoseg"
    other.mkdir()

    installation = install_models(archive, tmp_path, overwrite=True)

    assert installation.replaced == (mine,)
    assert not (mine / "mine.txt").exists()
    assert (mine / "fold_1/weights_final.pt").is_file()
    assert other.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2d", "3d_fullres", "selections"]


def test_what_cannot_be_moved_brings_the_old_models_back(archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "2d/Task004_Balls/Trainer__autoseg"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("mine")
    (tmp_path / "3d_fullres").write_text("a file where a folder is due")
    before = everything(tmp_path)

    with pytest.raises(StorageError, match=r"3d_fullres.*: Not a directory; a part of this path is a file"):
        install_models(archive, tmp_path, overwrite=True)

    assert everything(tmp_path) == before


def test_a_full_disk_is_said_before_anything_is_written(archive, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("autoseg.sharing.installing.SPACE_LEFT", 2**62)

    with pytest.raises(StorageError, match=r"bytes are needed and \d+ are free; make space and install again"):
        install_models(archive, tmp_path)

    assert everything(tmp_path) == {}


# ---------------------------------------------------------------- refusals


def refusal(path: Path, results: Path) -> str:
    """The reason for which an archive is refused; nothing may be left behind."""
    before = everything(results) if results.exists() else {}
    with pytest.raises(AutosegError) as error:
        install_models(path, results)
    assert everything(results) == before if results.exists() else True
    message = str(error.value)
    start, end = (
        f"{path}: refused: ",
        "\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, ",
    )
    assert message.startswith(start), message
    assert end in message
    assert ".installing-" not in message
    return message.removeprefix(start).partition(end)[0]


def test_no_file_and_no_zip(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"x\.zip: no such file; name the archive that autoseg_export_model wrote"):
        install_models(tmp_path / "x.zip", tmp_path / "results")
    (tmp_path / "x.zip").write_text("hello")
    assert refusal(tmp_path / "x.zip", tmp_path / "results") == "it is no zip file, or not whole"


def test_an_archive_cut_short(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(archive.read_bytes()[:-1])
    assert refusal(tmp_path / "x.zip", tmp_path / "results") == "it is no zip file, or not whole"


def test_a_single_changed_byte_of_the_weights(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        content[opened.getinfo(WEIGHTS).header_offset + 200] ^= 1
    (tmp_path / "x.zip").write_bytes(content)
    assert "the zip file is damaged" in refusal(tmp_path / "x.zip", tmp_path / "results")


def test_a_file_that_is_not_what_the_manifest_says(contents: Files, pack: Pack, tmp_path: Path) -> None:
    path = pack(contents)
    other = {**contents, "model_card.md": contents["model_card.md"][::-1]}
    with zipfile.ZipFile(path) as opened:
        manifest = json.loads(opened.read("manifest.json"))

    assert refusal(pack(other, manifest), tmp_path / "results") == (
        "'model_card.md' is damaged or was changed: its SHA-256 sum is not that of manifest.json"
    )


def test_a_size_that_is_not_what_the_manifest_says(contents: Files, pack: Pack, tmp_path: Path) -> None:
    path = pack(contents)
    with zipfile.ZipFile(path) as opened:
        manifest = json.loads(opened.read("manifest.json"))
    size = len(contents["model_card.md"])

    assert refusal(pack({**contents, "model_card.md": contents["model_card.md"] + b"."}, manifest), tmp_path / "r") == (
        f"'model_card.md' has {size + 1} bytes, but manifest.json says {size}"
    )


def test_files_and_manifest_must_name_the_same(contents: Files, pack: Pack, tmp_path: Path) -> None:
    extra = f"{FLAT}/fold_0/weights_best.pt"
    assert refusal(pack(contents, extra=[(extra, b"x")]), tmp_path / "r") == f"'{extra}' is not listed in manifest.json"

    with zipfile.ZipFile(pack(contents)) as opened:
        files = json.loads(opened.read("manifest.json"))["files"]
    files[extra] = {"sha256": "0" * 64, "bytes": 1}
    assert refusal(pack(contents, {"files": files}), tmp_path / "r") == (
        f"'{extra}' is listed in manifest.json, but not there"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"format": 2, "version": "9.0"},
            "an archive of format 2 (autoseg 9.0), but this is autoseg 0.1.0, which reads",
        ),
        ({"format": True}, "an archive of format True"),
        ({"surprise": 1}, "manifest.json: wrong fields: unknown surprise"),
        ({"files": []}, "manifest.json.files: expected"),
        ({"files": {"a": {"sha256": "0" * 63, "bytes": 1}}}, "manifest.json: no SHA-256 sum of a file: '000"),
        ({"files": {"a": {"sha256": "0" * 64, "bytes": -1}}}, "manifest.json: no SHA-256 sum of a file: '000"),
        ({"files": {"a": {"sha256": "0" * 64, "bytes": "1"}}}, "manifest.json.files.a.bytes: expected int, found '1'"),
    ],
)
def test_manifests_that_are_none(contents: Files, pack: Pack, tmp_path: Path, changes, reason: str) -> None:
    assert refusal(pack(contents, changes), tmp_path / "r").startswith(reason)


def test_an_archive_without_a_manifest_or_card(contents: Files, tmp_path: Path, pack: Pack) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    assert refusal(tmp_path / "x.zip", tmp_path / "r") == "manifest.json is missing"

    assert refusal(pack({n: c for n, c in contents.items() if n != "model_card.json"}), tmp_path / "r") == (
        "model_card.json is missing"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.txt", "'../evil.txt' leaves the archive's folder"),
        ("/etc/passwd", "'/etc/passwd' leaves the archive's folder"),
        (f"{FLAT}/../../../../evil", f"'{FLAT}/../../../../evil' leaves the archive's folder"),
        ("..\\evil.txt", "'..\\\\evil.txt' holds a backslash or a drive letter"),
        ("C:/evil.txt", "'C:/evil.txt' holds a backslash or a drive letter"),
        (f"{FLAT}/plans.pkl/", f"'{FLAT}/plans.pkl/' is a folder"),
        ("results/\x1b[2Jevil", "'results/\\x1b[2Jevil' is too long or holds characters that cannot be printed"),
        ("results/" + "a" * 500, "is too long or holds characters"),
        ("setup.py", "'setup.py' is no file of a model archive"),
        ("results/2d/Task004_Balls/plans.pkl", "is no file of a model archive"),
        ("results/runs/Task004_Balls/Trainer__autoseg/plans.pkl", "is no file of a model archive"),
        ("results/2d/Balls/Trainer__autoseg/plans.pkl", "is no file of a model archive"),
        ("results/2d/Task004_Balls/Trainer/plans.pkl", "is no file of a model archive"),
        ("results/2d/Task004_./Trainer__autoseg/plans.pkl", "is no file of a model archive"),
        (f"{FLAT}/other.pkl", "is no file of a model archive"),
        (f"{FLAT}/fold_0/plans.pkl", "is no file of a model archive"),
        (f"{FLAT}/fold_0/checkpoint.pt", "is no file of a model archive"),
        (f"{FLAT}/fold_x/weights_final.pt", "is no file of a model archive"),
        (f"{FLAT}/fold_0/weights_final.pt\n", "holds characters that cannot be printed"),
        (f"{FLAT}//plans.pkl", "is no file of a model archive"),
        (f"./{FLAT}/plans.pkl", "is no file of a model archive"),
        ("", "'' is no file of a model archive"),
    ],
)
def test_names_that_no_archive_has(contents: Files, pack: Pack, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ModelError) as error:
        parse_member(name)
    assert reason in str(error.value)
    if name:
        assert reason in refusal(pack(contents, extra=[(name, b"x")]), tmp_path / "results")


def test_a_name_with_a_zero_byte(contents: Files, pack: Pack, tmp_path: Path) -> None:
    """The zip library cuts names there, so that two readers could see two names."""
    path = pack(contents, extra=[("setup.pyX", b"x")])
    path.write_bytes(path.read_bytes().replace(b"setup.pyX", b"setup.py\0"))
    assert refusal(path, tmp_path / "r") == "'setup.py\\x00' holds characters that cannot be printed"


def test_names_that_are_there_twice(contents: Files, pack: Pack, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = pack(contents, extra=[("model_card.md", b"x")])
    assert refusal(path, tmp_path / "r") == "'model_card.md' is there twice"
    with pytest.raises(ModelError, match="is there twice"):
        parse_members([f"{FLAT}/plans.pkl", f"{FLAT}/plans.pkl".replace("Balls", "BALLS")])


def special(name: str, mode: int, attributes: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16 | attributes
    return info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (special("model_card.txt", stat.S_IFLNK | 0o777), "is a link; an archive of models holds files only"),
        (special("model_card.txt", stat.S_IFDIR | 0o777), "is a folder or a device"),
        (special("model_card.txt", stat.S_IFIFO | 0o777), "is a folder or a device"),
        (special("model_card.txt", stat.S_IFCHR | 0o777), "is a folder or a device"),
        (special("model_card.txt", 0, 0x10), "is a folder or a device"),
    ],
)
def test_links_folders_and_devices(contents: Files, pack: Pack, tmp_path: Path, info, reason: str) -> None:
    assert refusal(pack(contents, extra=[(info, b"/etc/passwd")]), tmp_path / "r").startswith(
        f"'model_card.txt' {reason}"
    )


def test_a_link_under_an_allowed_name(contents: Files, tmp_path: Path, pack: Pack) -> None:
    files = {name: content for name, content in contents.items() if name != WEIGHTS}
    path = pack(files, extra=[(special(WEIGHTS, stat.S_IFLNK | 0o777), b"/etc/passwd")])
    assert refusal(path, tmp_path / "r") == f"'{WEIGHTS}' is a link; an archive of models holds files only"


def test_other_packings_and_encryption(contents: Files, pack: Pack, tmp_path: Path) -> None:
    packed = zipfile.ZipInfo("model_card.txt")
    packed.compress_type = zipfile.ZIP_LZMA
    assert refusal(pack(contents, extra=[(packed, b"x")]), tmp_path / "r") == (
        "'model_card.txt' is packed with method 14; only deflate is read"
    )
    path = pack(contents, extra=[("model_card.txt", b"x")])
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)
    assert refusal(path, tmp_path / "r") == "'model_card.txt' is encrypted"


# ---------------------------------------------------------------- sizes


def test_a_member_larger_than_its_kind(contents: Files, pack: Pack, tmp_path: Path) -> None:
    path = pack({**contents, "model_card.md": b"a" * (2**20 + 1)})
    assert refusal(path, tmp_path / "r") == "'model_card.md' declares 1048577 bytes, more than the 1048576 allowed"


def test_a_bomb(contents: Files, pack: Pack, tmp_path: Path) -> None:
    path = pack({**contents, WEIGHTS: bytes(17 * 2**20)})
    assert refusal(path, tmp_path / "r") == f"'{WEIGHTS}' would grow more than 100 times when unpacked (a zip bomb)"


def test_a_member_that_lies_about_its_size(contents: Files, pack: Pack, tmp_path: Path) -> None:
    """Half a megabyte that declares a hundred bytes, everywhere and in the manifest too."""
    name, real, declared = "model_card.md", bytes(523_457), 100
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    files = {n: {"sha256": sums[n], "bytes": len(content)} for n, content in contents.items()}
    files[name] = {"sha256": hashlib.sha256(real[:declared]).hexdigest(), "bytes": declared}
    path = pack({**contents, name: real}, {"files": files})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", len(real)), struct.pack("<L", declared)))
    with zipfile.ZipFile(path) as opened:
        assert opened.getinfo(name).file_size == declared

    assert refusal(path, tmp_path / "r").startswith("the zip file is damaged (BadZipFile: Bad CRC-32")


def test_all_members_together(contents: Files, pack: Pack, tmp_path: Path, monkeypatch) -> None:
    path = pack(contents)
    limits = archive_module.LIMITS
    monkeypatch.setattr(archive_module, "LIMITS", replace(limits, size=path.stat().st_size))
    assert refusal(path, tmp_path / "r") == f"its files declare more than {path.stat().st_size} bytes together"
    monkeypatch.setattr(archive_module, "LIMITS", replace(limits, size=100))
    assert refusal(path, tmp_path / "r").startswith(f"it has {path.stat().st_size} bytes, more than the 100 that")


def test_more_members_than_an_archive_has(contents: Files, pack: Pack, tmp_path: Path) -> None:
    path = pack(contents, extra=[(f"{number}", b"") for number in range(1000)])
    assert refusal(path, tmp_path / "r").endswith("an archive has at most 1000 files")


def test_a_directory_said_to_be_small_in_one_record_and_huge_in_another(archive: Path, tmp_path: Path) -> None:
    """A zip may hold its counts twice; the library believes the larger record."""
    content = archive.read_bytes()
    end = content[-22:]
    at = len(content) - 22
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 5, 10**9, 10**9, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    (tmp_path / "x.zip").write_bytes(content[:-22] + record + locator + end)
    assert refusal(tmp_path / "x.zip", tmp_path / "r").startswith("it lists 1000000000 files in 1000000000 bytes")


# ---------------------------------------------------------------- contents


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("harm"),))


def weights_with(**changes: object) -> bytes:
    file = io.BytesIO()
    content = {"format": 1, "version": "0.1.0", "trainer": "Trainer", "custom_network": False, "mirror_axes": [0]}
    torch.save({**content, "epoch": 1, "weights": {"a": torch.zeros(2)}, **changes}, file)
    return file.getvalue()


def legacy_weights() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def packed_weights() -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(weights_with())) as records,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in records.namelist():
            packed.writestr(name, records.read(name))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (f"{FLAT}/plans.pkl", pickle.dumps(Harmful(), 4), "plans.pkl: refused: the pickle opcode STACK_GLOBAL"),
        (f"{FLAT}/plans.pkl", b"cos\nsystem\n(S'id'\ntR.", "plans.pkl: refused: the pickle opcode GLOBAL at byte 0"),
        (f"{FLAT}/plans.pkl", pickle.dumps({"format": 9}, 4), "plans.pkl: plans of format 9"),
        (f"{FLAT}/plans.json", b"{", "plans.json: not valid JSON"),
        (f"{FLAT}/fingerprint.json", b"{}", "fingerprint.json: wrong fields: missing"),
        (f"{FLAT}/postprocessing.json", b"[]", "postprocessing.json: postprocessing of format None"),
        (f"{FLAT}/fold_0/validation_raw/summary.json", b"{}", "summary.json: not a summary of scores"),
        ("results/selections/Task004_Balls/selection.json", b"[" * 100 + b"]" * 100, "selection.json: nested deeper"),
        ("model_card.json", b'{"format": 7}', "model_card.json: a model card of format 7"),
        ("model_card.md", b"\xff\xfe", "model_card.md: not text in UTF-8"),
        (
            WEIGHTS,
            b"not weights",
            "weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them",
        ),
        (WEIGHTS, pickle.dumps(Harmful(), 2), "weights_final.pt: refused: it is cut short, or no file of tensors"),
        (WEIGHTS, legacy_weights(), "weights_final.pt: refused: it is cut short, or no file of tensors"),
        (
            WEIGHTS,
            legacy_weights() + weights_with(),
            "weights_final.pt: refused: it is cut short, or no file of tensors",
        ),
        (WEIGHTS, packed_weights(), "weights_final.pt: refused: its tensors are packed, as no weights are"),
        (
            WEIGHTS,
            weights_with(surprise=Harmful()),
            "weights_final.pt: refused: it holds more than tensors",
        ),
        (WEIGHTS, weights_with(format=2, version="9"), "weights_final.pt: weights of format 2 (autoseg 9)"),
        (WEIGHTS, weights_with(trainer=3), "weights_final.pt.trainer: expected str, found 3"),
        (WEIGHTS, weights_with(weights=[1]), "weights_final.pt.weights: expected dict, found [1]"),
        (WEIGHTS, weights_with(weights={"a": 1}), "weights_final.pt.weights.a: expected Tensor, found 1"),
        (WEIGHTS, weights_with(mirror_axes=5), "weights_final.pt.mirror_axes: expected tuple, found 5"),
    ],
)
def test_files_that_are_not_what_their_names_say(
    contents: Files, pack: Pack, tmp_path: Path, monkeypatch, name: str, content: bytes, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reason in refusal(pack({**contents, name: content}), tmp_path / "r")
    assert not (tmp_path / "harm").exists()


def test_plans_and_card_must_fit_each_other(contents: Files, pack: Pack, tmp_path: Path) -> None:
    other = {**contents, f"{FLAT}/plans.json": contents[f"{FULLRES}/plans.json"]}
    assert refusal(pack(other), tmp_path / "r") == f"{FLAT}/plans.json shows other plans than plans.pkl holds"

    plans = {f"{FLAT}/{name}": contents[f"{FULLRES}/{name}"] for name in ("plans.pkl", "plans.json")}
    assert refusal(pack({**contents, **plans}), tmp_path / "r") == (
        "Task004_Balls: 2d is not planned; planned are 3d_fullres"
    )

    moved = {name.replace("Task004_Balls", "Task004_Cubes"): content for name, content in contents.items()}
    assert refusal(pack(moved), tmp_path / "r") == (
        "results/2d/Task004_Cubes/Trainer__autoseg/plans.pkl holds plans 'autoseg' of 'Task004_Balls'; another folder's"
    )

    fewer = {name: content for name, content in contents.items() if "/2d/" not in name}
    assert refusal(pack(fewer), tmp_path / "r").startswith("model_card.json describes results/2d/Task004_Balls")

    card = json.loads(contents["model_card.json"])
    card["labels"] = ["background", "cube"]
    assert refusal(pack({**contents, "model_card.json": json.dumps(card).encode()}), tmp_path / "r") == (
        "model_card.json has other channels or labels than the plans"
    )
    card["models"] = []
    assert "it must name at least one model" in refusal(
        pack({**contents, "model_card.json": json.dumps(card).encode()}), tmp_path / "r"
    )


def test_models_must_be_whole_and_of_one_task(contents: Files, pack: Pack, tmp_path: Path) -> None:
    without = {name: content for name, content in contents.items() if name != f"{FLAT}/plans.pkl"}
    assert refusal(pack(without), tmp_path / "r") == f"{FLAT} lacks plans.pkl"

    without = {name: content for name, content in contents.items() if name != WEIGHTS}
    assert refusal(pack(without), tmp_path / "r") == f"{FLAT} holds no weights"

    two = {name.replace("2d/Task004_Balls", "2d/Task005_Cubes"): content for name, content in contents.items()}
    assert refusal(pack(two), tmp_path / "r") == "it holds models of several tasks: Task004_Balls, Task005_Cubes"

    none = {name: content for name, content in contents.items() if "/" not in name}
    assert refusal(pack(none), tmp_path / "r") == "there is no model in it"


def test_a_card_cannot_steer_the_terminal(contents: Files, pack: Pack) -> None:
    card = json.loads(contents["model_card.json"])
    card["about"]["licence"] = "free\x1b[2J\x07\nbeer"
    path = pack({**contents, "model_card.json": json.dumps(card).encode()})

    assert "- Licence of the data: free [2J  beer\n" in card_text(read_archived_card(path))


def test_nothing_is_left_when_the_disk_cannot_be_written(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder is due")

    with pytest.raises(StorageError, match=r"results: File exists; move away what has this name"):
        install_models(archive, tmp_path / "results")


def test_installing_twice_gives_the_same_files(archive: Path, tmp_path: Path) -> None:
    install_models(archive, tmp_path / "r")
    once = everything(tmp_path / "r")

    install_models(archive, tmp_path / "r", overwrite=True)

    assert everything(tmp_path / "r") == once
    shutil.rmtree(tmp_path / "r")


def test_the_manifest_of_a_real_archive_is_plain_json(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extract("manifest.json", tmp_path)

    assert set(read_json(tmp_path / "manifest.json")) == {"format", "version", "files"}
