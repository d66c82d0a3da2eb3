"""Small tiles on a CPU, computed side by side with a share of the threads each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

SMALL_TILE = 2**18
"""Voxels up to which several threads lose time by sharing the work of one tile: with two, tiles of 40x56x40 took 0.85 of
the time side by side, tiles of 96x96x96 1.1 times as long (U-Net of 32 to 256 features, bf16)."""


def side_by_side(forward: Callable[[torch.Tensor], torch.Tensor], tiles: torch.Tensor) -> torch.Tensor:
    """What `forward` makes of tiles `(B, C, *patch)`; it must be safe to call from several threads."""
    threads = torch.get_num_threads()
    parts = tiles.chunk(threads) if tiles[0, 0].numel() <= SMALL_TILE else (tiles,)
    if len(parts) == 1:
        return forward(tiles)

    @torch.inference_mode()
    def compute(part: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(max(1, threads // len(parts)))
        return forward(part)

    try:
        return torch.cat(list(_pool(threads).map(compute, parts)))
    finally:
        torch.set_num_threads(threads)  # of threads that begin from now on


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="tiles")
