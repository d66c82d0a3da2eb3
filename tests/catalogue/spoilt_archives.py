"""Archives of models, as someone else may send them."""

from __future__ import annotations

import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable

from spoiling import Entry, Hostile, Place, Spoil, repacked

INSTALL = "autoseg_install_model {outer}/balls.zip --overwrite"
FOLDER = "results/2d/Task001_Balls/Trainer__autoseg"
PLANS, WEIGHTS = f"{FOLDER}/plans.pkl", f"{FOLDER}/fold_0/weights_final.pt"


def installed(name: str, spoil: Spoil, message: str, words: str = INSTALL) -> Entry:
    return Entry(name=name, spoil=spoil, words=words, message=message)


def content(change: Callable[[bytes], bytes]) -> Spoil:
    return lambda place: place.archive.write_bytes(change(place.archive.read_bytes()))


def more(name: str, text: bytes = b"more", attributes: int = 0, twice: bool = False) -> Spoil:
    """A member that the archive lists besides its own."""

    def spoil(place: Place) -> None:
        with zipfile.ZipFile(place.archive, "a", zipfile.ZIP_DEFLATED) as opened:
            for _ in range(1 + twice):
                info = zipfile.ZipInfo(name)
                info.external_attr = attributes
                info.compress_type = zipfile.ZIP_DEFLATED
                opened.writestr(info, text)

    return spoil


def hostile_plans(place: Place) -> None:
    repacked(lambda files: files.update({PLANS: pickle.dumps(Hostile(place.outer / "ran"), protocol=4)}))(place)


def hostile_weights(place: Place) -> None:
    import torch

    path = place.outer / "weights"
    torch.save({"format": 1, "weights": Hostile(place.outer / "ran")}, path)
    content = path.read_bytes()
    path.unlink()
    repacked(lambda files: files.update({WEIGHTS: content}))(place)


def card(change: Callable[[dict[str, object]], object]) -> Spoil:
    def spoil(files: dict[str, bytes]) -> None:
        described = json.loads(files["model_card.json"])
        change(described)
        files["model_card.json"] = json.dumps(described).encode()

    return repacked(spoil)


def many_members(place: Place) -> None:
    with zipfile.ZipFile(place.archive, "a") as opened:
        for number in range(1100):
            opened.writestr(f"results/{number}", b"")


def encrypted(place: Place) -> None:
    """The flag of the first member in the directory at the end."""
    found = bytearray(place.archive.read_bytes())
    at = found.index(b"PK\1\2") + 8
    struct.pack_into("<H", found, at, struct.unpack_from("<H", found, at)[0] | 1)
    place.archive.write_bytes(bytes(found))


def tar(place: Place) -> None:
    import tarfile

    path = place.outer / "weights"
    path.write_bytes(b"weights")
    with tarfile.open(place.archive, "w:gz") as opened:
        opened.add(path, "../weights")
    path.unlink()


def cut_weights(files: dict[str, bytes]) -> None:
    files[WEIGHTS] = files[WEIGHTS][:-600]


def changed_weights(files: dict[str, bytes]) -> None:
    files[WEIGHTS] = files[WEIGHTS][:900] + bytes([files[WEIGHTS][900] ^ 1]) + files[WEIGHTS][901:]


def edited_view(files: dict[str, bytes]) -> None:
    name = f"{FOLDER}/plans.json"
    files[name] = files[name].replace(b'"batch_size": 2', b'"batch_size": 3')


def without(name: str) -> Spoil:
    return rewritten(lambda files: files.pop(name))


def newer(place: Place) -> None:
    manifest = {"format": 2, "version": "9.1.0", "files": {}}
    rewritten(lambda files: files.update({"manifest.json": json.dumps(manifest).encode()}))(place)


