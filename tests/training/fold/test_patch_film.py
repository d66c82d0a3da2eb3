"""A patch as a picture, and the film of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.files.model_folder import FoldFolder
from autoseg.images.colours import colour_of
from autoseg.training.fold.patch_film import CAPTION, MOST_FRAMES, PatchFilm, SeenPatch, draw_patch, fullest

SIDE = 96
"""Of which a voxel is two pixels."""


def patch(found_to: int = 60) -> SeenPatch:
    """A ramp with two boxes, of which only the first is found."""
    there = np.zeros((2, SIDE, SIDE), bool)
    there[0, 20:60, 20:60] = there[1, 70:90, 70:90] = True
    found = np.zeros_like(there)
    found[0, 20:60, 20:found_to] = True
    image = np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    return SeenPatch(image=image, there=there, found=found, names=("first", "second"))


def test_what_is_there_and_found_is_outlined_in_the_colours_of_the_labels() -> None:
    drawn = np.asarray(draw_patch(patch(), "epoch 1").convert("RGB"))

    assert drawn.shape == (2 * SIDE + 2 * CAPTION, 3 * 2 * SIDE + 4, 3)
    image, truth, found = (
        drawn[CAPTION:-CAPTION, start : start + 2 * SIDE] for start in (0, 2 * SIDE + 2, 4 * SIDE + 4)
    )
    for panel, labels in ((image, ()), (truth, (1, 2)), (found, (1,))):
        coloured = {tuple(map(int, pixel)) for pixel in panel.reshape(-1, 3) if len(set(pixel.tolist())) > 1}
        assert coloured == {colour_of(label) for label in labels}
    assert tuple(truth[40, 80]) == colour_of(1) and len(set(truth[80, 80].tolist())) == 1, "lines, and grey within"
    assert image[0, 0, 0] == 0 and image[0, -1, 0] == 255
    named = {tuple(map(int, pixel)) for pixel in drawn[-CAPTION:].reshape(-1, 3)}
    assert {colour_of(1), colour_of(2)} <= named and (255, 255, 255) not in named
    many = np.asarray(draw_patch(replace(patch(), names=("label",) * 40), "epoch 1").convert("RGB"))
    assert (many[-CAPTION:] == 255).all(axis=-1).any(), "dots for those that there is no room for"


def test_lines_that_run_together_are_both_seen() -> None:
    there = np.zeros((2, SIDE, SIDE), bool)
    there[:, 20:60, 20:60] = True

    drawn = np.asarray(draw_patch(replace(patch(), there=there), "epoch 1").convert("RGB"))
    top = drawn[CAPTION + 2 * 20, 2 * SIDE + 2 + 2 * 20 : 2 * SIDE + 2 + 2 * 60]
    assert {tuple(map(int, pixel)) for pixel in top} == {colour_of(1), colour_of(2)}


def test_the_slice_is_that_of_most_labels() -> None:
    there = np.zeros((2, 5, 4, 4), bool)
    there[0, :, :2] = True
    there[1, 3, 3, :2] = True

    assert fullest(there) == 3
    assert fullest(np.zeros((2, 5, 4, 4), bool)) == 2


@pytest.mark.parametrize("epochs", [1, 3, MOST_FRAMES, 4 * MOST_FRAMES + 7])
def test_the_film_ends_with_the_last_epoch_and_stays_short(tmp_path: Path, epochs: int) -> None:
    fold = FoldFolder(folder=tmp_path)
    film = PatchFilm(fold, 0)
    for epoch in range(1, epochs + 1):
        last = film.add(epoch, patch(21 + epoch % 39))
    film.close()

    with Image.open(fold.patch_film) as written:
        assert min(epochs, MOST_FRAMES // 2) <= written.n_frames <= MOST_FRAMES + 1
        written.seek(written.n_frames - 1)
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), last)
    with Image.open(fold.patch_picture) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), last)


def test_a_film_is_gone_on_with(tmp_path: Path) -> None:
    fold = FoldFolder(folder=tmp_path)
    for start in (0, 2):
        film = PatchFilm(fold, start)
        frames = [film.add(epoch, patch(20 + 5 * epoch)) for epoch in (start + 1, start + 2)]
        film.close()

    with Image.open(fold.patch_film) as written:
        assert written.n_frames == 4
        written.seek(2)
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), frames[0])


def test_without_an_epoch_nothing_is_written_and_what_is_no_film_is_begun_anew(tmp_path: Path) -> None:
    fold = FoldFolder(folder=tmp_path)
    PatchFilm(fold, 0).close()
    assert not list(tmp_path.iterdir())
    fold.patch_film.write_bytes(b"no film")

    film = PatchFilm(fold, 5)
    film.add(6, patch())
    film.close()
    with Image.open(fold.patch_film) as written:
        assert written.n_frames == 1
