"""Prepared cases on disk, in a form that opens without being read.

Each case is a few .npy files and a JSON file, written last, that says the others are whole: a case that was only
half written is simply not there. Arrays come back as read-only memory maps, so a patch costs what it holds.

Where two configurations make the same arrays of a case, one folder has them, and the other a small file that names it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array, LabelArray, Locations
from autoseg.dataset.coding import is_planes
from autoseg.dataset.facts import NOTHING, Facts
from autoseg.errors import StorageError
from autoseg.files.npy import open_array, write_array
from autoseg.files.records import RecordFormat, decode_record, write_record
from autoseg.files.storage import atomic_path, content_hash, encode, read_json, remove_file
from autoseg.preprocessing.precision import kept_precision
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase
from autoseg.remedies import pass_on_limit

DATA, SEGMENTATION, FOREGROUND, SHARED, MARKER = ".npy", "_seg.npy", "_foreground.npy", ".shared", ".json"
ARRAYS = (DATA, SEGMENTATION, FOREGROUND)
OF_FILES = ("planes", "annotated")
"""What a marker says only of cases with several label files, or in which not all was drawn."""

ENDINGS = (*ARRAYS, SHARED, MARKER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What the JSON file of a prepared case holds.

    Attributes:
        signature: Hash of all that the case was made from.
        segmentation: Whether the case has labels.
        foreground: How many locations of each label the foreground file holds, labels ascending.
        half: Whether the intensities are kept in half precision.
        planes, annotated: As in `PreparedCase`; written only where they say something.
    """

    signature: str
    segmentation: bool
    foreground: Mapping[str, int]
    half: bool
    properties: CaseProperties
    planes: tuple[tuple[int, ...], ...] = ()
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCase:
    """What the file holds that stands for the arrays of a case, where another folder has them.

    Attributes:
        signature: As in the marker beside it; if not, the file is of another time.
        folder: Name of the folder with the arrays, beside this one.
        arrays: Signature in the marker there.
    """

    signature: str
    folder: str
    arrays: str


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """With what earlier versions did not write: the precision, and the forms of the image's header."""
    content = {
        **dict.fromkeys(OF_FILES),
        "planes": [],
        **content,
        **({"half": False} if content["format"] == 1 else {}),
    }
    properties = content.get("properties")
    geometry = properties.get("geometry") if isinstance(properties, dict) else None
    if isinstance(geometry, dict):
        geometry.setdefault("forms", None)
        geometry.setdefault("in_pixels", False)
    return content


FORMAT = RecordFormat(number=2, older=(1,), completed=_completed)
"""Format 1 knew single precision only."""

SHARED_FORMAT = RecordFormat(number=1)


