"""Small tiles on a CPU, computed side by side with a share of the threads each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product

import torch

from autoseg.inference.members import Answer, Forward
from autoseg.networks.fitting import held_by_caches, parts

SMALL_TILE = 2**18
"""Voxels up to which several threads lose time by sharing the work of one tile: with two, tiles of 40x56x40 took 0.85 of
the time side by side, tiles of 96x96x96 1.1 times as long (U-Net of 32 to 256 features, bf16)."""


def side_by_side(
    forwards: Sequence[Forward], tiles: torch.Tensor, *, one_call_at_a_time: bool = False
) -> Iterator[Answer]:
    """What each fold makes of tiles `(B, C, *patch)`, part by part, in the order of folds and tiles.

    There are enough parts to keep every thread busy, and each thread takes the next, of whichever fold, when it is done
    with one. Of large tiles, all threads take one after the other.

    Args:
        one_call_at_a_time: Of functions that may not be safe to call from several threads.
    """
    threads, voxels = torch.get_num_threads(), tiles[0, 0].numel()
    together = min(held_by_caches(voxels), math.ceil(len(tiles) / threads))
    jobs = list(product(forwards, parts(len(tiles), together)))
    if threads == 1 or len(jobs) == 1 or voxels > SMALL_TILE or one_call_at_a_time:
        yield from ((part, forward(tiles[part])) for forward, part in jobs)
        return

    @torch.inference_mode()
    def compute(job: tuple[Forward, slice]) -> Answer:
        torch.set_num_threads(max(1, threads // len(jobs)))
        forward, part = job
        return part, forward(tiles[part])

    torch.set_num_threads(1)  # of who takes the answers, so that it waits for none of those who compute
    try:
        yield from _pool(threads).map(compute, jobs)
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="tiles")
