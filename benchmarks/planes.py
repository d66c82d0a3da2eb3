"""How long a batch of 16 planes takes to cut, on one core: of a case like Task04's, and of a large CT.

python benchmarks/planes.py
"""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from autoseg.views.cutting import cut_linear, cut_nearest
from autoseg.views.frame import Pixels, grid_to_space, upward

BATCH, ROUNDS = 16, 5
LIMITS = {
    "35x50x36 voxels, planes of 128x128": ((35, 50, 36), 128, 0.040),
    "200x512x512, of 256x256": ((200, 512, 512), 256, 0.150),
}
"""Shape, side, and the seconds that are allowed."""


def seconds_of(shape: tuple[int, int, int], side: int) -> float:
    """Of the processor, in the best of some rounds, image and labels together."""
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.standard_normal((1, *shape)).astype(np.float16))
    labels = torch.from_numpy(random.integers(0, 3, (1, *shape)).astype(np.int8))
    space = grid_to_space(Rotation.random(random_state=0).as_matrix(), (1.0, 1.0, 1.0), shape).inverse
    span = float(np.percentile(shape, 75))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(BATCH):
            offset = float(random.uniform(-span / 2, span / 2))
            box = Pixels(
                direction=upward(random.standard_normal(3)),
                centre=(offset, 0.0, 0.0),
                spacing=(span / (side - 1),) * 3,
                shape=(1, side, side),
            )
            placement = space.after(box.to_space)
            cut_linear(image, placement, box.shape, outside=torch.zeros(1))
            cut_nearest(labels, placement, box.shape, outside=torch.tensor([-1]))
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    """Print each time beside its limit."""
    torch.set_num_threads(1)
    for name, (shape, side, limit) in LIMITS.items():
        print(f"{BATCH} planes of {name}: {1000 * seconds_of(shape, side):.0f} ms (at most {1000 * limit:.0f})")


if __name__ == "__main__":
    main()
