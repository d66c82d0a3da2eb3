"""Every loss by name against what pytorch-3dunet, MedicalZoo and ivadomed compute, and against values by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.catalogue import meanings
from autoseg.errors import TrainingError
from autoseg.networks.activations import SIGMOID, SOFTMAX, Scoring
from autoseg.training.boundary_loss import signed_distances
from autoseg.training.losses import LOSSES, DeepSupervision, Sum
from autoseg.training.overlap_losses import overlap_per_class

REFERENCE = json.loads((Path(__file__).parent / "reference_losses.json").read_text())
CLOSE = {"rel": 1e-5, "abs": 1e-6}


class AsItIs:
    """An activation of numbers that are probabilities already; shares are what they should be."""

    scored = slice(None)

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits.log().clamp(min=-100), (1 - logits).log().clamp(min=-100)  # as torch's binary cross-entropy

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        return labels.to(zeros.dtype)


def loss(name: str, activation: Any = SOFTMAX, *, per_batch: bool = True, **settings: Any) -> nn.Module:
    built: nn.Module = LOSSES.build(LOSSES.part(name, **settings), activation=activation, per_batch=per_batch)
    return built


def counted(shape: list[int]) -> np.ndarray:
    return np.arange(math.prod(shape))


# ------------------------------------------------------------------------------------------ pytorch-3dunet

PYTORCH = REFERENCE["pytorch_3dunet"]
SHAPE = (2, 3, 2, 3, 4)
LOGITS = torch.from_numpy(((7 * counted([*SHAPE]) % 11 - 5) / 4).reshape(SHAPE)).float()
PLACES = counted([2, 2, 3, 4])
LABELS = torch.from_numpy(((PLACES**2 + PLACES // 2) % 3).reshape(2, 2, 3, 4))
MASKS = torch.from_numpy((5 * counted([*SHAPE]) % 7 < 3).reshape(SHAPE)).float()


@pytest.mark.parametrize(
    ("key", "name", "settings", "activation", "labels"),
    [
        ("ce", "cross_entropy", {}, SOFTMAX, LABELS),
        (
            "ce_weight_0.3_0.3_0.4",
            "weighted_cross_entropy",
            {"weighting": "given", "output_weights": (0.3, 0.3, 0.4)},
            SOFTMAX,
            LABELS,
        ),
        ("wce", "weighted_cross_entropy", {"weighting": "prediction"}, SOFTMAX, LABELS),
        ("bce", "binary_cross_entropy", {}, SIGMOID, MASKS),
        ("bce", "cross_entropy", {}, SIGMOID, MASKS),
        ("gdl_sigmoid", "generalised_dice", {"background": False}, SIGMOID, MASKS),
        ("gdl_softmax_onehot", "generalised_dice", {}, SOFTMAX, LABELS),
        ("dice_squared_sigmoid", "squared_dice", {}, SIGMOID, MASKS),
    ],
)
def test_it_is_what_pytorch_3dunet_computes(
    key: str, name: str, settings: dict[str, Any], activation: Scoring, labels: Tensor
) -> None:
    assert loss(name, activation, **settings)(LOGITS, labels).item() == pytest.approx(PYTORCH[key], **CLOSE)


def test_parts_of_it_are_what_pytorch_3dunet_computes() -> None:
    squared = loss("squared_dice", SIGMOID)
    weights = loss("weighted_cross_entropy", weighting="prediction").weights(LOGITS, torch.zeros_like(LOGITS))
    both = Sum(loss("binary_cross_entropy", SIGMOID), squared)
    alone = loss("generalised_dice", SIGMOID)(LOGITS[:, :1], MASKS[:, :1])
    sure = loss("generalised_dice", SIGMOID, background=False)(40 * MASKS - 20, MASKS)

    assert squared.per_output(LOGITS, MASKS).tolist() == pytest.approx(PYTORCH["dice_per_channel_sigmoid"], **CLOSE)
    assert weights.tolist() == pytest.approx(PYTORCH["wce_class_weights"], **CLOSE)
    assert both(LOGITS, MASKS).item() == pytest.approx(PYTORCH["bce_dice_alpha_1"], **CLOSE)
    assert alone.item() == pytest.approx(PYTORCH["gdl_sigmoid_one_channel"], **CLOSE)
    assert sure.item() == pytest.approx(PYTORCH["gdl_perfect_logits_20"], abs=1e-6)


SAY_HOW_WELL = {
    "dice", "squared_dice", "generalised_dice", "tversky", "focal_tversky", "focal_dice", "exponential_logarithmic"
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES.entries)
@pytest.mark.parametrize("per_batch", [True, False])
def test_every_loss_of_an_overlap_says_it_of_each_scored_output(name: str, per_batch: bool) -> None:
    """Minus the mean of what the plain ones say is the loss itself, which holds the values."""
    made = Sum(loss("cross_entropy"), loss(name, per_batch=per_batch))
    value = made(LOGITS, LABELS).item() - loss("cross_entropy")(LOGITS, LABELS).item()
    said = overlap_per_class(made, range(3)[SOFTMAX.scored])

    assert (said is not None) == (name in SAY_HOW_WELL)
    if said is not None:
        assert said.shape == (2,) and not said.requires_grad and (said > 0).all() and (said < 1).all()
        expected = {"dice": -value, "tversky": -value, "squared_dice": 1 - value}.get(name)
        assert expected is None or said.mean().item() == pytest.approx(expected, abs=1e-5)


def test_what_is_said_of_each_output_is_what_pytorch_3dunet_computes() -> None:
    made = loss("squared_dice", SIGMOID)
    made(LOGITS, MASKS)
    said = overlap_per_class(made, range(3))

    assert said is not None and said.tolist() == pytest.approx(PYTORCH["dice_per_channel_sigmoid"], **CLOSE)


def test_of_outputs_that_a_loss_leaves_out_nothing_is_said() -> None:
    made, whole = loss("tversky", outputs=(2,)), loss("tversky")
    for one in (made, whole):
        one(LOGITS, LABELS)

    first, second = overlap_per_class(made, (1, 2))  # type: ignore[misc]
    assert math.isnan(first) and second.item() == overlap_per_class(whole, (1, 2))[1].item()  # type: ignore[index]


def test_what_is_said_is_of_the_finest_answer() -> None:
    made = DeepSupervision(loss("dice"))
    coarse = torch.zeros(2, 3, 1, 1, 2), torch.zeros(2, 3, 1, 1, 1)
    made(
        [LOGITS, *coarse],
        [LABELS, torch.zeros(2, 1, 1, 2, dtype=torch.long), torch.zeros(2, 1, 1, 1, dtype=torch.long)],
    )
    alone = loss("dice")
    alone(LOGITS, LABELS)

    assert torch.equal(overlap_per_class(made, (1, 2)), overlap_per_class(alone, (1, 2)))  # type: ignore[arg-type]


def test_weights_of_the_dice_are_those_of_a_mean() -> None:
    """Theirs multiply the intersection, so that a score can be above 1: 0.3337364 for these."""
    scores = PYTORCH["dice_per_channel_sigmoid"]
    expected = 1 - (0.5 * scores[0] + scores[1] + 2 * scores[2]) / 3.5

    assert PYTORCH["dice_weighted_0.5_1_2"] == pytest.approx(1 - (0.5 * scores[0] + scores[1] + 2 * scores[2]) / 3)
    found = loss("squared_dice", SIGMOID, output_weights=(0.5, 1.0, 2.0))(LOGITS, MASKS)
    assert found.item() == pytest.approx(expected, **CLOSE)


# ---------------------------------------------------------------------------------------------- MedicalZoo

ZOO = REFERENCE["medicalzoo"]


def zoo_tensors(name: str) -> tuple[Tensor, Tensor]:
    parts = ZOO["tensors"][name]
    rule, shape = parts["labels"]["formula"], parts["labels"]["shape"]
    labels = torch.from_numpy(((rule["a"] * counted(shape) + rule["b"]) % rule["m"] // rule["div"]).reshape(shape))
    shape, rule = parts["logits"]["shape"], parts["logits"]["formula"]
    if isinstance(rule, str):  # 10 in the channel of the label, -10 elsewhere
        return 20.0 * torch.nn.functional.one_hot(labels, shape[1]).movedim(-1, 1) - 10, labels
    logits = (((rule["a"] * counted(shape) + rule["b"]) % rule["m"]) - rule["off"]) / rule["div"]
    return torch.from_numpy(logits.reshape(shape)).float(), labels


ABSENT = "generalised Dice of an absent class weighs 1e6 there, and as much as the rarest present one here"


@pytest.mark.parametrize("row", ZOO["values"], ids=lambda row: f"{row['tensors']}-{row['loss']}")
def test_it_is_what_medicalzoo_computes(row: dict[str, Any]) -> None:
    logits, labels = zoo_tensors(row["tensors"])
    everything = tuple(range(logits.shape[1]))
    activation = SOFTMAX if row.get("normalisation") == "softmax" else SIGMOID
    expected, scores = row.get("right", row["value"]), row.get("right_per_class", row.get("per_class"))
    if row["loss"] == "DiceLoss":
        found = loss("squared_dice", activation, outputs=everything, output_weights=row.get("weight"))
        assert found.per_output(logits, labels).tolist() == pytest.approx(scores, **CLOSE)
    elif row["loss"] == "GeneralizedDiceLoss":
        found = loss("generalised_dice", activation, background=activation is SOFTMAX)
        if row["tensors"] == "class_absent":
            assert expected == pytest.approx(1, abs=1e-6), ABSENT
            assert 0.5 < found(logits, labels).item() < 0.9, ABSENT
            return
    elif row["loss"] == "BCEDiceLoss":
        found = Sum(loss("binary_cross_entropy", SIGMOID), loss("squared_dice", SIGMOID))
    else:
        found = loss("weighted_cross_entropy", weighting="prediction")

    assert found(logits, labels).item() == pytest.approx(expected, **CLOSE)


# ------------------------------------------------------------------------------------------------ ivadomed

THEIRS = REFERENCE["ivadomed"]


def their_tensor(shape: list[int], rule: dict[str, int]) -> Tensor:
    values = (rule["a"] * counted(shape) + rule["b"]) % rule["m"]
    return torch.from_numpy((values / rule["d"] if "d" in rule else 1.0 * (values < rule["lt"])).reshape(shape))


def our_value(row: dict[str, Any], found: Tensor, there: Tensor) -> float:
    """What ours gives, brought to the form of theirs, which sum where ours take means."""
    name, given, as_it_is = row["loss"], row["params"], AsItIs()
    if name in ("DiceLoss", "MultiClassDiceLoss"):
        smooth, outputs = given.get("smooth", 1.0), given.get("classes_of_interest")
        if name == "DiceLoss":  # batch and channels flattened together
            found, there = found.reshape(1, 1, -1), there.reshape(1, 1, -1)
        half = {"alpha": 0.5, "beta": 0.5, "smooth": smooth / 2}
        return loss("tversky", as_it_is, **half, outputs=outputs)(found, there).item()
    if name == "GeneralizedDiceLoss":
        made = loss("generalised_dice", as_it_is, per_batch=False, background=given["include_background"])
        return made(found, there).item() - 1
    if name == "FocalLoss":
        return loss("binary_focal", as_it_is, **given)(found, there).item() * found.numel()
    if name == "L2loss":
        return loss("squared", as_it_is)(found, there).item() * found.numel() / 2
    if name == "AdapWingLoss":
        return loss("adaptive_wing", as_it_is, **given)(found, there).item() * found.numel()
    names = {
        "FocalDiceLoss": "focal_dice",
        "TverskyLoss": "tversky",
        "FocalTverskyLoss": "focal_tversky",
        "BinaryCrossEntropyLoss": "binary_cross_entropy",
    }
    return loss(names[name], as_it_is, **given)(found, there).item()


@pytest.mark.parametrize("row", THEIRS["values"], ids=lambda row: f"{row['tensors']}-{row['loss']}")
def test_it_is_what_ivadomed_computes(row: dict[str, Any]) -> None:
    """Where theirs is wrong, what was derived to be right: an absent class must not outweigh all others."""
    tensors = THEIRS["tensors"][row["tensors"]]
    found, there = (their_tensor(tensors["shape"], tensors[key]) for key in ("prediction", "target"))
    if row["loss"] == "GeneralizedDiceLoss" and row["tensors"] == "absent_class" and "right" not in row:
        assert abs(row["value"]) < 1e-6
        return
    settings = dict(row["params"])
    value = our_value(row, found, there)

    assert value == pytest.approx(row.get("right", row["value"]), rel=1e-5, abs=1e-5 * abs(row["value"]) + 1e-6)
    if "intended_weighted" in row:
        weighted = loss("adaptive_wing", AsItIs(), weighted=True, **settings)(found, there).item() * found.numel()
        assert weighted == pytest.approx(row["intended_weighted"], rel=1e-5)


# -------------------------------------------------------------------------------------- by hand, and all of them

PROBABILITIES = torch.tensor([[[0.7, 0.2, 0.5], [0.2, 0.5, 0.25], [0.1, 0.3, 0.25]]])
TRUTH = torch.tensor([[0, 1, 2]])


def test_the_exponential_logarithmic_loss_by_hand() -> None:
    def dice(both: float, found: float) -> float:
        return (2 * both + 1) / (found + 1 + 1)

    outputs = [-math.log(dice(0.5, 0.95)), -math.log(dice(0.25, 0.65))]
    voxels = [math.sqrt(3) * (-math.log(share)) ** 0.3 for share in (0.7, 0.5, 0.25)]
    expected = 0.8 * sum(one**0.3 for one in outputs) / 2 + 0.2 * sum(voxels) / 3

    assert loss("exponential_logarithmic")(PROBABILITIES.log(), TRUTH).item() == pytest.approx(expected, rel=1e-5)


def test_rare_labels_weigh_as_much_as_common_ones() -> None:
    labels = torch.tensor([[0, 0, 2]])
    expected = ((-math.log(0.7) - math.log(0.2)) / 2 - math.log(0.25)) / 2

    assert loss("weighted_cross_entropy")(PROBABILITIES.log(), labels).item() == pytest.approx(expected, rel=1e-5)


def test_differences_and_entropies_are_weighted_by_output() -> None:
    apart = torch.tensor([[0.3, 0.2, 0.5], [0.2, 0.5, 0.25], [0.1, 0.3, 0.75]])
    logits = PROBABILITIES.log()

    assert loss("absolute")(logits, TRUTH).item() == pytest.approx(apart.mean().item(), rel=1e-5)
    weighted = loss("squared", output_weights=(0.0, 1.0, 3.0))(logits, TRUTH).item()
    assert weighted == pytest.approx(((apart[1] ** 2).mean() + 3 * (apart[2] ** 2).mean()).item() / 4, rel=1e-5)
    smooth = loss("smooth_absolute", border=0.4)(logits, TRUTH).item()
    expected = torch.where(apart < 0.4, apart**2 / 0.8, apart - 0.2).mean().item()
    assert smooth == pytest.approx(expected, rel=1e-5)
    positive = loss("binary_cross_entropy", positive_weights=(1.0, 2.0, 1.0))(logits, TRUTH).item()
    plain = loss("binary_cross_entropy")(logits, TRUTH).item()
    assert positive - plain == pytest.approx(-math.log(0.5) / 9, rel=1e-4)
    assert plain == pytest.approx(-(1 - apart).log().mean().item(), rel=1e-5)


def test_distances_are_below_zero_inside_and_from_zero_on_at_the_border() -> None:
    maps = torch.tensor([[[0, 0, 1, 1, 1, 0, 0, 0], [0] * 8, [1] * 8]]).float()

    found = signed_distances(maps)[0].tolist()

    assert found == [[2, 1, 0, -1, 0, 1, 2, 3], [0] * 8, [0] * 8]


def test_the_boundary_loss_by_hand() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 1]])
    found = torch.tensor([0.1, 0.6, 0.5, 0.8, 0.9])
    logits = torch.stack([1 - found, found])[None].log()

    # the last voxels lie one and two voxels behind the border
    assert loss("boundary")(logits, labels).item() == pytest.approx(
        (0.1 * 2 + 0.6 * 1 + 0 - 0.8 * 1 - 0.9 * 2) / 5, abs=1e-6
    )


@pytest.mark.parametrize("activation", [SOFTMAX, SIGMOID], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("name", LOSSES.entries)
def test_its_gradient_is_finite_and_leads_to_the_truth(name: str, activation: Scoring) -> None:
    """Also where an output is absent, and where scores are sure."""
    labels = LABELS.clamp(max=1)
    for factor in (1.0, 40.0):
        logits = (factor * LOGITS).requires_grad_()
        loss(name, activation)(logits, labels).backward()
        assert logits.grad is not None and logits.grad.isfinite().all()

    logits = LOGITS.clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)
    made = loss(name, activation)
    if name == "boundary":  # which says nothing of voxels on the border
        made = Sum(made, loss("cross_entropy", activation))
    for _ in range(80):
        optimiser.zero_grad()
        made(logits, labels).backward()
        optimiser.step()
    found = activation.probabilities(logits.detach())[:, 1]
    assert found[labels == 1].mean() > 0.9 and found[labels == 0].mean() < 0.15


@pytest.mark.parametrize("name", LOSSES.entries)
def test_shares_of_whole_labels_are_those_labels(name: str) -> None:
    shares = torch.nn.functional.one_hot(LABELS, 3).movedim(-1, 1).float()
    made = loss(name)
    if name == "focal":  # which weighs voxels by their label
        with pytest.raises(TrainingError) as caught:
            made(LOGITS, shares)
        assert str(caught.value) == (
            "focal: weighs voxels by their label, and here each output has labels of its own; name binary_focal"
        )
        return

    torch.testing.assert_close(made(LOGITS, shares), made(LOGITS, LABELS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["dice", "squared_dice", "generalised_dice", "tversky", "focal_tversky"])
def test_sums_over_the_batch_are_those_of_one_long_sample(name: str) -> None:
    labels = torch.stack([LABELS[0], LABELS[1].clamp(max=1)])
    joined = LOGITS.transpose(0, 1).reshape(1, 3, -1), labels.reshape(1, -1)
    each, whole = loss(name, per_batch=False), loss(name, per_batch=True)

    torch.testing.assert_close(whole(LOGITS, labels), each(*joined))
    assert whole(LOGITS, labels).item() != pytest.approx(each(LOGITS, labels).item(), rel=1e-5)


def test_chosen_outputs_alone_count() -> None:
    only = loss("tversky", outputs=(2,))
    both = loss("tversky")

    assert only(LOGITS, LABELS).item() == pytest.approx(-both.per_output(LOGITS, LABELS)[1].item())
    assert both.per_output(LOGITS, LABELS).shape == (2,)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tversky", {"outputs": (3,)}, "outputs: numbers of the network's 3 outputs, from 0, found [3]"),
        ("tversky", {"outputs": ()}, "outputs: numbers of the network's 3 outputs, from 0, found []"),
        (
            "squared_dice",
            {"output_weights": (1.0,)},
            "output_weights: a number from 0 for each of the 2 outputs that count, not all 0, found [1.0]",
        ),
        (
            "absolute",
            {"output_weights": (1.0, -1.0, 1.0)},
            "weights of outputs: a number from 0 for each of the network's 3 outputs, the background counted, and not all 0; "
            "found [1.0, -1.0, 1.0]",
        ),
        ("smooth_absolute", {"border": 0.0}, "border: above 0, found 0.0"),
        (
            "weighted_cross_entropy",
            {"weighting": "given"},
            "weighted_cross_entropy: output_weights go with weighting 'given', found None and 'given'",
        ),
        (
            "weighted_cross_entropy",
            {"output_weights": (1.0, 1.0, 1.0)},
            "weighted_cross_entropy: output_weights go with weighting 'given', found (1.0, 1.0, 1.0) and 'frequency'",
        ),
    ],
)
def test_settings_that_do_not_fit_the_outputs_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError) as caught:
        loss(name, **settings)(LOGITS, LABELS)
    assert str(caught.value) == message


PAGE = (Path(__file__).resolve().parents[2] / "documentation" / "losses.md").read_text()


@pytest.mark.parametrize("name", LOSSES.entries)
def test_every_loss_stands_on_its_page_with_its_settings(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.+)\|$", PAGE, re.MULTILINE)
    found = dict(re.findall(r"`(\w+)` ([^,|`]+)", row.rpartition("|")[2]))
    settings = LOSSES.part(name).settings

    assert {key: json.loads(text) for key, text in found.items()} == settings
    assert set(settings) <= set(meanings(LOSSES.entries[name]))
