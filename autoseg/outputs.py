"""What may be written where: never over what is read, and over what is there only where autoseg made it.

A segmentation says in its header what it was made from; one that says nothing may be somebody's own, and is kept.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.errors import ModelError, WorkspaceError
from autoseg.files.layout import DATASET_FILE, FINGERPRINT_FILE, PLANS_FILE, REFERENCES_FOLDER
from autoseg.files.storage import content_hash, read_bytes, write_bytes
from autoseg.images import image_description, image_hash, split_ending
from autoseg.words import first_few

log = logging.getLogger(__name__)

ORIGIN = re.compile("autoseg ([0-9a-f]{32}) ([0-9a-f]{32})(?: ([a-z]{1,5}))?")
FILES_SHOWN = 5

KEPT_FOLDERS = {"imagestr": DATASET_FILE, "labelstr": DATASET_FILE, REFERENCES_FOLDER: FINGERPRINT_FILE}
"""Of a task: what is trained on and scored against, each with a file that lies beside it. In small letters, as disks differ."""

PROBABILITY_ARRAYS = {"format.npy", "classes.npy", "content.npy"}
"""Some of what every `<case>.npz` of ours holds, whatever its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """What makes segmentations, and what it says of those it finds in their place.

    Attributes:
        mark: Stands in the header of what it makes; with one, what it made from other inputs is made again unasked.
        others: Said of what is of another origin.
        replaces: What is done with `overwrite`.
    """

    mark: str
    others: str
    replaces: str


