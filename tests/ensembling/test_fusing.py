"""Learned fusions: who is right gets the say, by what is known of others than the case that is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.arrays import Float32Array, LabelArray
from autoseg.dataset import Exclusive
from autoseg.ensembling.fusing import Source, train_fusion
from autoseg.errors import ModelError
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.inference.fusion import Fusion, Voxels, fit
from autoseg.inference.fusion_record import load_fusion, load_used_fusion, save_fusion, source_names
from autoseg.inference.probabilities import Packer, save_probabilities
from autoseg.networks.activations import Sigmoid, Softmax
from autoseg.plans import Views
from autoseg.postprocessing.scoring import ValidationCase
from autoseg.training.trial import untouched

SHAPE = (6, 12, 12)
TARGET = Exclusive.numbered(3)
GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))
FOLDS = {"0": ("a", "b"), "1": ("c", "d"), "2": ("e", "f")}
VIEWS = Views(directions=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), span=9.0)


def truth_of(case: str) -> LabelArray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    shift = ord(case) % 3
    labels[1:4, 2 + shift : 6 + shift, 1:5] = 1
    labels[2:5, 3 + shift : 8 + shift, 6:9] = 2
    return labels


def sure_of(labels: LabelArray, sureness: float = 0.8) -> Float32Array:
    """Probabilities `(3, Z, Y, X)` of a source that believes in labels."""
    said = np.full((3, *SHAPE), (1 - sureness) / 2, dtype=np.float32)
    for label in range(3):
        said[label][labels == label] = sureness
    return said


def write_probabilities(path: Path, said: Float32Array) -> None:
    properties = untouched("case", SHAPE, GEOMETRY)
    packer = Packer(properties, TARGET)
    for plane in said.swapaxes(0, 1):
        packer.add_array(np.ascontiguousarray(plane))
    save_probabilities(path, packer.finish())


def source(name: str, folder: Path, believes: Callable[[str], LabelArray]) -> Source:
    cases = []
    for fold, names in FOLDS.items():
        for case in names:
            reference = folder.parent / "references" / f"{case}.nii.gz"
            prediction = folder / f"fold_{fold}" / f"{case}.nii.gz"
            for path, labels in ((reference, truth_of(case)), (prediction, believes(case))):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, labels, GEOMETRY)
            write_probabilities(prediction.with_name(f"{case}.npz"), sure_of(believes(case)))
            cases.append(
                ValidationCase(
                    identifier=case,
                    fold=fold,
                    patient=case,
                    predictions=(prediction,),
                    references=((reference,),),
                )
            )
    return Source(name=name, cases=tuple(cases))


def mirrored(case: str) -> LabelArray:
    return np.ascontiguousarray(truth_of(case)[:, ::-1])


def voxels(believed: Sequence[LabelArray], truth: LabelArray) -> Voxels:
    said = np.stack([sure_of(labels).reshape(3, -1).T for labels in believed], axis=1)
    return Voxels(said, truth.reshape(-1).astype(np.float32))


class TestFit:
    def test_the_good_view_is_found_and_the_mirrored_one_silenced(self) -> None:
        truth = truth_of("a")
        found = fit(voxels([truth, mirrored("a")], truth), ["good", "mirrored"], Softmax())
        good, bad = np.array(found.weights)

        assert (good > 3 * bad).all() and (good > 5).all()
        fused = found.of_sum(
            np.einsum("skzyx,sk->kzyx", np.stack([sure_of(truth), sure_of(mirrored("a"))]), found.weights).astype(
                np.float32
            ),
            Softmax(),
        )
        assert np.array_equal(fused.argmax(axis=0), truth)
        assert np.allclose(fused.sum(axis=0), 1, atol=1e-5)

    def test_each_output_has_weights_of_its_own(self) -> None:
        """One source knows label 1, the other label 2; where they differ, each is believed in what it knows."""
        truth = truth_of("a")
        one, two = np.where(truth == 1, 1, 0).astype(np.uint8), np.where(truth == 2, 2, 0).astype(np.uint8)
        found = fit(voxels([one, two], truth), ["one", "two"], Softmax())
        first, second = np.array(found.weights)

        assert first[1] > 2 * second[1] and second[2] > 2 * first[2]

    def test_the_optimum_is_one_wherever_it_is_sought_from(self) -> None:
        """Sources in another order have the same weights."""
        random = np.random.default_rng(0)
        truth = truth_of("b")
        noisy = [np.where(random.random(SHAPE) < 0.3, 0, truth).astype(np.uint8) for _ in range(3)]
        found = fit(voxels(noisy, truth), ["x", "y", "z"], Softmax())
        turned = fit(voxels(noisy[::-1], truth), ["z", "y", "x"], Softmax())

        said = np.stack([sure_of(labels) for labels in noisy])
        one, other = (
            fusion.of_sum(np.einsum("skzyx,sk->kzyx", order, fusion.weights).astype(np.float32), Softmax())
            for fusion, order in ((found, said), (turned, said[::-1]))
        )
        assert np.abs(one - other).mean() < 0.005

    def test_masks_are_fused_too(self) -> None:
        random = np.random.default_rng(1)
        truth = (random.random((500, 2)) < 0.4).astype(np.float32)
        said = np.stack([truth * 0.6 + 0.2, random.random((500, 2))], axis=1).astype(np.float32)
        found = fit(Voxels(said, truth), ["good", "noise"], Sigmoid())

        assert min(found.weights[0]) > 10 * max(found.weights[1])
        assert max(found.bias) < 0

    def test_without_voxels_there_is_nothing_to_fit(self) -> None:
        empty = Voxels(np.zeros((0, 2, 3), np.float32), np.zeros(0, np.float32))
        with pytest.raises(ModelError, match="fitted to voxels that somebody labelled, and there are none"):
            fit(empty, ["a", "b"], Softmax())


class TestTraining:
    def test_the_good_view_wins_over_the_mean(self, tmp_path: Path) -> None:
        sources = [source("good", tmp_path / "good", truth_of), source("mirrored", tmp_path / "bad", mirrored)]
        found = train_fusion(sources, TARGET, tmp_path / "fusion", workers=1)

        dice = found.record.dice
        assert found.record.used and found.record.cases == 6 and found.record.folds == ("0", "1", "2")
        assert min(one or 0 for one in dice["fused"]) == 1.0
        assert max(one or 0 for one in dice["mean"]) < 0.95
        assert found.record.outputs == ("label 1", "label 2")
        for case in found.cases:
            assert case.predictions[0].parent.parent == tmp_path / "fusion" / "fused"
            assert np.array_equal(read_image(case.predictions[0]).data, truth_of(case.identifier))

    def test_what_a_network_knows_by_heart_gets_no_say_in_its_own_score(self, tmp_path: Path) -> None:
        """A source that knows the cases of fold 0 by heart, and nothing else, is not believed there."""

        def by_heart(case: str) -> LabelArray:
            return truth_of(case) if case in FOLDS["0"] else mirrored(case)

        def fair(case: str) -> LabelArray:
            labels = truth_of(case)
            labels[1] = 0
            return labels

        sources = [source("fair", tmp_path / "fair", fair), source("by heart", tmp_path / "heart", by_heart)]
        found = train_fusion(sources, TARGET, tmp_path / "fusion", workers=1)

        judged = {case.identifier: read_image(case.predictions[0]).data for case in found.cases}
        for case in FOLDS["0"]:
            assert np.array_equal(judged[case], fair(case)), "weights of fold 0 come from folds 1 and 2"

    def test_of_one_fold_alone_patients_are_judged_by_weights_of_others(self, tmp_path: Path) -> None:
        """A source that knows one of the two patients by heart is not believed there."""

        def by_heart(case: str) -> LabelArray:
            return truth_of(case) if case == "a" else mirrored(case)

        sources = [source("good", tmp_path / "good", truth_of), source("by heart", tmp_path / "heart", by_heart)]
        alone = [replace(one, cases=one.cases[:2]) for one in sources]
        found = train_fusion(alone, TARGET, tmp_path / "fusion", workers=1)

        judged = {case.identifier: read_image(case.predictions[0]).data for case in found.cases}
        assert found.record.folds == ("0",) and judged.keys() == {"a", "b"}
        assert np.array_equal(judged["a"], truth_of("a")), "by weights of b, where the good one alone is right"
        assert not np.array_equal(judged["b"], truth_of("b")), "by weights of a, where both are right"

    def test_what_is_fused_can_be_a_source_again(self, tmp_path: Path) -> None:
        sources = [source("good", tmp_path / "good", truth_of), source("mirrored", tmp_path / "bad", mirrored)]
        found = train_fusion(sources, TARGET, tmp_path / "fusion", workers=1)
        again = train_fusion(
            [Source(name="fused", cases=found.cases), sources[1]], TARGET, tmp_path / "twice", workers=1
        )

        assert again.record.dice["fused"] == (1.0, 1.0)

    def test_a_fusion_that_does_not_hold_up_is_not_used(self, tmp_path: Path) -> None:
        sources = [source("one", tmp_path / "one", truth_of), source("same", tmp_path / "same", truth_of)]
        record = train_fusion(sources, TARGET, tmp_path / "fusion", workers=1).record

        assert not record.used, "it is no better than the mean"

    def test_what_is_needed(self, tmp_path: Path) -> None:
        one, two = source("one", tmp_path / "one", truth_of), source("two", tmp_path / "two", mirrored)
        case = replace(two, cases=two.cases[:1])
        with pytest.raises(ModelError, match="needs two sources or more, found 1 source"):
            train_fusion([one], TARGET, tmp_path / "fusion", workers=1)
        with pytest.raises(ModelError, match="judged on others, found 1 patient; train and validate more folds"):
            train_fusion([one, case], TARGET, tmp_path / "fusion", workers=1)
        with pytest.raises(ModelError, match="no case was predicted by all sources in the same fold"):
            train_fusion([one, replace(two, cases=())], TARGET, tmp_path / "fusion", workers=1)


class TestRecord:
    def fusion(self) -> Fusion:
        return Fusion(sources=source_names(VIEWS), weights=((1.0, 2.0, 0.0), (1.0, 0.5, 0.0)), bias=(0.0, -1.0, 0.5))

    def test_shares_of_each_output_add_up_to_one(self) -> None:
        assert self.fusion().shares.numpy() == pytest.approx(np.array([[0.5, 0.8, 0.5], [0.5, 0.2, 0.5]]))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"bias": (0.0,)}, r"a weight for each of its sources \(2\) and outputs \(1\)"),
            ({"weights": ((1.0, 2.0, -1.0), (1.0, 1.0, 1.0))}, "weights of a fusion must be from 0 to 1000"),
            ({"bias": (0.0, 1e9, 0.0)}, "biases of a fusion must be at most 1000, above or below 0"),
        ],
    )
    def test_what_cannot_be(self, change: dict[str, tuple[float, ...]], said: str) -> None:
        with pytest.raises(ModelError, match=said):
            replace(self.fusion(), **change)

    def test_comes_back_and_fits_its_model_only(self, tmp_path: Path) -> None:
        sources = [source("good", tmp_path / "good", truth_of), source("mirrored", tmp_path / "bad", mirrored)]
        record = replace(
            train_fusion(sources, TARGET, tmp_path / "fusion", workers=1).record, fusion=self.fusion(), used=True
        )
        path = tmp_path / "fusion.json"
        save_fusion(record, path)

        assert load_fusion(path) == record
        assert load_used_fusion(path, VIEWS, TARGET, dict) == record.fusion
        assert load_used_fusion(tmp_path / "none.json", VIEWS, TARGET, dict) is None
        for views, target in (
            (replace(VIEWS, directions=VIEWS.directions[:1]), TARGET),
            (VIEWS, Exclusive.numbered(4)),
        ):
            with pytest.raises(ModelError, match=r"fusion\.json: fitted to other views or outputs than the model has"):
                load_used_fusion(path, views, target, dict)
        save_fusion(replace(record, used=False), path)
        assert load_used_fusion(path, VIEWS, TARGET, dict) is None

    @pytest.mark.parametrize(
        ("now", "used"),
        [({"0": "a", "1": "b"}, True), ({"1": "b"}, True), ({"2": "c"}, True), ({"0": "a", "1": "c"}, False)],
        ids=["the same", "one of them", "one more", "trained anew"],
    )
    def test_of_networks_that_were_trained_anew_is_left_out(
        self, now: dict[str, str], used: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        sources = [source("good", tmp_path / "good", truth_of), source("mirrored", tmp_path / "bad", mirrored)]
        record = train_fusion(sources, TARGET, tmp_path / "fusion", workers=1).record
        path = tmp_path / "fusion.json"
        save_fusion(replace(record, fusion=self.fusion(), networks={"0": "a", "1": "b"}), path)

        assert (load_used_fusion(path, VIEWS, TARGET, lambda: now) is not None) == used
        said = "fusion.json: not used, as it was fitted to other networks of fold 1 than those that are there; run autoseg_"
        assert (said in caplog.text) != used
