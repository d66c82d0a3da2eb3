"""Overlay pictures: cut where most is to see, in the right shape, with the colours of the legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from autoseg.dataset import read_dataset
from autoseg.errors import CasesFailed, DatasetError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.reporting.overlays import COLOURS, Shown, best_cuts, draw_overlay, grey_window, plot_cases

CUBES = Geometry(spacing=(1.0, 1.0, 1.0))


def test_cuts_go_through_most_foreground() -> None:
    segmentation = np.zeros((6, 8, 10), np.uint8)
    segmentation[2, 1:4, 5] = 1
    segmentation[2:5, 3, 5:8] = 2

    assert best_cuts(segmentation) == {0: 2, 1: 3, 2: 5}


def test_without_foreground_the_middle_is_cut() -> None:
    assert best_cuts(np.zeros((6, 8, 10), np.uint8)) == {0: 3, 1: 4, 2: 5}


@pytest.mark.parametrize(("shape", "axis"), [((1, 8, 10), 0), ((8, 1, 10), 1), ((8, 10, 1), 2)])
def test_a_single_slice_is_cut_one_way_only(shape: tuple[int, int, int], axis: int) -> None:
    assert best_cuts(np.ones(shape, np.uint8)) == {axis: 0}


def test_the_grey_window_ignores_air_and_single_bright_voxels() -> None:
    image = np.zeros((10, 10, 10))
    image[5:] = np.linspace(100, 200, 500).reshape(5, 10, 10)
    image[9, 9, 9] = 1e6

    low, high = grey_window(image)

    assert low == pytest.approx(101, abs=0.5)
    assert high == pytest.approx(199, abs=0.5)
    assert grey_window(np.full((2, 2, 2), 7.0)) == (7, 8)


def test_panels_show_the_image_its_labels_and_their_aspect() -> None:
    image = np.random.default_rng(0).random((4, 8, 10))
    reference = np.zeros((4, 8, 10), np.uint8)
    reference[1, 2:5, 3:6] = 3
    prediction = np.zeros_like(reference)
    prediction[1, 2:4, 3:6] = 1

    figure = draw_overlay(
        image,
        {"reference": reference, "prediction": prediction},
        geometry=Geometry(spacing=(5.0, 1.0, 2.0)),
        labels=("background", "liver", "kidney", "spleen"),
        title="case_1",
    )

    panels = figure.axes
    assert [panel.get_title() for panel in panels] == [
        f"{row}: {plane}"
        for row in ("reference", "prediction")
        for plane in ("axial, S 5.0 mm", "coronal, P 2.0 mm", "sagittal, L 6.0 mm")
    ]
    assert [panel.get_aspect() for panel in panels[:3]] == [0.5, 2.5, 5.0]
    np.testing.assert_array_equal(panels[1].images[0].get_array(), image[::-1, 2, :])
    fill = np.asarray(panels[0].images[1].get_array())
    np.testing.assert_array_equal(fill[..., 3] > 0, reference[1] == 3)
    np.testing.assert_allclose(fill[3, 4, :3], to_rgb(COLOURS[2]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "1 liver: Dice 0.000",
        "3 spleen: Dice 0.000",
    ]


def test_the_legend_gives_the_dice_of_each_label_where_there_is_a_reference() -> None:
    reference = np.zeros((2, 4, 4), np.uint8)
    reference[0, :, :2], reference[1, :, :3] = 1, 2  # 8 and 12 voxels
    prediction = np.zeros_like(reference)
    prediction[0, :2, :2], prediction[1], prediction[0, 3, 3] = 1, 2, 5  # 4 and 16 voxels
    names = ("background", "liver", "kidney", "spleen")
    rows = {"reference": reference, "prediction": prediction}

    def legend(rows: dict[str, np.ndarray]) -> list[str]:
        figure = draw_overlay(reference * 1.0, rows, geometry=CUBES, labels=names, title="x")
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert legend(rows) == ["1 liver: Dice 0.667", "2 kidney: Dice 0.857", "5 undeclared: Dice 0.000"]
    assert legend({"reference": reference}) == ["1 liver", "2 kidney"]
    assert legend({"prediction": prediction}) == ["1 liver", "2 kidney", "5 undeclared"]


@pytest.mark.parametrize("labels", [1, 40])
def test_the_legend_lies_inside_the_picture(labels: int) -> None:
    segmentation = np.arange(labels + 1, dtype=np.uint8).reshape(1, 1, -1).repeat(2, axis=1)
    names = ["background", *(f"a label with a long name {value}" for value in range(labels))]
    figure = draw_overlay(segmentation * 1.0, {"x": segmentation}, geometry=CUBES, labels=names, title="x")
    FigureCanvasAgg(figure).draw()

    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
    assert box.y1 < figure.axes[0].get_window_extent().y0


def test_a_row_of_voxels_is_drawn() -> None:
    row = np.arange(6, dtype=np.uint8).reshape(1, 1, 6) % 2
    assert draw_overlay(row * 1.0, {"x": row}, geometry=CUBES, labels=("background", "a"), title="x").axes


def test_an_image_without_labels_is_drawn_alone() -> None:
    figure = draw_overlay(np.ones((1, 4, 4)), {}, geometry=CUBES, labels=("background", "a"), title="x")

    assert [panel.get_title() for panel in figure.axes] == ["image: axial, S 0.0 mm"]
    assert figure.legends == []


def test_every_case_gets_its_picture(make_task, tmp_path: Path) -> None:
    dataset = read_dataset(make_task(cases=2))

    written = plot_cases(dataset.training, tmp_path, Shown(labels=dataset.target.outputs), workers=1)

    assert written == [tmp_path / "case_000.png", tmp_path / "case_001.png"]
    picture = imread(written[0])
    assert picture.shape[1] > picture.shape[0] > 100
    red = np.array(to_rgb(COLOURS[0]))
    assert (np.abs(picture[..., :3] - red).max(axis=-1) < 0.02).sum() > 50  # the contour and the legend


def test_a_case_that_cannot_be_drawn_is_named_and_the_others_are_drawn(make_task, tmp_path: Path) -> None:
    dataset = read_dataset(make_task(cases=3))
    for number in (0, 1):
        image = read_image(dataset.training[number].segmentation)
        data = image.data if number == 0 else image.data[1:]
        write_image(tmp_path / "pred" / f"case_00{number}.nii.gz", data, image.geometry)

    with pytest.raises(CasesFailed) as caught:
        plot_cases(
            dataset.training,
            tmp_path / "out",
            Shown(labels=dataset.target.outputs, predictions=tmp_path / "pred"),
            workers=1,
        )

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case_000.png"]
    messages = dict(caught.value.failures)
    assert "lie on different grids: size (12, 16, 14) and (11, 16, 14) voxels" in messages["case_001"]
    assert messages["case_002"] == f"{tmp_path}/pred: no prediction case_002.nii.gz here; predict this case first"


def test_two_predictions_of_one_case_are_refused_by_name(make_task, tmp_path: Path) -> None:
    dataset = read_dataset(make_task(cases=1))
    image = read_image(dataset.training[0].segmentation)
    for ending in ("nii", "nii.gz"):
        write_image(tmp_path / "pred" / f"case_000.{ending}", image.data, image.geometry)

    with pytest.raises(DatasetError) as error:
        plot_cases(dataset.training, tmp_path, Shown(labels=("a", "b"), predictions=tmp_path / "pred"), workers=1)

    assert str(error.value) == f"{tmp_path}/pred/case_000.nii.gz: case_000.nii has the same name; keep one of the two"
    assert list(tmp_path.glob("*.png")) == []
