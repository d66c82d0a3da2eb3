"""Pictures follow the patient: planes, sides and places come from the directions of the axes, not from their order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.spatial.transform import Rotation

from autoseg.dataset import Case, Exclusive
from autoseg.geometry import Geometry
from autoseg.images import read_image, whole_files, write_image
from autoseg.reporting.drawing import draw_overlay
from autoseg.reporting.layers import PanelRow
from autoseg.reporting.orientation import patient_view
from autoseg.reporting.overlays import Shown, plot_cases

SHAPE = (5, 7, 9)
X = Exclusive(names=("background", "x"))
TILTS = {"straight": (0, 0, 0), "slightly tilted": (0.5, 0, 0), "oblique": (20, -15, 30)}


def row(labels: np.ndarray) -> PanelRow:
    return PanelRow(maps=((labels.astype(np.int16),),))


def geometry(tilt: tuple[float, float, float] = (0, 0, 0)) -> Geometry:
    """Stored slice by slice from the feet up, rows from the front, columns from the right."""
    turned = Rotation.from_euler("zyx", tilt, degrees=True).as_matrix()
    return Geometry(spacing=(3.0, 1.0, 2.0), origin=(10.0, -20.0, 30.5), direction=tuple(turned.ravel().tolist()))


def stored_ways(grid: Geometry, volumes: list[np.ndarray]) -> Iterator[tuple[Geometry, list[np.ndarray]]]:
    """The same patient in all 48 orders and directions of the stored axes."""
    direction = np.reshape(grid.direction, (3, 3))
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        backwards = tuple(axis for axis, flip in enumerate(flips) if flip)
        changed = [np.flip(volume.transpose(order), backwards) for volume in volumes]
        steps = np.array(grid.spacing)[list(order)]
        axes = direction[:, list(order)]
        first = [side - 1 if flip else 0 for side, flip in zip(changed[0].shape, flips, strict=True)]
        origin = np.array(grid.origin) + axes @ (steps * first)
        axes = axes * np.where(flips, -1, 1)
        yield (
            Geometry(spacing=tuple(steps), origin=tuple(origin), direction=tuple(axes.ravel().tolist())),
            changed,
        )


def patient() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    image = generator.random(SHAPE)
    reference = np.zeros(SHAPE, np.uint8)
    reference[1:3, 2:5, 3:7] = 1
    reference[3, 5, 8] = 2
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[1:3, 2:5, 3:6] = 1
    return [image, reference, prediction]


def shown(figure: Figure) -> list[object]:
    """All that a picture shows, panel by panel."""
    found: list[object] = [text.get_text() for text in figure.legends[0].get_texts()]
    for panel in figure.axes:
        found.append((panel.get_title(), round(float(panel.get_aspect()), 9)))
        found.append([text.get_text() for text in panel.texts])
        found.append([np.asarray(image.get_array()).tolist() for image in panel.images])
    return found


@pytest.mark.parametrize("tilt", TILTS.values(), ids=TILTS)
def test_a_patient_is_turned_alike_in_whatever_order_it_is_stored(tilt: tuple[float, float, float]) -> None:
    image, *_ = patient()
    ways = list(stored_ways(geometry(tilt), [image]))
    seen = [patient_view(grid) for grid, _ in ways]

    assert len(ways) == 48
    for (_, (stored,)), view in zip(ways, seen, strict=True):
        turned = view.turn(stored)
        np.testing.assert_array_equal(turned, seen[0].turn(image))
        assert view.spacing == seen[0].spacing
        for axis, side in enumerate(turned.shape):
            assert view.plane(axis) == seen[0].plane(axis)
            assert view.edges(axis) == seen[0].edges(axis)
            places = [view.place(axis, position, stored.shape) for position in range(side)]
            assert places == [seen[0].place(axis, position, SHAPE) for position in range(side)]


def test_a_patient_gives_one_picture_in_whatever_order_it_is_stored() -> None:
    names = ("background", "liver", "cyst")
    pictures = []
    for grid, (image, reference, prediction) in list(stored_ways(geometry((20, -15, 30)), patient()))[::9]:
        rows = {"reference": row(reference), "prediction": row(prediction)}
        pictures.append(shown(draw_overlay(image, rows, geometry=grid, target=Exclusive(names=names), title="patient")))

    assert all(picture == pictures[0] for picture in pictures)


def test_files_in_any_order_give_one_picture_to_the_last_pixel(tmp_path: Path) -> None:
    image, reference, prediction = patient()
    ways = [*stored_ways(geometry((20, -15, 30)), [image, reference, prediction])]
    pictures = []
    for number in (0, 29):
        grid, volumes = ways[number]
        folder = tmp_path / str(number)
        for kind, volume in zip(("image", "label", "pred"), volumes, strict=True):
            data = volume.astype(np.float32) if kind == "image" else volume
            write_image(folder / kind / "p.nii", np.ascontiguousarray(data), grid)
        case = Case(identifier="p", images=whole_files([folder / "image/p.nii"]), segmentation=folder / "label/p.nii")
        (path,) = plot_cases(
            [case],
            folder,
            Shown(target=Exclusive(names=("background", "liver", "cyst")), predictions=folder / "pred"),
            workers=1,
        )
        pictures.append(imread(path))

    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])


def test_the_planes_of_a_straight_patient_show_what_radiologists_expect() -> None:
    image = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    reference = np.zeros(SHAPE, np.uint8)
    reference[1, 2, 3] = 1

    figure = draw_overlay(image, {"labels": row(reference)}, geometry=geometry(), target=X, title="t")

    axial, coronal, sagittal = figure.axes
    assert [panel.get_title() for panel in figure.axes] == [
        "labels: axial, S 13.0 mm",
        "labels: coronal, A 18.0 mm",
        "labels: sagittal, L 36.5 mm",
    ]
    np.testing.assert_array_equal(axial.images[0].get_array(), image[1])
    np.testing.assert_array_equal(coronal.images[0].get_array(), image[::-1, 2])
    np.testing.assert_array_equal(sagittal.images[0].get_array(), image[::-1, :, 3])
    sides = [[text.get_text() for text in panel.texts] for panel in figure.axes]
    assert sides == [["A", "L", "P", "R"], ["S", "L", "I", "R"], ["S", "P", "I", "A"]]  # top, right, bottom, left
    assert [panel.get_aspect() for panel in figure.axes] == [0.5, 1.5, 3.0]
    assert figure.get_suptitle() == "t\nradiological convention: the patient's right is at the left"


def test_an_image_stored_from_the_side_is_called_sagittal() -> None:
    """Its slices run from the left to the right; by the order of its axes it was called axial."""
    direction = (0, -1, 0, 0, 0, 1, -1, 0, 0)
    grid = replace(geometry(), direction=direction)
    assert grid.orientation == "PIR"  # of the file's x, y, z
    image = np.random.default_rng(0).random((1, 6, 8))

    figure = draw_overlay(image, {}, geometry=grid, target=X, title="t")

    (panel,) = figure.axes
    assert panel.get_title().startswith("image: sagittal, L 30.5 mm")
    np.testing.assert_array_equal(panel.images[0].get_array(), image[0])
    assert [text.get_text() for text in panel.texts] == ["S", "P", "I", "A"]


@pytest.mark.parametrize(("degrees", "name"), [(0.9, "axial"), (1.1, "near axial"), (40, "near axial")])
def test_planes_that_lie_oblique_are_called_near(degrees: float, name: str) -> None:
    assert patient_view(geometry((0, degrees, 0))).plane(0) == name


@pytest.mark.parametrize(
    ("origin", "place"), [(0.04, "S 0.0 mm"), (-0.04, "S 0.0 mm"), (-0.06, "I 0.1 mm"), (1234.56, "S 1234.6 mm")]
)
def test_places_are_told_to_a_tenth_of_a_millimetre(origin: float, place: str) -> None:
    grid = replace(geometry(), origin=(origin, 0.0, 0.0))
    assert patient_view(grid).place(0, 4, SHAPE) == place  # turned, the first stored slice is the last


def test_no_side_is_claimed_where_the_header_says_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii", np.ones((4, 5, 6), np.uint8), geometry())
    header = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2h", header, 252, 0, 0)  # the codes of qform and sform
    (tmp_path / "a.nii").write_bytes(header)
    image = read_image(tmp_path / "a.nii")

    figure = draw_overlay(image.data * 1.0, {}, geometry=image.geometry, target=X, title="t")

    assert figure.get_suptitle() == (
        "t\nthe header does not say how it lies in the patient: planes are presumed, sides unknown"
    )
    assert [list(panel.texts) for panel in figure.axes] == [[], [], []]
