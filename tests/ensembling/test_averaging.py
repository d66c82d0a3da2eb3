"""Averaging compact probabilities: voxel by voxel on the original grid, within tolerance of full precision, bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autoseg.dataset import Exclusive, Masks, Regions, Target
from autoseg.ensembling import averaging
from autoseg.ensembling.averaging import EnsembleJob, average, ensemble_case, ensemble_folders
from autoseg.errors import CasesFailed, ModelError
from autoseg.geometry import Box, Geometry, box_shape, box_slices, reorder
from autoseg.images import read_image
from autoseg.inference.probabilities import (
    PackedProbabilities,
    Packer,
    load_packed,
    load_probabilities,
    save_probabilities,
)
from autoseg.postprocessing.rules import Rule
from autoseg.preprocessing.prepare import CaseProperties

GEOMETRY = Geometry(spacing=(3.0, 0.5, 0.7), origin=(1.0, -2.0, 3.5), direction=(0, 1, 0, 1, 0, 0, 0, 0, -1))


def pack(
    probabilities: np.ndarray, crop: Box, order: tuple[int, ...] = (0, 1, 2), target: Target | None = None
) -> PackedProbabilities:
    """Pack `(C, Z, Y, X)` probabilities of the whole image, of which `crop` is kept, plane by plane along `order`."""
    shape = reorder(box_shape(crop), order)
    properties = CaseProperties(
        identifier="case",
        geometry=GEOMETRY,
        original_shape=probabilities.shape[1:],
        crop=crop,
        transpose_forward=order,
        cropped_shape=shape,
        spacing=reorder(GEOMETRY.spacing, order),
        prepared_spacing=reorder(GEOMETRY.spacing, order),
        prepared_shape=shape,
    )
    packer = Packer(properties, target or Exclusive.numbered(len(probabilities)))
    cropped = probabilities[(slice(None), *box_slices(crop))].transpose(0, *(1 + axis for axis in order))
    for plane in cropped.swapaxes(0, 1):
        packer.add_array(np.ascontiguousarray(plane, dtype=np.float32))
    return packer.finish()


def whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, side) for side in shape)


def smooth_member(shape: tuple[int, ...], classes: int, seed: int) -> np.ndarray:
    """Softmax of smooth random fields, float32."""
    generator = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(generator.standard_normal(shape), 2) for _ in range(classes)]
    scores = np.stack(fields) / np.std(fields) * 4
    exponentials = np.exp(scores - scores.max(axis=0))
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def outside_certain(probabilities: np.ndarray, crop: Box) -> np.ndarray:
    """The same with certain background outside the crop, as a model that never saw the rest has it."""
    dense = np.zeros_like(probabilities)
    dense[0] = 1
    inside = (slice(None), *box_slices(crop))
    dense[inside] = probabilities[inside]
    return dense


def test_labels_of_an_ensemble_of_compact_files_differ_in_fewer_than_one_voxel_of_100_000(tmp_path: Path) -> None:
    different = voxels = 0
    for seed in range(3):
        members = [smooth_member((64, 60, 56), 4, 10 * seed + number) for number in range(2)]
        for number, member in enumerate(members):
            save_probabilities(tmp_path / f"model_{number}" / "case.npz", pack(member, whole(member.shape[1:])))

        (written,) = ensemble_folders([tmp_path / "model_0", tmp_path / "model_1"], tmp_path / "out", workers=1)

        different += int((read_image(written).data != (members[0] + members[1]).argmax(axis=0)).sum())
        voxels += members[0][0].size
    assert different / voxels < 1e-5


def test_models_that_cropped_and_transposed_differently_meet_voxel_by_voxel() -> None:
    """Cropping by one and not by the other must not shift anything (defect 1 of the reference)."""
    shape = (11, 13, 12)
    crops = [((2, 9), (3, 13), (1, 10)), whole(shape), ((0, 6), (0, 8), (4, 12))]
    dense = [outside_certain(smooth_member(shape, 3, seed), crop) for seed, crop in enumerate(crops)]
    expected = sum(dense).argmax(axis=0)
    for orders in [((0, 1, 2),) * 3, ((1, 0, 2), (0, 1, 2), (2, 0, 1)), ((2, 1, 0), (1, 2, 0), (1, 2, 0))]:
        members = [pack(one, crop, order) for one, crop, order in zip(dense, crops, orders, strict=True)]

        np.testing.assert_array_equal(average(members), expected)


@pytest.mark.parametrize("slab_bytes", [1, 2500, 2**30])
def test_slabs_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch, slab_bytes: int) -> None:
    monkeypatch.setattr(averaging, "SLAB_BYTES", slab_bytes)
    shape = (9, 8, 10)
    dense = [smooth_member(shape, 3, seed) for seed in range(2)]

    labels = average([pack(dense[0], whole(shape), (1, 0, 2)), pack(dense[1], whole(shape))])

    np.testing.assert_array_equal(labels, (dense[0] + dense[1]).argmax(axis=0))


def test_no_more_than_a_slab_is_unpacked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    planes, classes = (16, 18), 5
    monkeypatch.setattr(averaging, "SLAB_BYTES", 4 * classes * 3 * planes[0] * planes[1])
    dense = smooth_member((10, *planes), classes, 0)
    sizes = []
    decide = Exclusive.decide
    monkeypatch.setattr(
        Exclusive, "decide", lambda self, total, **of: sizes.append(total.nbytes) or decide(self, total, **of)
    )

    average([pack(dense, whole(dense.shape[1:]))])

    assert sizes == [4 * classes * thickness * 16 * 18 for thickness in (3, 3, 3, 1)]


def test_only_where_a_model_is_uncertain_anything_is_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = np.zeros((3, 8, 9, 10), np.float32)
    dense[0] = 1
    one, other = dense.copy(), dense.copy()
    one[:, 2:4, 5, 6:8] = np.array([0.2, 0.8, 0], np.float32)[:, None, None]
    other[:, 3, 4:7, 6] = np.array([0.4, 0, 0.6], np.float32)[:, None]
    shapes = []
    decide = Exclusive.decide
    monkeypatch.setattr(
        Exclusive, "decide", lambda self, total, **of: shapes.append(total.shape) or decide(self, total, **of)
    )

    labels = average([pack(one, whole(dense.shape[1:])), pack(other, ((1, 8), (2, 9), (3, 10)))])

    assert shapes == [(3, 2, 3, 2)]
    np.testing.assert_array_equal(labels, (one + other).argmax(axis=0))
    assert not average([pack(dense, whole(dense.shape[1:]))] * 2).any()


def test_of_equally_probable_labels_the_lowest_wins() -> None:
    one = np.zeros((3, 1, 1, 2), np.float32)
    one[:, 0, 0, 0], one[:, 0, 0, 1] = (0, 1, 0), (0, 0.25, 0.75)
    other = one[[0, 2, 1]]

    assert average([pack(one, whole((1, 1, 2))), pack(other, whole((1, 1, 2)))]).tolist() == [[[1, 1]]]


def test_more_than_255_labels_are_kept_apart() -> None:
    dense = np.zeros((300, 1, 2, 2), np.float32)
    dense[[0, 1, 255, 299], 0, [0, 0, 1, 1], [0, 1, 0, 1]] = 1

    labels = average([pack(dense, whole((1, 2, 2)))])

    assert labels.tolist() == [[[0, 1], [255, 299]]]
    assert labels.dtype == np.uint16
    assert average([pack(dense[:256], whole((1, 2, 2)))]).dtype == np.uint8


REGIONS = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_regions_hold_where_the_mean_is_above_one_half(tmp_path: Path, number: int) -> None:
    """Not where the sum is, which grows with the number of models."""
    shape = (9, 8, 10)
    crops: list[Box] = [((1, 9), (0, 8), (2, 9)), whole(shape), ((0, 6), (1, 8), (0, 10))]
    orders = ((1, 0, 2), (0, 1, 2), (2, 0, 1))
    dense = []
    for seed, crop in enumerate(crops[:number]):
        generator, one = np.random.default_rng(seed), np.zeros((2, *shape), np.float32)
        inside = (slice(None), *box_slices(crop))
        one[inside] = generator.uniform(size=one[inside].shape)
        dense.append(one)
        save_probabilities(tmp_path / str(seed) / "case.npz", pack(one, crop, orders[seed], REGIONS))

    folders = [tmp_path / str(seed) for seed in range(number)]
    (written,) = ensemble_folders(folders, tmp_path / "out", probabilities=True, workers=1)

    mean = np.mean(dense, axis=0)
    clear = (np.abs(mean - 0.5) > 1e-5).all(axis=0)
    expected = np.where(mean[1] > 0.5, 2, np.where(mean[0] > 0.5, 1, 0))
    assert clear.mean() > 0.99 and len(np.unique(expected)) == 3
    np.testing.assert_array_equal(read_image(written).data[clear], expected[clear])
    np.testing.assert_allclose(load_probabilities(tmp_path / "out" / "case.npz"), mean, atol=1e-5)
    assert load_packed(tmp_path / "out" / "case.npz").target == REGIONS


def test_masks_of_several_models_meet_voxel_by_voxel() -> None:
    shape, masks = (9, 8, 10), Masks(names=("axon", "myelin"))
    dense = [np.random.default_rng(seed).uniform(size=(2, *shape)).astype(np.float32) for seed in range(2)]

    found = average([pack(dense[0], whole(shape), (1, 2, 0), masks), pack(dense[1], whole(shape), target=masks)])

    clear = np.abs(dense[0] + dense[1] - 1) > 1e-5
    assert found.shape == (2, *shape) and clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], (dense[0] + dense[1] > 1)[clear])


def test_probabilities_of_other_regions_or_of_labels_are_not_averaged(tmp_path: Path) -> None:
    dense = np.full((2, 3, 3, 3), 0.5, np.float32)
    others = [Exclusive.numbered(2), Regions(names=("whole", "core"), members=((1, 2), (1,)), order=(2, 1))]
    save_probabilities(tmp_path / "one" / "a.npz", pack(dense, whole((3, 3, 3)), target=REGIONS))
    for other, told in zip(others, (r"label 1 \(1\)", r"whole \(1, 2\), core \(1\)"), strict=True):
        save_probabilities(tmp_path / "two" / "a.npz", pack(dense, whole((3, 3, 3)), target=other))

        with pytest.raises(
            CasesFailed,
            match=rf"holds probabilities of whole \(1, 2\), core \(2\), .*a\.npz of {told}; only models of the same labels",
        ):
            ensemble_folders([tmp_path / "one", tmp_path / "two"], tmp_path / "out", workers=1)


def write_members(folder: Path, names: tuple[str, ...] = ("a", "b")) -> list[Path]:
    """Two folders with the same cases: half-transparent objects and, in the first model only, an island."""
    shape = (6, 8, 8)
    for number, model in enumerate(("one", "two")):
        for case in names:
            dense = np.zeros((2, *shape), np.float32)
            dense[1, 1:4, 1:5, 1:5] = 0.6
            dense[1, 5, 7, 7] = 1.0 - 0.5 * number
            dense[1, 5, 0, 0] = 0.7 - 0.6 * number
            dense[0] = 1 - dense[1]
            save_probabilities(folder / model / f"{case}.npz", pack(dense, whole(shape), (1, 0, 2)))
    return [folder / "one", folder / "two"]


def test_labels_lie_on_the_grid_of_the_image_and_rules_are_applied(tmp_path: Path) -> None:
    folders = write_members(tmp_path)
    expected = np.zeros((6, 8, 8), np.uint8)
    expected[1:4, 1:5, 1:5] = 1

    written = ensemble_folders(folders, tmp_path / "ruled", rules=[Rule(kind="keep_largest", labels=(1,))], workers=1)
    plain = ensemble_folders(folders, tmp_path / "plain", workers=1)

    assert [path.name for path in written] == ["a.nii.gz", "b.nii.gz"]
    np.testing.assert_array_equal(read_image(written[0]).data, expected)
    expected[5, 7, 7] = 1
    np.testing.assert_array_equal(read_image(plain[0]).data, expected)
    assert read_image(plain[0]).geometry.differences(GEOMETRY) == ()
    assert not (tmp_path / "plain" / "a.npz").exists()


def test_merged_probabilities_are_the_mean(tmp_path: Path) -> None:
    folders = write_members(tmp_path)

    ensemble_folders(folders, tmp_path / "out", probabilities=True, workers=1)

    mean = sum(load_probabilities(folder / "a.npz") for folder in folders) / 2
    np.testing.assert_allclose(load_probabilities(tmp_path / "out" / "a.npz"), mean, atol=4e-6)


def test_merged_certainty_is_kept_too(tmp_path: Path) -> None:
    dense = np.zeros((2, 3, 3, 3), np.float32)
    dense[0] = 1
    for model in ("one", "two"):
        save_probabilities(tmp_path / model / "a.npz", pack(dense, whole((3, 3, 3))))

    ensemble_folders([tmp_path / "one", tmp_path / "two"], tmp_path / "out", probabilities=True, workers=1)

    np.testing.assert_array_equal(load_probabilities(tmp_path / "out" / "a.npz"), dense)


def test_folders_with_different_cases_are_refused(tmp_path: Path) -> None:
    one, two = write_members(tmp_path)
    (two / "b.npz").rename(two / "c.npz")

    with pytest.raises(ModelError) as error:
        ensemble_folders([one, two], tmp_path / "out", workers=1)

    assert f"not in {one}: c\n" in str(error.value)
    assert f"not in {two}: b\n" in str(error.value)
    with pytest.raises(ModelError, match=r"no such folder; name folders that `predict\(save_npz=True\)` has written"):
        ensemble_folders([one, tmp_path / "none"], tmp_path / "out", workers=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no probabilities \(<case>\.npz\) here; predict with `save_npz`"):
        ensemble_folders([tmp_path / "empty"], tmp_path / "out", workers=1)


def test_members_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    one, two = write_members(tmp_path, ("a",))
    members = (one / "a.npz", two / "a.npz")
    job = EnsembleJob(identifier="a", members=members, output=tmp_path / "a.nii.gz", model="0", inputs=str)

    save_probabilities(two / "a.npz", pack(smooth_member((6, 8, 8), 3, 0), whole((6, 8, 8))))
    with pytest.raises(ModelError, match=r"a\.npz holds probabilities of 2 classes, .*a\.npz of 3; only models of the"):
        ensemble_case(job)
    save_probabilities(two / "a.npz", pack(smooth_member((6, 8, 9), 2, 0), whole((6, 8, 9))))
    with pytest.raises(ModelError, match=r"different grids: shape \(6, 8, 8\) and \(6, 8, 9\); they were predicted"):
        ensemble_case(job)
    assert not job.output.exists()


def test_only_what_was_made_from_the_same_is_left_alone(tmp_path: Path) -> None:
    one, two = write_members(tmp_path)
    out = tmp_path / "out"

    def remade(*rules: Rule, probabilities: bool = False) -> list[str]:
        before = {path.name: path.stat().st_mtime_ns for path in out.glob("*")}
        ensemble_folders([one, two], out, rules=rules, probabilities=probabilities, workers=1)
        return sorted(path.name for path in out.iterdir() if path.stat().st_mtime_ns != before.get(path.name))

    assert remade() == ["a.nii.gz", "b.nii.gz"]
    assert remade() == []
    save_probabilities(two / "b.npz", load_packed(one / "a.npz"))
    assert remade() == ["b.nii.gz"]
    np.testing.assert_array_equal(
        read_image(out / "b.nii.gz").data, average([load_packed(folder / "b.npz") for folder in (one, two)])
    )
    (out / "a.nii.gz").write_bytes((out / "a.nii.gz").read_bytes()[:-9])
    assert remade() == ["a.nii.gz"]
    assert remade(probabilities=True) == ["a.nii.gz", "a.npz", "b.nii.gz", "b.npz"]
    assert remade(Rule(kind="keep_largest", labels=(1,))) == ["a.nii.gz", "b.nii.gz"]
    assert not list(out.glob("*.npz")), "they would be those of other labels"


def test_a_damaged_case_is_named_and_the_others_are_finished(tmp_path: Path) -> None:
    one, two = write_members(tmp_path)
    with np.load(two / "a.npz") as arrays:
        content = dict(arrays)
    content["content"] = content["content"][::-1]
    np.savez(two / "a.npz", **content)

    with pytest.raises(
        CasesFailed, match=r"a: one of .*one/a\.npz, .*two/a\.npz is damaged: .*; predict this case again"
    ):
        ensemble_folders([one, two], tmp_path / "out", workers=1)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.nii.gz"]
