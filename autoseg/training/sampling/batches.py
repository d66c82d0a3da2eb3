"""Batches, made by worker processes that serve all epochs and can start at any batch of any epoch."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from autoseg.dataset.facts import Facts
from autoseg.dataset.target import Target
from autoseg.errors import AutosegError, LimitError, TrainingError
from autoseg.geometry import Shape
from autoseg.machine.pool import fitting_workers
from autoseg.machine.resources import ROOT, available_cores, available_memory, free_shared_memory
from autoseg.plans import Views
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.previous import PreviousMaps, open_case
from autoseg.preprocessing.store import PreparedCases
from autoseg.remedies import describe_os_error, open_files, shortage
from autoseg.training.augmentation.default import Augmentation
from autoseg.training.augmentation.on_device import vary_all
from autoseg.training.augmentation.variations import Values
from autoseg.training.sampling.ahead import Note, ignore, make_ahead
from autoseg.training.sampling.packing import Packed, pack
from autoseg.training.sampling.regions import Patches, PatchRule, Slot
from autoseg.training.sampling.samples import TRAINING, VALIDATION, Sample, draw_sample, make_sample, sample_generator
from autoseg.training.sampling.slices import SliceChoice
from autoseg.training.sampling.views import TRIES, Cuts
from autoseg.words import counted, without_case

log = logging.getLogger(__name__)

Made = TypeVar("Made")
Key = TypeVar("Key")
AnyKey = TypeVar("AnyKey", contravariant=True)

OPEN_CASES = 64
"""Cases that a worker keeps open; each holds three or four files, and a process may hold about a thousand."""

BATCHES_AHEAD = 4
"""Batches that are ready or under way for each worker, where memory holds them. Their times differ by ten, as some patches
are rotated and most are not; with so many, no worker is seen waiting (simulated with measured times)."""

MOST_WORKERS = 32
SPARED_CORES = 2
"""Beside a GPU, for the process that launches its work and for the system."""

CORES_PER_WORKER = 8
"""Where the network itself runs on the cores."""

SHARE_OF_MEMORY = 0.5
"""Of what is free, that batches ahead of the training may take together with the workers."""

FILES_PER_WORKER, FILES_BESIDE = 24, 48
"""A worker's pipe and end, and for each of its batches one file a tensor; and what the process has open without them."""

WORKER_BYTES = 400 * 2**20
"""Estimated memory of a worker beyond its batches: what the interpreter and its libraries take."""


WINDOW_GROWTH = 2
"""Voxels that are read for a patch which the device turns and scales, in patches: 1.6 on average (drawn for a cube, with a
standard deviation of 1.2), somewhat more for a few together."""


