"""One validation patch after each epoch, as a picture and in the end as a film of how its segmentation came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw
from scipy.ndimage import binary_erosion

from autoseg.arrays import FloatArray, Mask
from autoseg.files.model_folder import FoldFolder
from autoseg.files.storage import atomic_path
from autoseg.images.colours import colour_of

SIDE = 192
"""Pixels that a patch is at least high, or as near to it as whole numbers of pixels for a voxel allow."""

GREYS = 200
"""Of the 256 colours that a film has; the others are for labels."""

LABEL_COLOURS = 255 - GREYS
WHITE = GREYS - 1
CAPTION = 14
"""Pixels above the patches, and below them for the names of labels."""

DASH = 4
"""Pixels of a line's dash."""

MOST_FRAMES = 60
SECONDS = 12.0
"""Of a film, whatever the number of its frames."""

PERCENTILES = (1, 99)
"""Grey values that become black and white."""

Coloured: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPatch:
    """A slice of a patch, and what is there and found.

    Attributes:
        image: `(H, W)`, its first channel.
        there, found: `(outputs, H, W)`, of the scored outputs.
        names: Of these outputs.
    """

    image: FloatArray
    there: Mask
    found: Mask
    names: tuple[str, ...]


class PatchFilm:
    """Draws each epoch's patch, and keeps frames for the film; as many epochs are left out as it takes.

    Args:
        epoch: How many are done; of an earlier process the film is gone on with.
    """

    def __init__(self, fold: FoldFolder, epoch: int) -> None:
        self._fold = fold
        self._frames = _frames_of(fold) if epoch else []
        self._every = 1
        self._last: Pictures.Image | None = None

    def add(self, epoch: int, patch: SeenPatch) -> NDArray[np.uint8]:
        """Write the picture of an epoch, from 1; returns it, `(H, W, 3)`."""
        frame = draw_patch(patch, f"epoch {epoch}")
        with atomic_path(self._fold.patch_picture) as temporary:
            frame.save(temporary, format="PNG")
        self._frames = [one for one in self._frames if one.size == frame.size]  # of an earlier version they are lower
        self._last = frame
        if epoch % self._every == 0:
            self._frames.append(frame)
            self._last = None
        if len(self._frames) > MOST_FRAMES:
            self._frames = self._frames[1::2]
            self._every *= 2
        return np.asarray(frame.convert("RGB"))

    def close(self) -> None:
        """Write the film, where there is something to see."""
        frames = [*self._frames, *([] if self._last is None else [self._last])]
        if not frames:
            return
        with atomic_path(self._fold.patch_film) as temporary:
            frames[0].save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=frames[1:],
                duration=[*[round(1000 * SECONDS / len(frames))] * (len(frames) - 1), 2000],
                loop=0,
                optimize=False,
            )


def draw_patch(patch: SeenPatch, caption: str) -> Pictures.Image:
    """The patch alone, with what is there outlined, and with what was found; below, the labels' names in their colours."""
    scale = max(1, round(SIDE / patch.image.shape[0]))
    low, high = np.percentile(patch.image, PERCENTILES)
    shares = np.clip((patch.image - low) / max(high - low, 1e-6), 0, 1)
    grey = _enlarged((shares * (GREYS - 1)).astype(np.uint8), scale)
    panels = [grey, _outlined(grey, patch.there, scale), _outlined(grey, patch.found, scale)]
    gap = np.full((grey.shape[0], 2), WHITE, np.uint8)
    joined = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    picture = Pictures.fromarray(np.pad(joined, ((CAPTION, CAPTION), (0, 0))), mode="P")
    picture.putpalette(_palette())
    write = ImageDraw.Draw(picture)
    for number, text in enumerate(("image", "truth", caption)):
        write.text((number * (grey.shape[1] + 2) + 3, 1), text, fill=WHITE)
    _write_names(write, patch.names, (picture.width, picture.height - CAPTION + 1))
    return picture


def _write_names(write: ImageDraw.ImageDraw, names: Sequence[str], room: tuple[int, int]) -> None:
    """As many as there is room for, and dots for the others."""
    place, (width, top) = 3, room
    for number, name in enumerate(names):
        text = name.encode("latin-1", "replace").decode("latin-1")  # more the font may not have
        end = place + int(write.textlength(text)) + 8
        last = number + 1 == len(names)
        if end > width - (0 if last else 15):
            write.text((place, top), "...", fill=WHITE)
            return
        write.text((place, top), text, fill=GREYS + number % LABEL_COLOURS)
        place = end


def fullest(there: Mask) -> int:
    """The slice `(outputs, Z, H, W)` in which most outputs have much, the middle one where nothing is there.

    Each output counts by its share, so that a large one does not decide alone.
    """
    sizes = there.sum(axis=(2, 3)).astype(np.float64)
    shares = sizes / np.maximum(sizes.max(axis=1, keepdims=True), 1)
    return (
        int(np.flatnonzero(shares.sum(axis=0) == shares.sum(axis=0).max())[0]) if there.any() else there.shape[1] // 2
    )


def _outlined(grey: Coloured, masks: Mask, scale: int) -> Coloured:
    """Lines within each mask; those of several that run together alternate."""
    drawn: Coloured = grey.copy()
    dashes = np.add(*np.indices(grey.shape)) // DASH % 2 == 0
    for number, mask in enumerate(masks):
        large = _enlarged(mask.astype(np.uint8), scale) > 0
        line = large & ~binary_erosion(large, iterations=2, border_value=1)
        drawn[line & (dashes | (drawn < GREYS))] = GREYS + number % LABEL_COLOURS
    return drawn


def _enlarged(values: Coloured, scale: int) -> Coloured:
    enlarged: Coloured = values.repeat(scale, axis=0).repeat(scale, axis=1)
    return enlarged


def _palette() -> list[int]:
    greys = [[255 * number // (GREYS - 1)] * 3 for number in range(GREYS)]
    colours: Sequence[Sequence[int]] = [*greys, *(colour_of(number + 1) for number in range(LABEL_COLOURS))]
    return [value for colour in colours for value in colour]


def _frames_of(fold: FoldFolder) -> list[Pictures.Image]:
    """Those of the film that an earlier process left; none where it cannot be read."""
    frames = []
    try:
        with Pictures.open(fold.patch_film) as film:
            for number in range(getattr(film, "n_frames", 1)):
                film.seek(number)
                frames.append(film.convert("RGB").quantize(palette=_palette_picture(), dither=Pictures.Dither.NONE))
    except (OSError, EOFError, SyntaxError, ValueError):
        return []
    return frames


def _palette_picture() -> Pictures.Image:
    picture = Pictures.new("P", (1, 1))
    picture.putpalette(_palette())
    return picture
