"""Overlay pictures: cut where most is to see, in the right shape, with the colours of the legend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from autoseg.arrays import FloatArray
from autoseg.dataset import Exclusive, read_dataset
from autoseg.dataset.coding import IGNORED_PLANE, WHOLE
from autoseg.dataset.target import Masks, Regions
from autoseg.errors import CasesFailed, DatasetError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.reporting.drawing import COLOURS, CONVENTION, best_cuts, draw_overlay, grey_window
from autoseg.reporting.layers import PanelRow
from autoseg.reporting.overlays import Shown, plot_cases

ONE = Exclusive(names=("background", "a"))
CUBES = Geometry(spacing=(1.0, 1.0, 1.0))


def rows(**labels: np.ndarray) -> dict[str, PanelRow]:
    """A map for each name, in the type of prepared ones."""
    return {name: PanelRow(maps=((one.astype(np.int16),),)) for name, one in labels.items()}


def test_cuts_go_through_most_foreground() -> None:
    segmentation = np.zeros((6, 8, 10), np.uint8)
    segmentation[2, 1:4, 5] = 1
    segmentation[2:5, 3, 5:8] = 2

    assert best_cuts(segmentation > 0) == {0: 2, 1: 3, 2: 5}


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
        rows(reference=reference, prediction=prediction),
        geometry=Geometry(spacing=(5.0, 1.0, 2.0)),
        target=Exclusive(names=("background", "liver", "kidney", "spleen")),
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

    def legend(**labels: np.ndarray) -> list[str]:
        figure = draw_overlay(reference * 1.0, rows(**labels), geometry=CUBES, target=Exclusive(names=names), title="x")
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert legend(reference=reference, prediction=prediction) == [
        "1 liver: Dice 0.667",
        "2 kidney: Dice 0.857",
        "5 undeclared: Dice 0.000",
    ]
    assert legend(reference=reference) == ["1 liver", "2 kidney"]
    assert legend(prediction=prediction) == ["1 liver", "2 kidney", "5 undeclared"]


@pytest.mark.parametrize("labels", [1, 40])
def test_the_legend_lies_inside_the_picture(labels: int) -> None:
    segmentation = np.arange(labels + 1, dtype=np.uint8).reshape(1, 1, -1).repeat(2, axis=1)
    names = ["background", *(f"a label with a long name {value}" for value in range(labels))]
    figure = draw_overlay(
        segmentation * 1.0, rows(x=segmentation), geometry=CUBES, target=Exclusive(names=tuple(names)), title="x"
    )
    FigureCanvasAgg(figure).draw()

    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
    assert box.y1 < figure.axes[0].get_window_extent().y0


def test_a_row_of_voxels_is_drawn() -> None:
    row = np.arange(6, dtype=np.uint8).reshape(1, 1, 6) % 2
    assert draw_overlay(row * 1.0, rows(x=row), geometry=CUBES, target=ONE, title="x").axes


def test_an_image_without_labels_is_drawn_alone() -> None:
    figure = draw_overlay(np.ones((1, 4, 4)), {}, geometry=CUBES, target=ONE, title="x")

    assert [panel.get_title() for panel in figure.axes] == ["image"]
    assert figure.legends == []


def test_a_picture_is_of_no_patient() -> None:
    """PNG and the like lie nowhere; a slice that a header places, and a volume, do."""
    photo = np.ones((1, 4, 4))

    def words(image: FloatArray, geometry: Geometry) -> set[str]:
        figure = draw_overlay(image, {}, geometry=geometry, target=ONE, title="x")
        return {figure.get_suptitle(), *(text.get_text() for axes in figure.axes for text in axes.texts)}

    assert words(photo, CUBES) == {"x"}
    assert {"R", "L", f"x\n{CONVENTION}"} < words(photo, replace(CUBES, origin=(1.0, 2.0, 3.0)))
    assert {"R", "L", f"x\n{CONVENTION}"} < words(np.ones((4, 4, 4)), CUBES)


def test_every_case_gets_its_picture(make_task, tmp_path: Path) -> None:
    dataset = read_dataset(make_task(cases=2))

    written = plot_cases(dataset.training, tmp_path, Shown(target=dataset.target), workers=1)

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
            Shown(target=dataset.target, predictions=tmp_path / "pred"),
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
        plot_cases(dataset.training, tmp_path, Shown(target=dataset.target, predictions=tmp_path / "pred"), workers=1)

    assert str(error.value) == f"{tmp_path}/pred/case_000.nii.gz: case_000.nii has the same name; keep one of the two"
    assert list(tmp_path.glob("*.png")) == []


MASKS = Masks(names=("axon", "myelin"), ignore=9)


def test_masks_that_overlap_are_filled_and_outlined_each_in_its_colour() -> None:
    planes = np.zeros((2, 1, 8, 10), np.uint8)
    planes[0, 0, 1:5, 1:6] = planes[1, 0, 3:7, 4:9] = WHOLE
    prediction = planes.copy()
    prediction[1, 0, 3:7, 8] = 0  # 16 of 20 pixels
    rows = {
        name: PanelRow(maps=tuple((one,) for one in both))
        for name, both in (("reference", planes), ("prediction", prediction))
    }

    figure = draw_overlay(np.ones((1, 8, 10)), rows, geometry=CUBES, target=MASKS, title="x")

    assert [panel.get_title() for panel in figure.axes] == ["reference", "prediction"]
    _, *fills = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    for fill, plane, colour in zip(fills, planes, COLOURS, strict=False):
        np.testing.assert_array_equal(fill[..., 3] > 0, plane[0] > 0)
        np.testing.assert_allclose(fill[0, 0, :3], to_rgb(colour))
    assert len(figure.axes[0].collections) == 2
    assert legend_of(figure) == ["1 axon: Dice 1.000", "2 myelin: Dice 0.889"]


def test_what_nobody_knows_is_striped_and_what_was_not_drawn_is_said() -> None:
    planes = np.zeros((2, 1, 8, 10), np.uint8)
    planes[0, 0, 1:5, 1:6] = WHOLE
    planes[0, 0, 6:] = IGNORED_PLANE
    drawn = PanelRow(maps=((planes[0],), ()), undrawn=(2,))
    predicted = PanelRow(maps=((np.where(planes[0] == 0, WHOLE, planes[0]),), (planes[0],)))

    figure = draw_overlay(np.ones((1, 8, 10)), {"reference": drawn}, geometry=CUBES, target=MASKS, title="x")

    assert legend_of(figure) == ["1 axon", "2 myelin: not drawn", "nobody knows"]
    striped = np.asarray(figure.axes[0].images[-1].get_array())[..., 3] > 0
    assert 0 < striped[6:].mean() < 1 and not striped[:6].any()
    both = {"reference": drawn, "prediction": predicted}
    figure = draw_overlay(np.ones((1, 8, 10)), both, geometry=CUBES, target=MASKS, title="x")
    assert legend_of(figure)[0] == f"1 axon: Dice {2 * 20 / (20 + 60):.3f}", "of what is known"


def test_regions_are_drawn_by_their_names_and_raters_each_with_an_outline() -> None:
    regions = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
    first = np.zeros((1, 8, 10), np.int16)
    first[0, 1:7, 1:8], first[0, 3:5, 3:6] = 1, 2
    second, third = first.copy(), first.copy()
    second[0, 1, 1:8] = third[0, 1, 1:8] = 0
    third[0, 6, 1:8] = 0
    prediction = second.copy()
    prediction[0, 2, 2] = 7

    figure = draw_overlay(
        np.ones((1, 8, 10)),
        {"reference": PanelRow(maps=((first, second, third),)), "prediction": PanelRow(maps=((prediction,),))},
        geometry=CUBES,
        target=regions,
        title="x",
    )

    assert legend_of(figure) == [f"1 whole: Dice {2 * 34 / 69:.3f}", "2 core: Dice 1.000", "7 undeclared: Dice 0.000"]
    assert len(figure.axes[0].collections) == 6 and len(figure.axes[1].collections) == 3
    fill = np.asarray(figure.axes[0].images[1].get_array())[..., 3]
    np.testing.assert_allclose(fill[[1, 6, 2], 1] / fill[2, 1], [1 / 3, 2 / 3, 1])


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_cases_of_masks_are_drawn_from_their_files(make_task, tmp_path: Path) -> None:
    task = make_task(cases=2, labels=("background", "shell", "core"))
    described = json.loads((task / "dataset.json").read_text())
    described = {**{key: value for key, value in described.items() if key != "labels"}, "masks": ["whole", "core"]}
    (task / "dataset.json").write_text(json.dumps(described))
    for path in sorted((task / "labelsTr").iterdir()):
        image = read_image(path)
        for name, least in (("whole", 1), ("core", 2)):
            mask = (image.data >= least).astype(np.uint8)
            write_image(path.with_name(path.name.replace(".nii.gz", f"_{name}.nii.gz")), mask, image.geometry)
        path.unlink()
    dataset = read_dataset(task)
    shown = Shown(target=dataset.target, predictions=task / "labelsTr")

    (first, _) = plot_cases(dataset.training, tmp_path, shown, workers=1)

    picture = imread(first)
    for colour in COLOURS[:2]:
        assert (np.abs(picture[..., :3] - np.array(to_rgb(colour))).max(axis=-1) < 0.02).sum() > 50
    (task / "labelsTr" / "case_001_core.nii.gz").rename(tmp_path / "core.nii.gz")
    predicted = read_dataset(task).training  # not drawn there
    with pytest.raises(CasesFailed, match=r"case_001: .*no prediction case_001_core\.nii\.gz here"):
        plot_cases(predicted, tmp_path, shown, overwrite=True, workers=1)