@dataclass(frozen=True, slots=True)
class PreparedCases:
    """The prepared cases of one configuration, in one folder.

    `<case>.npy` is `(C, Z, Y, X)` float16 or float32, `<case>_seg.npy` `(Z, Y, X)` int8 or int16 (or several,
    or planes of bytes, `(P, Z, Y, X)`), `<case>_foreground.npy`
    `(n, 4)` int32 of label, z, y, x sorted by label, `<case>.json` the marker. In place of the arrays there may be
    `<case>.shared`, which names the folder beside this one that has them.

    Attributes:
        facts: What is known of cases beside their images. It is read anew each time, and not kept in the folder.
    """

    folder: Path
    facts: Mapping[str, Facts] = field(default_factory=dict, compare=False)

    def identifiers(self) -> tuple[str, ...]:
        """Cases that are wholly there, sorted. Take a dataset's or split's own list: others may have been left behind."""
        markers = (path.name for path in self.folder.glob(f"*{MARKER}") if not path.name.startswith("."))
        return tuple(sorted(name.removesuffix(MARKER) for name in markers))

    def __contains__(self, identifier: str) -> bool:
        return self._path(identifier, MARKER).is_file()

    def save(self, prepared: PreparedCase, signature: str) -> None:
        """Write a case, its marker last; a case of that name is replaced.

        Args:
            signature: Hash of all that the case was made from, asked for again by `is_current`.

        Raises:
            StorageError: A file cannot be written.
        """
        identifier = prepared.properties.identifier
        self.withdraw(identifier)
        precision = kept_precision(prepared.data)
        write_array(self._path(identifier, DATA), prepared.data, precision)
        if prepared.segmentation is None:
            remove_file(self._path(identifier, SEGMENTATION))
        else:
            write_array(self._path(identifier, SEGMENTATION), _smallest(prepared.segmentation))
        write_array(self._path(identifier, FOREGROUND), _table(prepared.foreground))
        remove_file(self._path(identifier, SHARED))
        marker = Marker(
            signature=signature,
            segmentation=prepared.segmentation is not None,
            foreground={str(label): len(prepared.foreground[label]) for label in sorted(prepared.foreground)},
            half=precision is np.float16,
            properties=prepared.properties,
            planes=prepared.planes,
            annotated=prepared.annotated,
        )
        self._write_marker(identifier, marker)

    def share(self, other: PreparedCases, properties: CaseProperties, signature: str) -> bool:
        """Take a case whose arrays another configuration has: they stay there, and are those of both.

        Args:
            other: Has the case, with the very arrays that `save` would write here.
            properties: Those of the case in this configuration.
            signature: As in `save`.

        Returns:
            False where they cannot be shared: the folders do not lie beside each other, or the case is being written.
        """
        identifier = properties.identifier
        if other.folder.absolute().parent != self.folder.absolute().parent:
            return False
        try:
            owner = other._owner(identifier, other._marker(identifier))
            marker = owner._marker(identifier)
        except StorageError:
            return False
        self.withdraw(identifier)
        for ending in ARRAYS:
            remove_file(self._path(identifier, ending))
        shared = SharedCase(signature=signature, folder=owner.folder.name, arrays=marker.signature)
        write_record(self._path(identifier, SHARED), shared, SHARED_FORMAT)
        self._write_marker(identifier, replace(marker, signature=signature, properties=properties))
        return True

    def let_go(self, other: PreparedCases, identifier: str) -> None:
        """Give up the arrays of a case where they are a second copy of what another configuration has.

        The case can be read at every moment: what names the other folder is there before the arrays go.

        Raises:
            StorageError: The case is not there or damaged, or a file cannot be written or removed.
        """
        own, theirs = self._marker(identifier), other._marker(identifier)
        copies = [path for path in (self._path(identifier, ending) for ending in ARRAYS) if path.is_file()]
        if not copies or other._owner(identifier, theirs) != other:
            return
        if other.folder.absolute().parent != self.folder.absolute().parent:
            return
        if own != replace(theirs, signature=own.signature, properties=own.properties):
            return
        shared = SharedCase(signature=own.signature, folder=other.folder.name, arrays=theirs.signature)
        write_record(self._path(identifier, SHARED), shared, SHARED_FORMAT)
        for path in copies:
            remove_file(path)

    def withdraw(self, identifier: str) -> None:
        """Say that a case is to be made anew; who shares its arrays is given a copy of them before.

        Raises:
            StorageError: A file cannot be written or removed.
        """
        for folder in sorted(self.folder.parent.iterdir()) if identifier in self else ():
            PreparedCases(folder)._part_from(self.folder.name, identifier)
        remove_file(self._path(identifier, MARKER))

    def load(self, identifier: str) -> PreparedCase:
        """Open a case; its arrays, the foreground's too, are read-only memory maps.

        Each map holds an open file until it is let go, so do not keep the cases of a whole dataset open.

        Raises:
            StorageError: The case is not there or damaged.
        """
        marker = self._marker(identifier)
        shape, owner = marker.properties.prepared_shape, self._owner(identifier, marker)
        data = owner._open(identifier, DATA)
        segmentation = owner._open(identifier, SEGMENTATION) if marker.segmentation else None
        table = owner._open(identifier, FOREGROUND)
        locations = sum(marker.foreground.values())
        fits = (
            data.dtype == (np.float16 if marker.half else np.float32)
            and data.shape[1:] == shape
            and table.shape == (locations, 4)
        )
        if not fits or (segmentation is not None and segmentation.shape[-len(shape) :] != shape):
            raise self._damaged(identifier, "its files do not fit each other")
        return PreparedCase(
            data=data,
            segmentation=segmentation,
            foreground=_by_label(table, marker.foreground),
            properties=marker.properties,
            facts=self.facts_of(identifier),
            planes=marker.planes,
            annotated=marker.annotated,
        )

    def facts_of(self, identifier: str) -> Facts:
        """What is known of a case beside its images; the case need not be there."""
        return self.facts.get(identifier, NOTHING)

    def labels_of(self, identifier: str) -> tuple[int, ...]:
        """The labels above background that a case holds, without opening an array.

        Raises:
            StorageError: The case is not there or its marker is damaged.
        """
        counts = self._marker(identifier).foreground
        return tuple(sorted(int(label) for label, count in counts.items() if int(label) > 0 and count))

    def properties(self, identifier: str) -> CaseProperties:
        """What undoing the preparation needs, without opening an array.

        Raises:
            StorageError: The case is not there or its marker is damaged.
        """
        return self._marker(identifier).properties

    def signature(self, identifier: str) -> str:
        """The hash of all that the case was made from, and of the precision that it is kept in.

        Raises:
            StorageError: The case is not there or its marker is damaged.
        """
        marker = self._marker(identifier)
        return content_hash(marker.signature, "half") if marker.half else marker.signature

    def is_current(self, identifier: str, signature: str) -> bool:
        """Whether the case is there, opens, and was made from what `signature` stands for."""
        try:
            if self._marker(identifier).signature != signature:
                return False
            self.load(identifier)
        except StorageError:
            return False
        return True

    def known(self) -> tuple[str, ...]:
        """Cases whose marker is one of ours, sorted; their arrays may be damaged."""
        return tuple(identifier for identifier in self.identifiers() if self._is_ours(identifier))

    def remove(self, identifier: str, *, kept: Collection[str]) -> None:
        """Remove a case, its marker last, so that it is found again where the removal is stopped.

        Args:
            kept: Cases that stay; a file that is theirs by its name is left alone (`a_seg.npy` of a case "a_seg").

        Raises:
            StorageError: A file cannot be removed.
        """
        theirs = {f"{case}{ending}" for case in kept for ending in ENDINGS}
        for ending in ENDINGS:
            if f"{identifier}{ending}" not in theirs:
                remove_file(self._path(identifier, ending))

    def _owner(self, identifier: str, marker: Marker) -> PreparedCases:
        """The folder that has the arrays of a case; mostly this one."""
        shared = self._shared(identifier)
        if shared is None:
            return self
        owner = PreparedCases(self.folder.parent / shared.folder)
        if shared.signature != marker.signature:
            raise self._damaged(identifier, f"{identifier}{SHARED} was not written with {identifier}{MARKER}")
        if identifier not in owner or owner._marker(identifier).signature != shared.arrays:
            raise self._damaged(
                identifier, f"{owner.folder}, which has its arrays, no longer holds that case as it was"
            )
        return owner

    def _shared(self, identifier: str) -> SharedCase | None:
        path = self._path(identifier, SHARED)
        if not path.is_file():
            return None
        try:
            shared = decode_record(read_json(path), SharedCase, SHARED_FORMAT, path, where=path.name)
        except StorageError as error:
            raise self._damaged(identifier, str(error)) from error
        if shared.folder != Path(shared.folder).name:
            raise self._damaged(identifier, f"{path.name}: expected the name of a folder, found {shared.folder}")
        return shared

    def _part_from(self, owner: str, identifier: str) -> None:
        """Copy the arrays of a case here, where they lie in the folder `owner`; they count once all are there."""
        if not self._is_ours(identifier):
            return
        try:
            shared = self._shared(identifier)
        except StorageError:
            return
        if shared is None or shared.folder != owner:
            return
        for ending in ARRAYS:
            source = self.folder.parent / owner / f"{identifier}{ending}"
            if source.is_file():
                with atomic_path(self._path(identifier, ending)) as temporary:
                    shutil.copyfile(source, temporary)
        remove_file(self._path(identifier, SHARED))

    def _is_ours(self, identifier: str) -> bool:
        try:
            self._marker(identifier)
        except StorageError:
            return False
        return True

    def _path(self, identifier: str, ending: str) -> Path:
        return self.folder / f"{identifier}{ending}"

    def _marker(self, identifier: str) -> Marker:
        path = self._path(identifier, MARKER)
        if identifier not in self:
            raise StorageError(
                f"case {identifier}: not prepared in {self.folder}; run autoseg_plan_and_preprocess (again)"
            )
        try:
            return decode_record(read_json(path), Marker, FORMAT, path, where=path.name)
        except StorageError as error:
            raise self._damaged(identifier, str(error)) from error

    def _write_marker(self, identifier: str, marker: Marker) -> None:
        content = {key: value for key, value in encode(marker).items() if key not in OF_FILES or value}
        write_record(self._path(identifier, MARKER), content, FORMAT)

    def _open(self, identifier: str, ending: str) -> Array:
        path = self._path(identifier, ending)
        try:
            return open_array(path)
        except (OSError, ValueError, EOFError, OverflowError) as error:
            pass_on_limit(error, path)
            raise self._damaged(identifier, f"{path.name}: {error}") from error

    def _damaged(self, identifier: str, cause: str) -> StorageError:
        return StorageError(
            f"case {identifier}: damaged in {self.folder}: {cause}; "
            f"delete {identifier}{MARKER} there and run autoseg_plan_and_preprocess again"
        )


def _smallest(segmentation: LabelArray) -> LabelArray:
    """Maps as int8 where the labels fit, which halves what every patch reads; planes are bytes already."""
    if is_planes(segmentation):
        return segmentation
    limits = np.iinfo(np.int8)
    fits = limits.min <= int(segmentation.min()) and int(segmentation.max()) <= limits.max
    return segmentation.astype(np.int8 if fits else np.int16)


def _table(foreground: Mapping[int, Locations]) -> Locations:
    """All locations below each other, each with its label in front."""
    rows = [np.insert(foreground[label], 0, label, axis=1) for label in sorted(foreground)]
    return np.concatenate([np.empty((0, 4), dtype=np.int32), *rows]).astype(np.int32)


def _by_label(table: Locations, counts: Mapping[str, int]) -> Mapping[int, Locations]:
    ends = accumulate(counts.values())
    return {int(label): table[end - counts[label] : end, 1:] for label, end in zip(counts, ends, strict=True)}
