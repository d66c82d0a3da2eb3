"""The cascade: what an earlier stage predicted reaches the network voxel for voxel where the image's own voxels do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import asked
from torch import nn

from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Exclusive, Masks, stored_target
from autoseg.errors import CasesFailed, DatasetError, ModelError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.inference.cascade import expand_labels
from autoseg.inference.cases import predict_cases
from autoseg.inference.found_cases import find_cases
from autoseg.inference.model import TrainedModel
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation

GEOMETRY = Geometry(
    spacing=(2.0, 1.0, 1.0), origin=(3.0, -40.5, 7.25), direction=(0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
)
CLASSES = 4


class Agreement(nn.Module):
    """Perfect scores for a label only where the image's brightness and the earlier stage's channel both show it."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        image, one_hot = tiles[:, :1], tiles[:, 1:]
        assert one_hot.shape[1] == CLASSES - 1
        levels = 100.0 * torch.arange(1, CLASSES).reshape(-1, *[1] * (tiles.ndim - 2))
        both = ((image - levels).abs() < 50) & (one_hot == 1)
        return 50 * torch.cat([~both.any(dim=1, keepdim=True), both], dim=1).float()


class Echo(nn.Module):
    """Trusts the earlier stage entirely."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        one_hot = tiles[:, 1:]
        return 50 * torch.cat([1 - one_hot.sum(dim=1, keepdim=True), one_hot], dim=1)


def cascade(
    make: Any, network: nn.Module, *, mirror_axes: tuple[int, ...] = (0, 1, 2), **settings: Any
) -> TrainedModel:
    """A model of 3d_cascade_fullres on the stub `network`."""
    plans = make.plans(labels=("background", "a", "b", "c")[:CLASSES], **settings)
    (plan,) = plans.configurations.values()
    stages = (replace(plan, name="3d_lowres"), replace(plan, name="3d_cascade_fullres", previous="3d_lowres"))
    return TrainedModel(
        plans=replace(plans, configurations={stage.name: stage for stage in stages}),
        configuration="3d_cascade_fullres",
        networks=(network,),
        mirror_axes=mirror_axes,
        folds=("0",),
    )


def labels_and_image(shape: tuple[int, ...], border: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random blocks of every label, at a brightness of 100 each over 1; the image is exactly zero in the border."""
    generator = np.random.default_rng(0)
    labels = np.zeros(shape, np.uint8)
    for label in range(1, CLASSES):
        first = [int(generator.integers(edge, side // 2)) for side, edge in zip(shape, border, strict=True)]
        labels[tuple(slice(low, low + side // 4 + 1) for low, side in zip(first, shape, strict=True))] = label
    inside = np.zeros(shape, bool)
    inside[tuple(slice(edge, side - edge) for edge, side in zip(border, shape, strict=True))] = True
    labels[~inside] = 0
    return labels, np.where(inside, np.maximum(100 * labels.astype(np.float32), 1), 0)[None].astype(np.float32)


def test_labels_become_zeros_and_ones_just_before_the_network() -> None:
    tiles = torch.tensor([[[0.5, -2.0, 7.0, 1.0], [0.0, 2.0, 1.0, 3.0]]])

    expanded = expand_labels(tiles, Exclusive.numbered(4))

    assert expanded.tolist() == [[[0.5, -2.0, 7.0, 1.0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]]


@pytest.mark.parametrize("patch", [(8, 8, 8), (4, 16, 8), (32, 32, 32)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("mode", ["normal", "fast"])
def test_perfect_scores_of_both_stages_give_the_labels_back_to_the_voxel(
    make: Any, patch: tuple[int, ...], order: Any, mode: Any
) -> None:
    """With a zero border that is cropped, unevenly: a displaced first stage would leave the scores' overlap only."""
    labels, image = labels_and_image((17, 26, 21), border=(2, 5, 1))
    image[0, :3] = 0
    labels[:3] = 0
    spacing = tuple(GEOMETRY.spacing[axis] for axis in order)
    model = cascade(make, Agreement(), patch=patch, spacing=spacing, order=order)

    prediction = Predictor(model, Computation(device="cpu", precision="fp32", mode=mode)).predict(
        image, GEOMETRY, previous=labels
    )

    assert set(np.unique(labels)) == set(range(CLASSES))
    np.testing.assert_array_equal(prediction.segmentation, labels)


@pytest.mark.parametrize("spacing", [(1.5, 0.8, 1.1), (3.4, 1.0, 0.9), (2.0, 1.4, 1.4)])
def test_on_another_grid_the_first_stage_stays_where_it_was(make: Any, spacing: tuple[float, float, float]) -> None:
    """An uneven border is cropped; a stage resized onto the crop as a whole would be displaced by many voxels."""
    position = np.stack(np.meshgrid(*map(np.arange, (30, 56, 40)), indexing="ij")).T * GEOMETRY.spacing
    distance = np.linalg.norm(position - (32.0, 34.0, 18.0), axis=-1).T
    labels = np.select([distance < 7, distance < 10, distance < 13], [3, 2, 1]).astype(np.uint8)
    image = np.zeros((1, *labels.shape), np.float32)
    image[0, 5:-3, 18:-2, 1:] = 1

    model = cascade(make, Echo(), spacing=spacing)
    predicted = (
        Predictor(model, Computation(device="cpu", precision="fp32"))
        .predict(image, GEOMETRY, previous=labels)
        .segmentation
    )

    for label in range(1, CLASSES):
        wanted, found = labels >= label, predicted >= label
        assert 2 * (wanted & found).sum() / (wanted.sum() + found.sum()) > 0.9
        np.testing.assert_allclose(np.argwhere(found).mean(axis=0), np.argwhere(wanted).mean(axis=0), atol=0.4)


def test_what_was_cropped_away_is_background_whatever_the_first_stage_says(make: Any) -> None:
    labels, image = labels_and_image((17, 26, 21), border=(2, 5, 1))
    noisy = np.where(image[0] == 0, 1, labels).astype(np.uint8)

    predicted = (
        Predictor(cascade(make, Echo()), Computation(device="cpu"))
        .predict(image, GEOMETRY, previous=noisy)
        .segmentation
    )

    box = tuple(slice(edge, side - edge) for edge, side in zip((2, 5, 1), labels.shape, strict=True))
    assert not np.delete(predicted, np.arange(2, 15), axis=0).any()
    assert 2 * ((predicted > 0) & (labels > 0))[box].sum() / ((predicted > 0).sum() + (labels > 0).sum()) > 0.9


def test_a_cascade_needs_the_first_stage_and_other_models_take_none(make: Any) -> None:
    image = np.ones((1, 8, 8, 8), np.float32)
    labels = np.zeros((8, 8, 8), np.uint8)
    refining, plain = (
        Predictor(cascade(make, Echo()), Computation(device="cpu")),
        Predictor(make.model(make.plans()), Computation(device="cpu")),
    )

    with pytest.raises(ModelError, match="case image: 3d_cascade_fullres refines what 3d_lowres predicted; give that"):
        refining.predict(image, GEOMETRY)
    with pytest.raises(
        ModelError, match="case image: 3d_fullres is no cascade and takes no segmentation of an earlier"
    ):
        plain.predict(image, GEOMETRY, previous=labels)
    with pytest.raises(DatasetError, match=r"segmentation has \(8, 8, 7\) voxels, the image \(8, 8, 8\)"):
        refining.predict(image, GEOMETRY, previous=labels[..., 1:])
    with pytest.raises(DatasetError, match="labels from 4 to 4, but the plans' go from 0 to 3"):
        refining.predict(image, GEOMETRY, previous=labels + 4)


@pytest.fixture
def task(make_task: Any) -> Path:
    """Images with a zero border, so that cropping removes voxels."""
    folder: Path = make_task(
        cases=3, test_cases=0, spacing=(2.0, 1.0, 1.0), shape=(16, 22, 20), border=2, labels=("background", "a", "b")
    )
    return folder


def test_files_are_refined_on_their_images_grids(task: Path, make: Any, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)
    model = cascade(make, Echo(), spacing=(2.0, 1.0, 1.0))
    outputs = [tmp_path / "out" / f"{case.identifier}.nii.gz" for case in cases]

    predict_cases(
        Predictor(model, Computation(device="cpu")), asked(cases, outputs, folder=tmp_path), previous=task / "labelsTr"
    )

    for case, output in zip(cases, outputs, strict=True):
        written, label = read_image(output), read_image(task / "labelsTr" / f"{case.identifier}.nii.gz")
        inside = read_image(case.image_paths[0]).data != 0
        np.testing.assert_array_equal(written.data, np.where(inside, label.data, 0))
        assert written.geometry == label.geometry
    assert json.loads((tmp_path / "prediction.json").read_text())["lowres_segmentations"] == str(task / "labelsTr")


def test_cases_without_a_first_stage_are_listed_before_any_is_predicted(task: Path, make: Any, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)
    predictor = Predictor(cascade(make, Echo()), Computation(device="cpu"))
    outputs = [tmp_path / "out" / f"{case.identifier}.nii.gz" for case in cases]
    (task / "labelsTr" / "case_001.nii.gz").unlink()

    with pytest.raises(
        DatasetError, match=r"1 of 3 cases has no segmentation here; predict it with 3d_lowres"
    ) as error:
        predict_cases(predictor, asked(cases, outputs), previous=task / "labelsTr")
    assert str(error.value).endswith(f"\n  {task / 'labelsTr' / 'case_001.nii.gz'}")
    with pytest.raises(ModelError, match="3d_cascade_fullres refines what 3d_lowres predicted; give the folder"):
        predict_cases(predictor, asked(cases, outputs))
    plain = Predictor(make.model(make.plans()), Computation(device="cpu"))
    with pytest.raises(
        ModelError,
        match=r"3d_fullres is no cascade and refines nothing; leave .*labelsTr out \(`lowres_segmentations`\)",
    ):
        predict_cases(plain, asked(cases, outputs), previous=task / "labelsTr")
    assert not (tmp_path / "out").exists()


def test_a_first_stage_on_another_grid_fails_its_case_alone(task: Path, make: Any, tmp_path: Path) -> None:
    cases = find_cases([task / "imagesTr"], 1)
    outputs = [tmp_path / "out" / f"{case.identifier}.nii.gz" for case in cases]
    shifted = read_image(task / "labelsTr" / "case_001.nii.gz")
    moved = replace(shifted.geometry, origin=(0.0, 3.0, 0.0))
    write_image(task / "labelsTr" / "case_001.nii.gz", shifted.data, moved)

    with pytest.raises(CasesFailed, match=r"case_001: .*lies on another grid than the image it segments: origin"):
        predict_cases(
            Predictor(cascade(make, Echo()), Computation(device="cpu")),
            asked(cases, outputs, overwrite=True),
            previous=task / "labelsTr",
        )
    assert [output.exists() for output in outputs] == [True, False, True]


def test_labels_travel_as_one_channel_whatever_their_number(make: Any) -> None:
    """Memory must not grow with classes times volume: the prepared case holds a map of bytes."""
    labels, image = labels_and_image((16, 16, 16), border=(0, 0, 0))
    predictor = Predictor(cascade(make, Echo()), Computation(device="cpu"))
    raw = RawCase(identifier="a", data=image, segmentation=None, geometry=GEOMETRY)

    prepared = predictor.prepare(raw, labels)

    assert prepared.data.shape[0] == 1
    assert prepared.previous is not None
    assert prepared.previous.dtype == np.int8


class EchoOfMasks(nn.Module):
    """Trusts the earlier stage's masks entirely."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return 50 * (2 * tiles[:, 1:] - 1)


def test_masks_are_refined_from_their_files(task: Path, make: Any, tmp_path: Path) -> None:
    target, folder = Masks(names=("whole", "core")), tmp_path / "first"
    model = cascade(make, EchoOfMasks(), spacing=(2.0, 1.0, 1.0))
    model = replace(model, plans=replace(model.plans, labels=target.labels, target_kind=stored_target(target)))
    cases = find_cases([task / "imagesTr"], 1)
    truth = {}
    for case in cases:
        label = read_image(task / "labelsTr" / f"{case.identifier}.nii.gz")
        inside = read_image(case.image_paths[0]).data != 0
        for name, least in zip(target.names, (1, 2), strict=True):
            file = f"{case.identifier}_{name}.nii.gz"
            mask = (label.data >= least).astype(np.uint8)
            write_image(folder / file, mask, label.geometry)
            truth[file] = np.where(inside, mask, 0)
    outputs = [tmp_path / "out" / f"{case.identifier}.nii.gz" for case in cases]
    predictor = Predictor(model, Computation(device="cpu"))

    predict_cases(predictor, asked(cases, outputs), previous=folder)

    assert {path.name for path in (tmp_path / "out").iterdir()} == truth.keys()
    for file, mask in truth.items():
        np.testing.assert_array_equal(read_image(tmp_path / "out" / file).data, mask)
    (folder / "case_001_core.nii.gz").unlink()
    (folder / "case_002_core.nii.gz").unlink()
    (folder / "case_002_whole.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"2 of 3 cases have no segmentation here; .* holds these files") as error:
        predict_cases(predictor, asked(cases, outputs), previous=folder)
    lines = str(error.value).splitlines()[1:]
    assert [Path(line.strip()).name for line in lines] == [
        "case_001_core.nii.gz",
        "case_002_whole.nii.gz",
        "case_002_core.nii.gz",
    ]