def rewritten(change: Callable[[dict[str, bytes]], object]) -> Spoil:
    """Other files in the archive, the manifest one of them."""

    def spoil(place: Place) -> None:
        with zipfile.ZipFile(place.archive) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        change(files)
        with zipfile.ZipFile(place.archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, text in files.items():
                opened.writestr(name, text)

    return spoil


ENTRIES: tuple[Entry, ...] = (
    installed(
        "an archive that is not there",
        lambda place: place.archive.unlink(),
        message="{outer}/balls.zip: no such file; name the archive that autoseg_export_model wrote",
    ),
    installed(
        "an archive that is a folder",
        lambda place: (place.archive.unlink(), place.archive.mkdir()),
        message="{outer}/balls.zip: no such file; name the archive that autoseg_export_model wrote",
    ),
    installed(
        "an archive that is empty",
        content(lambda _: b""),
        message="{outer}/balls.zip: refused: it is no zip file, or not whole\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive that is text",
        content(lambda _: b"an archive of models" * 20),
        message="{outer}/balls.zip: refused: it is no zip file, or not whole\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive cut short",
        content(lambda whole: whole[:-100]),
        message="{outer}/balls.zip: refused: it is no zip file, or not whole\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive that is a tar",
        tar,
        message="{outer}/balls.zip: refused: it is no zip file, or not whole\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a byte changed in its weights",
        repacked(changed_weights, honest=False),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt' is "
        "damaged or was changed: its SHA-256 sum is not that of manifest.json\n"
        "Nothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with something behind it",
        content(lambda whole: whole + b"more"),
        message="{outer}/balls.zip: refused: it is no zip file, or not whole\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive that leaves its folder",
        more("../../outside.txt"),
        message="{outer}/balls.zip: refused: '../../outside.txt' leaves the archive's folder\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with an absolute path",
        more("/tmp/outside.txt"),
        message="{outer}/balls.zip: refused: '/tmp/outside.txt' leaves the archive's folder\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a drive letter",
        more("C:\\outside.txt"),
        message="{outer}/balls.zip: refused: 'C:\\\\outside.txt' holds a backslash or a drive letter\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a link",
        more(f"{FOLDER}/postprocessing.json", b"/etc/passwd", (stat.S_IFLNK | 0o777) << 16),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json' is a link; an archive of models holds files only\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a folder",
        more("results/", b"", 0x10),
        message="{outer}/balls.zip: refused: 'results/' is a folder or a device; an archive of models lists files only\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a program",
        more(f"{FOLDER}/setup.py", b"import os"),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/setup.py' is no file of a model archive\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a name twice",
        more(f"{FOLDER}/fingerprint.json", twice=True),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/fingerprint.json' is there twice\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a name that differs in case",
        more("MODEL_CARD.json"),
        message="{outer}/balls.zip: refused: 'MODEL_CARD.json' is no file of a model archive\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a zip bomb",
        more(f"{FOLDER}/fold_0/weights_best.pt", bytes(64 * 2**20)),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_best.pt' would grow more than 100 times when unpacked (a zip bomb)\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive of 1100 files",
        many_members,
        message="{outer}/balls.zip: refused: it lists 1108 files in 63401 bytes; an archive has at most 1000 files\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive that is encrypted",
        encrypted,
        message="{outer}/balls.zip: refused: 'model_card.md' is encrypted\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive without manifest",
        without("manifest.json"),
        message="{outer}/balls.zip: refused: manifest.json is missing\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive without card",
        repacked(lambda files: files.pop("model_card.json")),
        message="{outer}/balls.zip: refused: model_card.json is missing\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive without plans",
        repacked(lambda files: files.pop(PLANS)),
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg lacks plans.pkl\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive without weights",
        repacked(lambda files: files.pop(WEIGHTS)),
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg holds no weights\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive whose files are not its manifest's",
        repacked(cut_weights, honest=False),
        message="{outer}/balls.zip: refused: 'results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt' has 5409 bytes, but manifest.json says 6009\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with weights cut short",
        repacked(cut_weights),
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them. Do not trust this file; get it again or train again.\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with plans that make a folder",
        hostile_plans,
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg/plans.pkl: refused: the pickle opcode STACK_GLOBAL at byte 27 could build or run something; plans hold plain values only. Do not trust this file.\nresults/2d/Task001_Balls/Trainer__autoseg/plans.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with weights that make a folder",
        hostile_weights,
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it holds more than tensors and plain values. Do not trust this file; get it again or train again.\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with an edited view of its plans",
        repacked(edited_view),
        message="{outer}/balls.zip: refused: results/2d/Task001_Balls/Trainer__autoseg/plans.json shows other plans than plans.pkl holds\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with a card of a newer format",
        card(lambda described: described.update(format=5)),
        message="{outer}/balls.zip: refused: model_card.json: a model card of format 5, but this autoseg reads format 1\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive with another model's card",
        card(lambda described: described.update(task="Task009_Other")),
        message="{outer}/balls.zip: refused: model_card.json describes results/2d/Task009_Other/Trainer__autoseg, but there are results/2d/Task001_Balls/Trainer__autoseg\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive of a newer format",
        newer,
        message="{outer}/balls.zip: refused: an archive of format 2 (autoseg 9.1.0), but this is autoseg 0.1.0, which reads format 1; install a matching version\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, from someone you trust.",
    ),
    installed(
        "an archive of a model that is there",
        lambda _: None,
        words="autoseg_install_model {outer}/balls.zip",
        message="{outer}/balls.zip: these are there already:\n  {home}/results/2d/Task001_Balls/Trainer__autoseg\nAdd --overwrite to replace them.",
    ),
    installed(
        "an address that is none",
        lambda _: None,
        words="autoseg_install_model ftp://example.org/balls.zip",
        message="'ftp://example.org/balls.zip': refused: not a web address; give one that starts with https:// or http://, or a file",
    ),
)
