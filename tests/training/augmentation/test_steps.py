"""Steps by name: each changes what it should and nothing else, is the same for the same seed, and can be listed."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from autoseg.catalogue import Part
from autoseg.errors import TrainingError
from autoseg.training.augmentation.named import AUGMENTATIONS, OTHERWISE_SPELT
from autoseg.training.augmentation.steps import STEPS
from autoseg.training.sampling.samples import global_generators_seeded

PATCH = (12, 16, 16)
GIVEN = {"patch_size": PATCH, "dummy_2d": False, "spline_order": 3}
MOVING = {"rotation_and_scale", "elastic", "quarter_turns", "exchanged_axes"}
CERTAIN = {"probability": 1.0, "channel_probability": 1.0, "rotation_probability": 1.0, "scale_probability": 1.0}


def patch(shape: tuple[int, ...] = PATCH) -> dict[str, Any]:
    """A bright block off the middle, with its label, outside of the mask at one corner."""
    labels = np.zeros((1, 1, *shape), np.int16)
    labels[(0, 0, *(slice(side // 4, side // 2 + axis) for axis, side in enumerate(shape)))] = 2
    labels[(0, 0, *(slice(0, 2) for _ in shape))] = -1
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 1, *shape))
    return {"data": (labels + noise).astype(np.float32), "seg": labels}


def step(name: str, given: dict[str, Any] | None = None, **settings: Any) -> Any:
    known = STEPS.part(name).settings
    certain = {key: value for key, value in CERTAIN.items() if key in known}
    return STEPS.build(STEPS.part(name, **{**certain, **settings}), **(given or GIVEN))


def done(made: Any, seed: int = 1, shape: tuple[int, ...] = PATCH) -> dict[str, Any]:
    with global_generators_seeded(np.random.default_rng(seed)):
        sample: dict[str, Any] = made(**patch(shape))
    return sample


@pytest.mark.parametrize("name", STEPS.entries)
def test_a_step_is_decided_by_the_seed_alone_and_travels_to_workers(name: str) -> None:
    first, again, other = done(step(name), 1), done(pickle.loads(pickle.dumps(step(name))), 1), done(step(name), 2)

    for key in ("data", "seg"):
        np.testing.assert_array_equal(first[key], again[key])
        assert first[key].shape == patch()[key].shape
        assert first[key].dtype == patch()[key].dtype or key == "data"
    assert (first["data"] != patch()["data"]).any()
    if name not in ("exchanged_axes", "clahe", "median"):  # of few choices
        assert (first["data"] != other["data"]).any()


@pytest.mark.parametrize("name", STEPS.entries)
def test_labels_move_with_the_image_or_not_at_all(name: str) -> None:
    sample = done(step(name))

    assert set(np.unique(sample["seg"])) <= {-1, 0, 2}
    assert (sample["seg"] != patch()["seg"]).any() == (name in MOVING)
    if name in MOVING:  # where voxels are labelled, they are as bright as they were
        assert sample["data"][sample["seg"] == 2].mean() == pytest.approx(2, abs=0.5)


def test_where_no_two_axes_are_equal_none_are_exchanged() -> None:
    oblong = (12, 16, 20)
    sample = done(step("exchanged_axes", GIVEN | {"patch_size": oblong}), shape=oblong)

    for key, before in patch(oblong).items():
        np.testing.assert_array_equal(sample[key], before)


@pytest.mark.parametrize("name", STEPS.entries)
def test_a_step_that_is_not_drawn_changes_nothing(name: str) -> None:
    never = {key: 0.0 for key in CERTAIN if key in STEPS.part(name).settings}
    sample = done(step(name, **never))

    np.testing.assert_array_equal(sample["data"], patch()["data"])
    np.testing.assert_array_equal(sample["seg"], patch()["seg"])


@pytest.mark.parametrize("name", sorted(set(STEPS.entries)))
def test_two_dimensions_and_thick_slices(name: str) -> None:
    flat = {**GIVEN, "patch_size": (16, 16)}
    assert done(step(name, flat), shape=(16, 16))["data"].shape == (1, 1, 16, 16)

    thick = done(
        step(name, {**GIVEN, "dummy_2d": True}, **({"in_plane": False} if name in ("elastic", "quarter_turns") else {}))
    )
    if name in MOVING:  # a slice keeps its labels' number where nothing scales
        slices = (thick["seg"] == 2).any(axis=(0, 1, 3, 4))
        np.testing.assert_array_equal(slices, (patch()["seg"] == 2).any(axis=(0, 1, 3, 4)))


def test_elastic_moves_as_far_as_it_says() -> None:
    made = step("elastic", displacement=[3.0, 3.0], smoothness=[4.0, 4.0])
    with global_generators_seeded(np.random.default_rng(5)):
        field = made._field(PATCH)

    assert np.sqrt((field**2).sum(axis=0)).max() == pytest.approx(3)
    steepest = max(float(np.abs(np.diff(one, axis=axis)).max()) for one in field for axis in range(3))
    assert steepest < 1  # no voxel passes another


def test_quarter_turns_are_turns() -> None:
    wanted = {tuple(np.rot90(patch()["seg"], turns, (3, 4)).ravel()) for turns in (1, 2, 3)}
    found = {tuple(done(step("quarter_turns", {**GIVEN, "dummy_2d": True}), seed)["seg"].ravel()) for seed in range(20)}
    assert found == wanted

    long = {tuple(done(step("quarter_turns"), seed, (8, 12))["seg"].ravel()) for seed in range(5)}
    assert long == {tuple(np.rot90(patch((8, 12))["seg"], 2, (2, 3)).ravel())}


def image(name: str, values: Any, seed: int = 0, **settings: Any) -> Any:
    with global_generators_seeded(np.random.default_rng(seed)):
        return step(name, **settings).image(np.asarray(values, np.float32))


def test_a_bias_field_multiplies_by_what_varies_slowly() -> None:
    values = np.ones((9, 9, 9))
    values[0, 0, 0] = 0  # the lowest, from which is counted
    changed = image("bias_field", values, strength=[0.5, 0.5])
    field = np.log(changed[1:, 1:, 1:])

    assert changed[0, 0, 0] == 0
    assert np.ptp(field) > 0.2
    assert np.abs(np.diff(field, n=4, axis=0)).max() < 1e-4  # a polynomial of the third order
    assert field[3, 3, 3] == pytest.approx(0, abs=1e-6)  # nothing in the middle


def test_photons_make_noise_with_the_root_of_their_number() -> None:
    values = np.full((40, 40), 4.0)
    values[0, 0] = 0
    changed = image("poisson_noise", values, photons=[100.0, 100.0])[1:]

    assert changed.mean() == pytest.approx(4, rel=0.02)
    assert changed.std() == pytest.approx(4 / np.sqrt(100), rel=0.1)


def test_ghosts_and_stripes_leave_the_mean_and_motion_a_still_patient() -> None:
    values = patch()["data"][0, 0]

    assert image("ghosting", values).mean() == pytest.approx(values.mean(), abs=1e-3)
    stripes = image("spikes", values, number=[1, 1], strength=[0.5, 0.5]) - values
    assert stripes.std() in (pytest.approx(0.5 * values.std() / np.sqrt(2), rel=0.1), pytest.approx(0, abs=1))
    still = image("motion", values, degrees=[0.0, 0.0], shift=[0.0, 0.0])
    np.testing.assert_allclose(still, values, atol=1e-4)


def test_sharpening_steepens_and_local_contrast_keeps_the_range() -> None:
    edge = np.linspace(0, 1, 20)[None].repeat(20, axis=0) ** 3
    sharp, even = image("sharpening", edge, strength=[1.0, 1.0]), image("clahe", edge)

    assert np.abs(np.diff(sharp, axis=1)).max() > 1.01 * np.abs(np.diff(edge, axis=1)).max()
    assert (sharp.min(), sharp.max()) == (0, 1)
    assert even.min() >= -1e-6 and even.max() <= 1 + 1e-6
    assert np.std(even) > 1.02 * np.std(edge) or np.median(even) > 1.2 * np.median(edge)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "elastic",
            {"displacement": [5.0, 1.0]},
            r"displacement: the lowest and the highest value, both from 0 on, found \[5.0, 1.0\]",
        ),
        ("motion", {"probability": 1.5}, "probability: from 0 to 1, found 1.5"),
        ("clahe", {"channel_probability": -1.0}, "channel_probability: from 0 to 1, found -1.0"),
        ("rotation_and_scale", {"scale": [2.0, 1.0]}, "scale: the lowest and the highest value"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        STEPS.part(name, **settings)


def listed(*names: str, mirror_axes: tuple[int, ...] = ()) -> Any:
    parts = tuple(STEPS.part(name) for name in names)
    given = {
        "patch_size": PATCH,
        "dummy_2d": False,
        "mirror_axes": mirror_axes,
        "masked_channels": (),
        "spline_order": 1,
    }
    return AUGMENTATIONS.build(Part(name="listed", settings={"steps": parts}), **given)


def test_a_list_is_done_in_its_order_and_only_its_first_step_turns() -> None:
    made = listed("rotation_and_scale", "gamma", "noise", mirror_axes=(0, 1))
    assert [type(one).__name__ for one in made.transforms[:3]] == ["RandomGamma", "RandomNoise", "RandomMirroring"]
    assert (made.spatial.order, made.has_device_form) == (1, True)
    assert not listed("rotation_and_scale", "bias_field").has_device_form

    with pytest.raises(
        TrainingError, match=r"augmentation\[1\]: rotation_and_scale is the first step, and there is one at most"
    ):
        listed("noise", "rotation_and_scale")


def test_levels_are_names() -> None:
    given = {"patch_size": PATCH, "dummy_2d": False, "mirror_axes": (0,), "masked_channels": (0,), "spline_order": 3}
    made = {name: AUGMENTATIONS.build(AUGMENTATIONS.part(name), **given) for name in AUGMENTATIONS.entries}

    assert set(OTHERWISE_SPELT.values()) <= set(made)
    assert (made["light"].spatial.scale, made["default"].spatial.scale) == ((0.9, 1.1), (0.7, 1.4))
    assert len(made["mri"].transforms) == len(made["default"].transforms) + 5
    assert made["light"].has_device_form and not made["mri"].has_device_form