PREDICTION = Maker(
    mark="",
    others="predicted with other weights or settings; name another output, or predict all of them again with "
    "`overwrite`",
    replaces="predicts",
)
AVERAGING = Maker(
    mark="mean",
    others="not made by averaging; name another output, or replace them with `overwrite`",
    replaces="replaces",
)
POSTPROCESSING = Maker(
    mark="rules",
    others="not made by applying rules; name another output, or replace them with `overwrite`",
    replaces="replaces",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a segmentation was made from, as its file's header says.

    Attributes:
        model: Hash of the weights, the plan and all settings that decide the result.
        inputs: Hash of the files that were predicted.
        mark: Of the work that made it.
    """

    model: str
    inputs: str
    mark: str = ""

    def __str__(self) -> str:
        return f"autoseg {self.model} {self.inputs} {self.mark}".rstrip()


def read_origin(path: Path) -> Origin | None:
    """What a segmentation says it was made from; None where it is not there, or does not say so."""
    found = ORIGIN.fullmatch(image_description(path))
    return None if found is None else Origin(model=found[1], inputs=found[2], mark=found[3] or "")


def hash_files(*paths: Path) -> str:
    """Of the content of files.

    Raises:
        StorageError: One cannot be read.
    """
    return content_hash([image_hash(path) for path in paths])


def is_there(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    return path.is_file() and path.stat().st_size > 0


def require_apart(outputs: Iterable[Path], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Refuse to write where something is read, under whatever name: links, `..`, or the same folder in other letters.

    Args:
        outputs: Folders or files, which need not be there.
        inputs: Folders or files by what they are and what to do instead ("the folder of the images; name ...").

    Raises:
        WorkspaceError: Naming the output and what it is.
    """
    names = {name: what for what, paths in inputs.items() for path in paths for name in _identities(path)}
    for output in outputs:
        if found := [names[name] for name in _identities(output) if name in names]:
            raise WorkspaceError(f"{output}: is {found[0]}")
        _require_free_folder(output)


def require_known_origin(outputs: Mapping[Path, Sequence[Path]], model: str, maker: Maker = PREDICTION) -> list[Path]:
    """Of outputs those of whose files nothing is known, so that they may be the user's own; they are said to be kept.

    Args:
        outputs: Each with the files of its segmentation.

    Raises:
        ModelError: Some were made by another model, with other settings, or by other work; or there is a user's own
            archive where a segmentation's probabilities lie.
    """
    there = {path: read_origin(path) for files in outputs.values() for path in files if is_there(path)}
    others = [path for path, origin in there.items() if origin is not None and not _is_of(origin, model, maker)]
    if others:
        raise ModelError(f"{listed_files(others)}: {maker.others}")
    archives = [path for output in outputs if (path := probabilities_file(output)).is_file() and not _is_ours(path)]
    if archives:
        raise ModelError(
            f"{listed_files(archives)}: there already, and no probabilities that autoseg wrote, which would take this "
            "name; move it away, or replace it with `overwrite`"
        )
    unknown = others_files(there, lambda path: there[path] is not None, maker.replaces)
    return [output for output, files in outputs.items() if not set(unknown).isdisjoint(files)]


def require_own_file(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to replace a file that autoseg did not write.

    Raises:
        WorkspaceError: Naming it.
    """
    if path.is_file() and not is_ours(path):
        raise WorkspaceError(
            f"{path}: there already, and not written by autoseg, which would replace it; move it away, name another "
            "output, or replace it with `overwrite`"
        )


def others_files(paths: Iterable[Path], is_ours: Callable[[Path], bool], replaces: str = "replaces") -> list[Path]:
    """Of files those that are there and that autoseg did not write; they are said to be kept."""
    found = [path for path in paths if is_there(path) and not is_ours(path)]
    if found:
        log.warning(
            "%s: there already and kept, though nothing says what made it (`overwrite` %s it)",
            listed_files(found),
            replaces,
        )
    return found


def holds_segmentations(folder: Path, outputs: Iterable[Path]) -> bool:
    """Whether any of the outputs is there, or any other segmentation that autoseg made."""
    return any(map(is_there, outputs)) or any(_made_in(folder))


def require_one_origin(folder: Path, model: str, outputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to add to a folder what a model predicts, where another made what lies there beside the outputs.

    Args:
        overwrite: The outputs replace what is there; then it is said what of another model stays.

    Raises:
        ModelError: Naming the files.
    """
    own = set(outputs)
    others = [path for path, origin in _made_in(folder) if path not in own and origin.model != model]
    if others and not overwrite:
        raise ModelError(f"{listed_files(others)}: {PREDICTION.others}")
    if others:
        log.warning(
            "%s: predicted with other weights or settings, and not among the cases that are predicted now; they stay",
            listed_files(others),
        )


def probabilities_file(output: Path) -> Path:
    """Where the probabilities lie beside a segmentation file."""
    return output.with_name(split_ending(output.name)[0] + ".npz")


def dicom_seg_file(output: Path) -> Path:
    """Where the DICOM segmentation of a series lies beside its segmentation file."""
    return output.with_name(split_ending(output.name)[0] + ".dcm")


def label_files(output: Path, target: Target) -> tuple[Path, ...]:
    """The files of a case's segmentation, where the one file of a map would be `output`: one for each mask."""
    stem, ending = split_ending(output.name)
    return tuple(output.with_name(name + ending) for name in target.files_of(stem))


def require_room_for_copy(source: Path, folder: Path, maker: Maker) -> None:
    """Refuse to copy a file into the folder of what is made with it over anything but an earlier copy.

    Raises:
        WorkspaceError: Another file of that name is there, and nothing that this work made.
        StorageError: A file cannot be read.
    """
    target = folder / source.name
    if not target.exists() or target.samefile(source) or read_bytes(target) == read_bytes(source):
        return
    if not any(origin.mark == maker.mark for _, origin in _made_in(folder)):
        raise WorkspaceError(
            f"{target}: another file than {source}, a copy of which would take its place; name another output, or "
            "replace it with `overwrite`"
        )


def copy_beside(source: Path, folder: Path) -> None:
    """Copy a file into the folder of what was made with it, unless it lies there."""
    target = folder / source.name
    if not (target.exists() and target.samefile(source)):
        write_bytes(target, read_bytes(source))


def listed_files(paths: Sequence[Path]) -> str:
    """The first few files of one folder, and how many there are more."""
    return f"{paths[0].parent}: {first_few([path.name for path in paths], FILES_SHOWN, noun='file')}"


def _is_of(origin: Origin, model: str, maker: Maker) -> bool:
    return origin.model == model or bool(maker.mark and origin.mark == maker.mark)


def _is_ours(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as content:
            return set(content.namelist()) >= PROBABILITY_ARRAYS
    except (OSError, zipfile.BadZipFile):
        return False


def _made_in(folder: Path) -> Iterator[tuple[Path, Origin]]:
    """The segmentations of a folder that say what they were made from."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if split_ending(path.name)[1] and not path.name.startswith(".") and (origin := read_origin(path)) is not None:
            yield path, origin


def _identities(path: Path) -> list[object]:
    """What tells a path from another, however it is spelt: where it leads, and, where it is there, what it is."""
    resolved = path.resolve()
    try:
        status = resolved.stat()
    except OSError:
        return [resolved]
    return [resolved, (status.st_dev, status.st_ino)]


def _require_free_folder(output: Path) -> None:
    """Refuse to write into what a task is trained on and scored against, and into trained models."""
    resolved = output.resolve()
    for folder in (resolved, *resolved.parents):
        beside = KEPT_FOLDERS.get(folder.name.lower())
        if beside is not None and (folder.parent / beside).is_file():
            raise WorkspaceError(f"{output}: is in {folder}, which holds a task's own data; name another output")
        if (folder / PLANS_FILE).is_file():
            raise WorkspaceError(f"{output}: is in {folder}, the folder of a trained model; name another output")
