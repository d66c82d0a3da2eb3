"""Forms in which prepared intensities can be kept on disk: their bytes, and how long a patch is read from the system's memory.

blosc2 as nnU-Net v2 uses it (zstd), and with lz4, is measured where it is installed; the forms take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tables import PAGE, as_table, fill

SYNTHETIC = (300, 256, 256)
PATCH, PLANE = (128, 128, 128), (256, 256)
BLOCK = 64
"""Voxels of a block of blosc2 across, each eight slices high, which suits 3D patches and planes alike."""

BLOCK_SLICES = 8
WINDOW = (-160.0, 240.0)
"""Hounsfield units of an abdominal CT that are kept; below and above, images are constant."""

Read = Callable[[Sequence[int], Sequence[int]], Any]


def synthetic_ct(shape: Sequence[int]) -> Any:
    """A body of smooth tissue with a scanner's noise, in air; in Hounsfield units."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(0)
    rows, columns = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    tissue = 50 + 300 * gaussian_filter(generator.standard_normal(shape, dtype=np.float32), 4)
    noise = 25 * gaussian_filter(generator.standard_normal(shape, dtype=np.float32), 0.7)
    return np.where(rows**2 / 0.5 + columns**2 / 0.8 < 1, tissue, np.float32(-1000)) + noise


def read_image(path: Path) -> Any:
    """The image of a file, `(Z, Y, X)`."""
    from autoseg.images import read_image as read

    return read(path).data


def normalised(image: Any, *, is_ct: bool) -> Any:
    """`(1, Z, Y, X)` float32, as prepared cases are."""
    import numpy as np

    scaled = image.clip(*WINDOW) if is_ct else image
    return ((scaled - scaled.mean()) / scaled.std()).astype(np.float32)[None]


def forms(data: Any, folder: Path) -> Iterator[tuple[str, int, Callable[[], Read]]]:
    """Each form's name, its bytes, and what opens it."""
    import numpy as np

    for precision in ("float32", "float16"):
        path = folder / f"{precision}.npy"
        np.save(path, data.astype(precision))
        yield f"{precision}, memory map", path.stat().st_size, partial(_open_map, path)
    if not find_spec("blosc2"):
        return
    import blosc2

    blosc2.set_nthreads(1)
    sides = (1, min(BLOCK_SLICES, data.shape[1]), *(min(BLOCK, side) for side in data.shape[2:]))
    chunks = tuple(min(8 * side, whole) for side, whole in zip(sides, data.shape, strict=True))
    for codec, level in (("ZSTD", 8), ("LZ4", 5)):
        for precision in ("float32", "float16"):
            path = folder / f"{precision}_{codec}.b2nd"
            parameters = {"codec": blosc2.Codec[codec], "clevel": level}
            blosc2.asarray(
                data.astype(precision), urlpath=str(path), mode="w", chunks=chunks, blocks=sides, cparams=parameters
            )
            yield f"{precision}, blosc2 {codec.lower()} {level}", path.stat().st_size, partial(_open_blosc2, path)


def _open_map(path: Path) -> Read:
    import numpy as np

    from autoseg.training.sampling.patches import read_box

    array = np.load(path, mmap_mode="r")

    def read(start: Sequence[int], shape: Sequence[int]) -> Any:
        if len(shape) == 2:
            return read_box(array[:, start[0]], start[1:], shape, outside=0)
        return read_box(array, start, shape, outside=0)

    return read


def _open_blosc2(path: Path) -> Read:
    import blosc2
    import numpy as np
    import torch

    array = blosc2.open(urlpath=str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})

    def read(start: Sequence[int], shape: Sequence[int]) -> Any:
        depth = (1,) if len(shape) == 2 else ()
        box = zip(start, (*depth, *shape), strict=True)
        part = array[(slice(None), *(slice(first, first + side) for first, side in box))]
        return part if part.dtype == np.float32 else torch.from_numpy(part).float().numpy()

    return read


def milliseconds(openers: Sequence[Callable[[], Read]], shape: Sequence[int], whole: Sequence[int], tries: int) -> Any:
    """Median time of this process for a patch, of each form; all read the same patches in turns."""
    import numpy as np

    generator = np.random.default_rng(0)
    sides = (1,) * (3 - len(shape)) + tuple(shape)
    readers = [opener() for opener in openers]
    times = np.empty((tries + 1, len(readers)))
    for attempt in range(tries + 1):
        start = [int(generator.integers(0, max(1, side - width + 1))) for side, width in zip(whole, sides, strict=True)]
        for number, read in enumerate(readers):
            before = time.process_time()
            read(start, shape)
            times[attempt, number] = time.process_time() - before
    return 1000 * np.median(times[1:], axis=0)


def rows(name: str, data: Any, tries: int) -> list[tuple[str, ...]]:
    """One for each form of an image."""
    whole = data.shape[1:]
    patch = tuple(min(side, most) for side, most in zip(PATCH, whole, strict=True))
    plane = tuple(min(side, most) for side, most in zip(PLANE, whole[1:], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        names, sizes, openers = zip(*forms(data, Path(folder)), strict=True)
        solid, flat = (milliseconds(openers, shape, whole, tries) for shape in (patch, plane))
    image = f"{name}, {_shape(whole)}"
    return [
        (image, form, f"{size / 1e6:.3g} MB", f"{deep:.2g} ms", f"{shallow:.2g} ms")
        for form, size, deep, shallow in zip(names, sizes, solid, flat, strict=True)
    ]


def _shape(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="*", help="image files to measure beside a made CT")
    parser.add_argument("--shape", type=int, nargs=3, default=SYNTHETIC, help="of the made CT")
    parser.add_argument("--tries", type=int, default=25)
    parser.add_argument("--write", action="store_true", help="put the table into documentation/performance.md")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    head = ("image", "form", "bytes", f"patch, at most {_shape(PATCH)}", f"plane, at most {_shape(PLANE)}")
    found = [head, *rows("a made CT", normalised(synthetic_ct(arguments.shape), is_ct=True), arguments.tries)]
    for path in arguments.images:
        found += rows(path.name.partition(".")[0], normalised(read_image(path), is_ct=False), arguments.tries)
    table = as_table(found)
    print(table)
    if arguments.write:
        PAGE.write_text(fill(PAGE.read_text(), {"prepared": table}))


if __name__ == "__main__":
    main()