class BatchKey(NamedTuple):
    """Which batch: of the training or validation stream, of which epoch, and its number in that stream."""

    stream: int
    epoch: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the network sees at once.

    Attributes:
        data: `(B, C, *patch)` float32; for a cascade with the previous stage's labels as last channel.
        targets: Labels `(B, *shape)`, or planes `(B, P, *shape)`, for each level of the decoder, finest first.
        drawn: `(B, outputs)`, which outputs were drawn in a map of the case at all; None where all were.
        cases: Identifiers, one for each sample.
        facts: What is known of these cases beside their images.
    """

    key: BatchKey
    cases: tuple[str, ...]
    facts: tuple[Facts, ...]
    data: Tensor
    targets: tuple[Tensor, ...]
    drawn: Tensor | None = None

    def pin_memory(self) -> Batch:
        """A copy in memory from which a GPU fetches by itself."""
        return Batch(
            key=self.key,
            cases=self.cases,
            facts=self.facts,
            data=self.data.pin_memory(),
            targets=tuple(target.pin_memory() for target in self.targets),
            drawn=None if self.drawn is None else self.drawn.pin_memory(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBatch:
    """What the device makes a batch of.

    Attributes:
        strides: Of the levels of the network, finest first.
    """

    key: BatchKey
    cases: tuple[str, ...]
    facts: tuple[Facts, ...]
    samples: Packed
    strides: tuple[tuple[int, ...], ...]
    drawn: Tensor | None = None

    def pin_memory(self) -> DrawnBatch:
        """A copy in memory from which a GPU fetches by itself."""
        drawn = None if self.drawn is None else self.drawn.pin_memory()
        return replace(self, samples=self.samples.pin_memory(), drawn=drawn)

    def varied(self, device: torch.device) -> Batch:
        """The batch, made and left on the device."""
        data, labels = vary_all(self.samples, device)
        targets = targets_of_levels(labels, self.strides)
        return Batch(key=self.key, cases=self.cases, facts=self.facts, data=data, targets=targets, drawn=self.drawn)


AnyBatch: TypeAlias = Batch | DrawnBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The cases of one stream and what is done to their patches.

    Attributes:
        on_device: Its samples are only read and drawn, and varied by the device that trains.
        weights: How often each case is drawn, relative to the others; empty where all are drawn alike.
    """

    cases: tuple[str, ...]
    augmentation: Augmentation
    on_device: bool = False
    weights: tuple[float, ...] = ()

    def draw(self, generator: np.random.Generator) -> str:
        """One of the cases."""
        if not self.weights:
            return self.cases[generator.integers(len(self.cases))]
        ends = np.cumsum(self.weights)
        place = int(np.searchsorted(ends, generator.random() * ends[-1], side="right"))
        return self.cases[min(place, len(self.cases) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Sent by a worker in place of a batch."""

    case: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """Every batch of a training, by its key; picklable.

    Attributes:
        previous: For a cascade, what the previous stage predicted for every case.
        streams: Training and validation.
        strides: Of the levels of the network, finest first.
        target: What is learned, where something of it may be unknown.
        foreground_fraction: Of each batch must hold foreground.
        views: How patches lie in the scanner; None: as the grid does.
        slices: Which slices patches of two sides are drawn from; None: from all.
    """

    store: PreparedCases
    streams: tuple[Stream, Stream]
    patch_size: Shape
    batch_size: int
    strides: tuple[tuple[int, ...], ...]
    foreground_fraction: float
    seed: int
    previous: PreviousMaps | None = None
    target: Target | None = None
    views: Views | None = None
    slices: SliceChoice | None = None

    def bytes_of_one(self, channels: int) -> int:
        """Memory of one batch: fp32 data, and labels at all resolutions at most as much as two more bytes a voxel."""
        growth = max(WINDOW_GROWTH if stream.on_device else 1 for stream in self.streams)
        return growth * self.batch_size * math.prod(self.patch_size) * (4 * channels + 4)

    def make(self, key: BatchKey, note: Note = ignore) -> AnyBatch | Failure:
        """One batch; `note` is told each case before it is opened."""
        stream = self.streams[key.stream]
        cases: list[str] = []
        if stream.on_device:
            drawn_samples = self._sampled(draw_sample, key, cases, note)
            if isinstance(drawn_samples, Failure):
                return drawn_samples
            return DrawnBatch(
                key=key,
                cases=tuple(cases),
                facts=tuple(map(self.store.facts_of, cases)),
                samples=pack(drawn_samples),
                strides=self.strides,
                drawn=self._drawn(cases),
            )
        samples = self._sampled(make_sample, key, cases, note)
        if isinstance(samples, Failure):
            return samples
        batch = _collate(key, tuple(cases), tuple(map(self.store.facts_of, cases)), samples, self.strides)
        outputs = self._drawn(cases)
        return batch if outputs is None else replace(batch, drawn=outputs)

    def _drawn(self, cases: Sequence[str]) -> Tensor | None:
        """Which outputs were drawn in each case at all, where labels are a map that cannot say it."""
        if self.target is None or self.target.drawn_apart:
            return None
        annotated = [_opened(self.store, self.previous, case).annotated for case in cases]
        if all(names is None for names in annotated):
            return None
        return torch.tensor([self.target.drawn_outputs(names) for names in annotated])

    def _sampled(
        self, sample: Callable[..., Made], key: BatchKey, cases: list[str], note: Note
    ) -> list[Made] | Failure:
        """The samples of a batch; `cases` gets theirs."""
        stream, regions, samples = self.streams[key.stream], self.regions, []
        for number in range(self.batch_size):
            generator = sample_generator(self.seed, key.stream, key.epoch, key.number * self.batch_size + number)
            slot = Slot(number=number, batch_size=self.batch_size, foreground=self.foreground_fraction)
            case = ""
            try:
                for _ in range(TRIES):
                    case = stream.draw(generator)
                    note(case)
                    opened = _opened(self.store, self.previous, case)
                    if regions.suits(opened, slot):
                        break
                region = regions.draw(opened, slot, generator)
                samples.append(sample(region, augmentation=stream.augmentation, generator=generator))
            except AutosegError as error:
                return Failure(case=case, reason=str(error))
            except OSError as error:
                return Failure(case=case, reason=describe_os_error(error))
            except Exception as error:
                what = shortage(error, "use fewer workers (`settings.workers`)")
                return Failure(case=case, reason=what or traceback.format_exc())
            cases.append(case)
        return samples

    @property
    def regions(self) -> PatchRule:
        """How patches are drawn from cases."""
        if self.views is not None:
            return Cuts(self.patch_size, self.views, self.target)
        by_slice = len(self.patch_size) == 2
        return Patches(
            self.patch_size,
            ignores=self.target is not None and self.target.ignore is not None,
            slices=self.slices if by_slice else None,
        )


def remaining_keys(
    *, epochs: int, training: int, validation: int, epoch: int = 0, iteration: int = 0
) -> Iterator[BatchKey]:
    """Every batch still to come: in each epoch those of training, then those of validation.

    Args:
        training: Training batches of an epoch; `validation` likewise.
        epoch: The one under way.
        iteration: How many of its batches are done, of both streams together.
    """
    for number in range(epoch, epochs):
        keys = [BatchKey(TRAINING, number, batch) for batch in range(training)]
        keys += [BatchKey(VALIDATION, number, batch) for batch in range(validation)]
        yield from keys[iteration if number == epoch else 0 :]


class BatchMaker(Protocol[AnyKey]):
    """What makes every batch of a training, by its key, and perhaps more that is said of it; picklable."""

    def make(self, key: AnyKey, note: Note = ignore, /) -> AnyBatch | Failure:
        """One batch; `note` is told each case before it is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """How batches are made: by how many processes, 0 when each is asked for, and how many ahead in all."""

    workers: int
    ahead: int = 1


def iterate(
    batches: BatchMaker[Key], keys: Iterable[Key], supply: Supply, *, pin_memory: bool = False
) -> Generator[AnyBatch, None, None]:
    """The batches of `keys`, in their order.

    Raises:
        TrainingError: A sample cannot be made, or a worker died; the case is named.
    """
    _open_case.cache_clear()
    receive = _pinned if pin_memory else None
    made = make_ahead(batches.make, keys, workers=supply.workers, ahead=supply.ahead, receive=receive)
    with closing(made):
        for batch in made:
            if isinstance(batch, Failure):
                reason = without_case(batch.reason, batch.case)
                raise TrainingError(f"case {batch.case}: no patch can be made of it: {reason}")
            yield batch


def _pinned(made: AnyBatch | Failure) -> AnyBatch | Failure:
    return made if isinstance(made, Failure) else made.pin_memory()


def choose_supply(wanted: int | None, device: torch.device, batch_bytes: int, *, root: Path = ROOT) -> Supply:
    """How many workers to start: what the user wants, else what keeps the device busy and fits into memory.

    Beside a network on a CPU few are enough: one makes batches 25 times faster than two cores use them up (measured
    with 7 patches of 40x56x40), and it takes time from them.

    Args:
        root: Where `proc`, `sys` and `dev` lie.
    """
    least = 2 * batch_bytes  # one that is made, one that is ready
    workers = (
        wanted if wanted == 0 else fitting_workers(wanted, WORKER_BYTES + least, most=_most(device, root), root=root)
    )
    shared = free_shared_memory(root)
    by_shared_memory = workers if shared is None else shared // max(1, least)
    if by_shared_memory < workers:
        log.warning(
            "shared memory (/dev/shm) holds the batches of %s, not of %d%s; more with docker run --shm-size 8g",
            *(counted(by_shared_memory, "worker"), workers),
            "" if wanted is None else ", which may be killed for it",
        )
    workers = workers if wanted is not None else min(workers, by_shared_memory)
    workers = min(workers, _held_by_open_files(workers))
    room = int(SHARE_OF_MEMORY * available_memory(root)) - workers * WORKER_BYTES
    fitting = min(room, room if shared is None else shared) // max(1, batch_bytes) - 1  # one is with the network
    return Supply(workers=workers, ahead=max(workers, min(BATCHES_AHEAD * workers, fitting)))


def _held_by_open_files(workers: int) -> int:
    """How many workers the limit of open files holds; beyond it one may wait for ever for what cannot be handed over."""
    limit = open_files()
    held = workers if limit is None else max(0, (limit - FILES_BESIDE) // FILES_PER_WORKER)
    if held < workers:
        log.warning(
            "this process may have %s open (ulimit -n), which holds %s, not %d; more with "
            "ulimit -n 4096 where you start it",
            *(
                counted(limit or 0, "file"),
                counted(held, "worker that prepares batches", "workers that prepare batches"),
                workers,
            ),
        )
    return held


def _most(device: torch.device, root: Path) -> int:
    cores = available_cores(root)
    if device.type == "cpu":
        return max(1, cores // CORES_PER_WORKER)
    return min(MOST_WORKERS, max(1, cores - SPARED_CORES))


def targets_of_levels(labels: Values, strides: Sequence[Sequence[int]]) -> tuple[Values, ...]:
    """Labels at the resolution of each decoder level, finest first: of each block the voxel nearest to its middle.

    Args:
        labels: `(B, *patch)` or `(B, P, *patch)`, an array or a tensor.
        strides: Of the levels of the network; the deepest has no output.
    """
    factors = np.cumprod(np.array(strides), axis=0)[: max(1, len(strides) - 1)].tolist()
    indices = [(..., *(slice(factor // 2, None, factor) for factor in level)) for level in factors]
    return tuple(labels[index] for index in indices)


def _collate(
    key: BatchKey,
    cases: tuple[str, ...],
    facts: tuple[Facts, ...],
    samples: Sequence[Sample],
    strides: Sequence[Sequence[int]],
) -> Batch:
    labels = np.stack([sample.labels for sample in samples])
    return Batch(
        key=key,
        cases=cases,
        facts=facts,
        data=torch.from_numpy(np.stack([sample.data for sample in samples])),
        targets=tuple(torch.from_numpy(np.ascontiguousarray(level)) for level in targets_of_levels(labels, strides)),
    )


_open_case = lru_cache(maxsize=OPEN_CASES)(open_case)


def _opened(store: PreparedCases, previous: PreviousMaps | None, case: str) -> PreparedCase:
    """A case, kept open as long as the process may have so many files open."""
    try:
        return _open_case(store, previous, case)
    except LimitError:
        _open_case.cache_clear()
        return _open_case(store, previous, case)
