from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.dataset.facts import NOTHING
from autoseg.errors import TrainingError
from autoseg.machine.resources import available_cores
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    build_augmentation,
    build_validation_augmentation,
)
from autoseg.training.sampling.batches import (
    Batch,
    Batches,
    BatchKey,
    Stream,
    Supply,
    choose_supply,
    iterate,
    remaining_keys,
    targets_of_levels,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def batches(store: PreparedCases, **changes: Any) -> Batches:
    cases = store.identifiers()
    augmentation = build_augmentation(
        AugmentationRecipe(), patch_size=(8, 12, 8), dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=[]
    )
    settings: dict[str, Any] = {
        "store": store,
        "streams": (
            Stream(cases=cases[:4], augmentation=augmentation),
            Stream(cases=cases[4:], augmentation=build_validation_augmentation()),
        ),
        "patch_size": (8, 12, 8),
        "batch_size": 3,
        "strides": ((1, 1, 1), (2, 2, 2), (1, 2, 2)),
        "foreground_fraction": 0.33,
        "seed": 11,
        **changes,
    }
    return Batches(**settings)


def keys(**changes: int) -> list[BatchKey]:
    return list(remaining_keys(**{"epochs": 2, "training": 3, "validation": 1, **changes}))


def equal(one: Batch, other: Batch) -> bool:
    pairs = zip((one.data, *one.targets), (other.data, *other.targets), strict=True)
    return (one.key, one.cases) == (other.key, other.cases) and all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(store: PreparedCases, workers: int) -> None:
    alone = list(iterate(batches(store), keys(), Supply(workers=0, ahead=4)))
    together = list(iterate(batches(store), keys(), Supply(workers=workers, ahead=4)))

    assert [batch.key for batch in together] == keys()
    assert all(map(equal, alone, together))


def test_a_training_goes_on_with_the_very_next_batch(store: PreparedCases) -> None:
    everything = list(iterate(batches(store), keys(), Supply(workers=0, ahead=4)))
    rest = list(iterate(batches(store), keys(epoch=1, iteration=2), Supply(workers=0, ahead=4)))

    assert all(map(equal, everything[6:], rest)) and len(rest) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_says_what_is_known_of_each_of_its_cases(store: PreparedCases, workers: int) -> None:
    known = {case: NOTHING.with_patient(f"of {case}") for case in store.identifiers()[1:]}
    informed = batches(replace(store, facts=known))

    made = list(iterate(informed, keys(epochs=1), Supply(workers=workers, ahead=4)))

    plain = list(iterate(batches(store), keys(epochs=1), Supply(workers=0, ahead=4)))
    assert [batch.facts for batch in made] == [
        tuple(known.get(case, NOTHING) for case in batch.cases) for batch in plain
    ]
    assert all(map(equal, made, plain))
    assert {fact for batch in plain for fact in batch.facts} == {NOTHING}


def test_each_epoch_has_its_training_batches_then_its_validation_batches() -> None:
    assert keys() == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0), (0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 1, 0)]
    assert keys(epoch=1, iteration=3) == [(1, 1, 0)]


def test_streams_take_their_own_cases_and_the_last_third_holds_foreground(store: PreparedCases) -> None:
    for batch in iterate(batches(store), keys(epochs=5), Supply(workers=0, ahead=4)):
        allowed = batches(store).streams[batch.key.stream].cases
        assert set(batch.cases) <= set(allowed)
        if batch.key.stream == 1:
            assert (batch.targets[0][2] > 0).any()
        assert batch.data.shape == (3, 1, 8, 12, 8) and batch.data.dtype == torch.float32
        assert all(target.min() >= 0 for target in batch.targets)


def test_epochs_and_batches_differ(store: PreparedCases) -> None:
    made = list(iterate(batches(store), keys(), Supply(workers=0, ahead=4)))

    assert len({batch.data.numpy().tobytes() for batch in made}) == len(made)


def test_targets_are_the_voxels_nearest_to_the_middle_of_each_block() -> None:
    labels = np.arange(48).reshape(1, 4, 12)
    finest, middle = targets_of_levels(labels, [(1, 1), (2, 3), (2, 2)])

    np.testing.assert_array_equal(finest, labels)
    np.testing.assert_array_equal(middle, labels[:, [1, 3]][:, :, [1, 4, 7, 10]])


def test_a_network_of_one_level_has_one_target() -> None:
    assert len(targets_of_levels(np.zeros((1, 4, 4)), [(1, 1)])) == 1


def test_batches_can_be_sent_to_another_process(store: PreparedCases) -> None:
    made = batches(store)
    copy = pickle.loads(pickle.dumps(made))

    first, second = made.make(BatchKey(0, 0, 0)), copy.make(BatchKey(0, 0, 0))
    assert isinstance(first, Batch) and isinstance(second, Batch) and equal(first, second)


def fail(**_: Any) -> dict[str, Any]:
    raise ZeroDivisionError("no such luck")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failing_sample_is_named_with_its_cause(store: PreparedCases, workers: int) -> None:
    streams = (Stream(cases=("ball_3",), augmentation=Augmentation(transforms=(fail,))),) * 2

    with pytest.raises(TrainingError, match=r"(?s)case ball_3: no patch can be made of it: .*no such luck"):
        list(iterate(batches(store, streams=streams), keys(), Supply(workers=workers, ahead=4)))


def test_a_missing_case_is_named(store: PreparedCases) -> None:
    streams = (Stream(cases=("ball_x",), augmentation=Augmentation()),) * 2

    with pytest.raises(TrainingError, match=r"case ball_x: no patch.*not prepared in"):
        list(iterate(batches(store, streams=streams), keys(), Supply(workers=0, ahead=4)))


@dataclass(frozen=True)
class Die:
    parent: int

    def __call__(self, **_: Any) -> dict[str, Any]:
        assert os.getpid() != self.parent
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_dead_worker_is_noticed_and_explained(store: PreparedCases) -> None:
    streams = (Stream(cases=("ball_0",), augmentation=Augmentation(transforms=(Die(os.getpid()),))),) * 2
    started = time.monotonic()

    with pytest.raises(TrainingError) as caught:
        list(iterate(batches(store, streams=streams), keys(), Supply(workers=2, ahead=4)))

    assert str(caught.value) == (
        "case ball_0: the worker at work on it was killed, most likely because memory ran out; "
        "continue with `resume=True` and fewer workers (`settings.workers`)"
    )
    assert time.monotonic() - started < 5
    assert not multiprocessing.active_children()


def test_stopping_early_ends_the_workers(store: PreparedCases) -> None:
    made = iterate(batches(store), keys(epochs=50), Supply(workers=2, ahead=4))
    next(made)
    assert len(multiprocessing.active_children()) == 2
    made.close()

    assert not multiprocessing.active_children()


def test_a_case_prepared_again_is_read_again(store: PreparedCases, tmp_path: Any) -> None:
    case = store.load("ball_0")
    copy = PreparedCases(tmp_path)
    copy.save(case, "one")
    settings = {"streams": (Stream(cases=("ball_0",), augmentation=Augmentation()),) * 2}
    before = next(iterate(batches(copy, **settings), keys(), Supply(workers=0, ahead=4)))
    copy.save(replace(case, data=-case.data), "two")
    after = next(iterate(batches(copy, **settings), keys(), Supply(workers=0, ahead=4)))

    torch.testing.assert_close(after.data, -before.data)


def root_with(folder: Path, *, memory: int, shared: Path) -> Path:
    """A root whose /proc and /dev show so much memory, in bytes, and this disk as shared memory."""
    (folder / "proc").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(f"MemAvailable: {memory // 1024} kB\n")
    (folder / "dev").mkdir()
    (folder / "dev/shm").symlink_to(shared)
    return folder


def test_the_users_number_of_workers_is_kept(
    tmp_path: Path, small_disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = root_with(tmp_path / "root", memory=10**12, shared=small_disk(64 * 2**20))

    assert [choose_supply(wanted, CUDA, 2**20, root=root).workers for wanted in (0, 3)] == [0, 3]
    assert caplog.messages == []
    assert choose_supply(3, CUDA, 20 * 2**20, root=root) == Supply(workers=3, ahead=3)
    assert caplog.messages == [
        "shared memory (/dev/shm) holds the batches of 1 worker, not of 3, which may be killed for it; "
        "more with docker run --shm-size 8g"
    ]


def test_workers_fit_the_device_the_memory_and_what_is_shared(
    tmp_path: Path, small_disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    shared = small_disk(64 * 2**20)
    roomy = root_with(tmp_path / "roomy", memory=10**12, shared=shared)
    tight = root_with(tmp_path / "tight", memory=600 * 2**20, shared=shared)
    cores = available_cores()
    caplog.set_level(logging.WARNING, "autoseg")

    assert choose_supply(None, CPU, 2**20, root=roomy).workers == max(1, cores // 8)
    assert choose_supply(None, CUDA, 2**20, root=roomy).workers == min(32, max(1, cores - 2))
    assert choose_supply(None, CUDA, 2**20, root=tight).workers == 1
    assert caplog.messages == []
    assert choose_supply(None, CPU, 40 * 2**20, root=roomy).workers == 0
    assert caplog.messages == [
        "shared memory (/dev/shm) holds the batches of 0 workers, not of 1; more with docker run --shm-size 8g"
    ]


@pytest.mark.parametrize(
    ("batch_mb", "memory_gb", "shared_mb", "ahead"),
    [
        (1, 1000, 64, 12),  # as many as pay
        (8, 1000, 64, 7),  # what is shared holds 8, of which one is with the network
        (20, 1000, 64, 3),  # no fewer than there are workers
        (100, 4, 10_000, 6),  # half of the memory, less what the workers take themselves, holds 7
    ],
)
def test_batches_are_made_as_far_ahead_as_memory_holds(
    tmp_path: Path, small_disk: Callable[[int], Path], batch_mb: int, memory_gb: int, shared_mb: int, ahead: int
) -> None:
    root = root_with(tmp_path / "root", memory=memory_gb * 10**9, shared=small_disk(shared_mb * 2**20))

    assert choose_supply(3, CUDA, batch_mb * 2**20, root=root) == Supply(workers=3, ahead=ahead)
