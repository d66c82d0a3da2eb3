"""A sample varied with tensors is the worker's, up to rounding; a CPU stands in for the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from scipy.ndimage import gaussian_filter

from autoseg.errors import Interrupted
from autoseg.files.storage import read_json, write_json
from autoseg.plans import Plans
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.augmentation.default import Augmentation, AugmentationRecipe, build_augmentation
from autoseg.training.augmentation.device_warping import SLAB_POINTS
from autoseg.training.augmentation.on_device import vary_all
from autoseg.training.augmentation.previous_stage import build_previous_augmentation
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.run_record import read_run_record, require_same_recipe
from autoseg.training.recipes.shipped import RECIPES
from autoseg.training.sampling.batches import Batch, Batches, DrawnBatch, Stream, Supply, iterate, remaining_keys
from autoseg.training.sampling.packing import pack
from autoseg.training.sampling.regions import Patches
from autoseg.training.sampling.samples import DrawnSample, draw_sample, make_sample, sample_generator
from autoseg.training.trial import save_trial_cases, time_batches, trial_plan, trial_plans, trial_trainer

CPU = torch.device("cpu")
TOLERANCE = 1e-4
"""Of the range of a sample's values."""

OFTEN = AugmentationRecipe(
    rotation_probability=0.6,
    scale_probability=0.6,
    noise_probability=0.4,
    blur_probability=0.5,
    brightness_probability=0.5,
    contrast_probability=0.5,
    low_resolution_probability=0.6,
    inverted_gamma_probability=0.4,
    gamma_probability=0.4,
)
ONLY_TURNED_AND_SCALED = {
    name: float(name in ("rotation_probability", "scale_probability"))
    for name in AugmentationRecipe.__dataclass_fields__
    if name.endswith("_probability")
}
PLACES = {
    "volumes": ((14, 18, 12), (26, 30, 21), False),
    "larger than the image": ((20, 12, 16), (14, 10, 30), False),
    "thick slices": ((6, 22, 26), (9, 40, 36), True),
    "more slices than there are": ((8, 22, 20), (5, 40, 36), True),
    "slices": ((30, 26), (4, 50, 40), False),
}


def noisy_case(
    shape: tuple[int, ...], channels: int, kind: type[np.generic] = np.float32, **changes: Any
) -> PreparedCase:
    generator = np.random.default_rng(3)
    smooth = gaussian_filter(generator.normal(size=shape), 2)
    smooth /= smooth.std()
    labels = (smooth > 0.4).astype(np.int8) + (smooth > 1.2).astype(np.int8)
    labels[:, :2] = -1
    images = [smooth + 0.3 * generator.normal(size=shape) for _ in range(channels)]
    return PreparedCase(
        data=np.stack(images).astype(kind),  # type: ignore[arg-type]
        segmentation=labels,
        foreground={1: np.argwhere(labels == 1).astype(np.int32)},
        properties=None,  # type: ignore[arg-type]
        **changes,
    )


def augmentation_of(name: str, **changes: Any) -> Augmentation:
    patch, _, is_thick = PLACES[name]
    return build_augmentation(
        replace(OFTEN, **changes),
        patch_size=patch,
        dummy_2d=is_thick,
        mirror_axes=range(len(patch)),
        masked_channels=(0,),
    )


def on_tensors(drawn: DrawnSample) -> tuple[np.ndarray, np.ndarray]:
    data, labels = vary_all(pack([drawn]), CPU)
    return data[0].numpy(), labels[0].numpy()


def sampled(sample: Callable[..., Any], case: PreparedCase, generator: np.random.Generator, **words: Any) -> Any:
    region = Patches(words["patch_size"]).of_case(case, generator, forced=words["forced"])
    return sample(region, augmentation=words["augmentation"], generator=generator)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", PLACES)
def test_a_sample_is_the_same_on_either_path(name: str, channels: int, order: int) -> None:
    patch, shape, _ = PLACES[name]
    case, augmentation = noisy_case(shape, channels), augmentation_of(name, order=order)
    warped = 0
    for number in range(14):
        words: dict[str, Any] = {"patch_size": patch, "forced": number % 2 == 0, "augmentation": augmentation}
        made = sampled(make_sample, case, sample_generator(2, 0, 0, number), **words)
        drawn = sampled(draw_sample, case, sample_generator(2, 0, 0, number), **words)
        data, labels = on_tensors(drawn)

        np.testing.assert_allclose(data, made.data, atol=TOLERANCE * np.ptp(made.data), rtol=0)
        np.testing.assert_array_equal(labels, made.labels)
        assert data.dtype == made.data.dtype and labels.dtype == made.labels.dtype
        warped += drawn.warp is not None
    assert 5 < warped < 14


@pytest.mark.parametrize("order", [1, 3])
def test_long_axes_and_many_places_are_as_exact(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    """White noise is the hardest: each voxel differs from the next by the whole range."""
    patch = (200, 180)
    monkeypatch.setattr("autoseg.training.augmentation.device_warping.SLAB_POINTS", 7 * 180)
    assert SLAB_POINTS > 7 * 180
    augmentation = build_augmentation(
        AugmentationRecipe(order=order, **ONLY_TURNED_AND_SCALED),
        patch_size=patch,
        dummy_2d=False,
        mirror_axes=(),
        masked_channels=(),
    )
    noise = np.random.default_rng(0).normal(size=(1, 1, 700, 650)).astype(np.float32)
    case = replace(noisy_case((1, 700, 650), 1), data=noise)
    for number in range(3):
        words: dict[str, Any] = {"patch_size": patch, "forced": False, "augmentation": augmentation}
        made = sampled(make_sample, case, sample_generator(9, 0, 0, number), **words)
        data, labels = on_tensors(sampled(draw_sample, case, sample_generator(9, 0, 0, number), **words))

        np.testing.assert_allclose(data, made.data, atol=1e-6 * np.ptp(made.data), rtol=0)
        np.testing.assert_array_equal(labels, made.labels)


def test_labels_of_the_previous_stage_go_the_same_way() -> None:
    patch, shape, _ = PLACES["volumes"]
    plain = noisy_case(shape, 1)
    assert plain.segmentation is not None
    case = replace(plain, previous=plain.segmentation.clip(min=0)[::-1])
    for number in range(8):
        words: dict[str, Any] = {"patch_size": patch, "forced": False, "augmentation": augmentation_of("volumes")}
        made = sampled(make_sample, case, sample_generator(6, 0, 0, number), **words)
        data, _ = on_tensors(sampled(draw_sample, case, sample_generator(6, 0, 0, number), **words))

        assert len(data) == 2
        np.testing.assert_array_equal(data[1], made.data[1])


def test_half_precision_travels_as_it_is_stored() -> None:
    patch, shape, _ = PLACES["volumes"]
    case = noisy_case(shape, 2, np.float16)
    words: dict[str, Any] = {"patch_size": patch, "forced": False, "augmentation": augmentation_of("volumes")}
    drawn = [sampled(draw_sample, case, sample_generator(1, 0, 0, number), **words) for number in range(8)]
    packed = pack(drawn)

    assert set(packed.pieces) == {"float16", "int8", "float32"}  # the last is noise
    data, _ = vary_all(packed, CPU)
    again, _ = vary_all(packed, CPU)
    expected = [sampled(make_sample, case, sample_generator(1, 0, 0, number), **words).data for number in range(8)]
    np.testing.assert_allclose(data, np.stack(expected), atol=TOLERANCE * np.ptp(expected), rtol=0)
    np.testing.assert_array_equal(data, again)  # what lies ready is not changed


def batches_of(store: PreparedCases, *, on_device: bool, workers: int) -> list[Batch]:
    """One of training and one of validation."""
    patch = (8, 12, 8)
    augmentation = build_augmentation(
        OFTEN, patch_size=patch, dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=()
    )
    names = store.identifiers()
    made = Batches(
        store=store,
        streams=(
            Stream(cases=names[:4], augmentation=augmentation, on_device=on_device),
            Stream(cases=names[4:], augmentation=augmentation),
        ),
        patch_size=patch,
        batch_size=5,
        strides=((1, 1, 1), (2, 2, 2), (1, 2, 2)),
        foreground_fraction=0.33,
        seed=11,
    )
    keys = remaining_keys(epochs=1, training=2, validation=1)
    with closing(iterate(made, keys, Supply(workers=workers, ahead=2))) as coming:
        found = list(coming)
    assert [isinstance(batch, DrawnBatch) for batch in found] == [on_device, on_device, False]
    return [batch.varied(CPU) if isinstance(batch, DrawnBatch) else batch for batch in found]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_on_either_path_whoever_reads_them(store: PreparedCases, workers: int) -> None:
    expected = batches_of(store, on_device=False, workers=0)
    for made, other in zip(batches_of(store, on_device=True, workers=workers), expected, strict=True):
        assert (made.key, made.cases) == (other.key, other.cases)
        torch.testing.assert_close(made.data, other.data, atol=TOLERANCE * 3, rtol=0)  # values reach over 3
        assert len(made.targets) == len(other.targets) == 2
        for target, other_target in zip(made.targets, other.targets, strict=True):
            assert torch.equal(target, other_target)


def test_two_batches_of_memory_are_reckoned_with_where_windows_travel(store: PreparedCases) -> None:
    streams = [
        tuple(Stream(cases=(), augmentation=Augmentation(), on_device=on_device) for on_device in pair)
        for pair in ((False, False), (True, False))
    ]
    plain, windows = (
        Batches(
            store=store,
            streams=pair,  # type: ignore[arg-type]
            patch_size=(4, 4, 4),
            batch_size=3,
            strides=((1, 1, 1),),
            foreground_fraction=0.33,
            seed=1,
        ).bytes_of_one(2)
        for pair in streams
    )

    assert (plain, windows) == (3 * 64 * 12, 2 * 3 * 64 * 12)


class Own(Trainer):
    """With one transform of batchgenerators' behind the others."""

    def build_augmentation(self) -> Augmentation:
        augmentation = super().build_augmentation()
        return replace(augmentation, transforms=(*augmentation.transforms, GaussianNoiseTransform()))


class Quadratic(Trainer):
    augmentation = AugmentationRecipe(order=2)


class Linear(Trainer):
    augmentation = AugmentationRecipe(order=1)


def trainer_of(
    kind: type[Trainer],
    plans: Plans,
    store: PreparedCases,
    output: Path,
    configuration: str = "3d_fullres",
    **settings: Any,
) -> Trainer:
    names = store.identifiers()
    return kind(
        FoldData(
            plans=plans,
            configuration=configuration,
            cases=store,
            split=Split(training=names[:4], validation=names[4:]),
            output=output,
            references=output,
        ),
        settings=TrainingSettings(
            **{"epochs": 1, "iterations_per_epoch": 5, "seed": 3, "workers": 0, "precision": "fp32", **settings}
        ),
        device="cpu",
    )


WITH_THE_WORKERS = ("TrainerDA3", "TrainerDA5", "TrainerNoAugmentation")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((Trainer, True), (Linear, True), (Quadratic, False), (Own, False)),
        *((type(name, (Trainer,), {"recipe": RECIPES[name]}), False) for name in WITH_THE_WORKERS),
    ],
)
def test_what_has_no_device_form_as_a_whole_stays_with_the_workers(
    kind: type[Trainer],
    expected: bool,
    plans: Plans,
    store: PreparedCases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autoseg.training.parts.LEAST_VALUES_ON_DEVICE", 1)
    trainer = trainer_of(kind, plans, store, tmp_path / "fold_0")
    assert not trainer.varies_on_device  # on a CPU

    on_gpu = trainer_of(kind, plans, store, tmp_path / "fold_0")
    on_gpu.device = torch.device("cuda:1")
    assert on_gpu.varies_on_device == expected


def test_a_cascade_stays_with_the_workers() -> None:
    augmentation = augmentation_of("volumes")
    assert augmentation.has_device_form
    steps = build_previous_augmentation(OFTEN)
    assert not replace(augmentation, transforms=(*augmentation.transforms, *steps)).has_device_form


@pytest.mark.parametrize(
    ("patch", "channels", "expected"), [((128, 128, 64), 1, True), ((128, 128, 32), 1, False), ((512, 512), 4, True)]
)
def test_small_patches_stay_with_the_workers(
    patch: tuple[int, ...], channels: int, expected: bool, store: PreparedCases, tmp_path: Path
) -> None:
    plans = trial_plans(trial_plan(patch), channels=channels)
    trainer = trial_trainer(Trainer, store, plans, tmp_path / "fold_0", device="cpu")
    trainer.device = torch.device("cuda")

    assert trainer.varies_on_device == expected


def test_the_record_says_who_varied_patches_and_either_goes_on_where_the_other_stopped(
    plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    losses = {}
    for name, first, second in (("workers", False, False), ("device", True, True), ("both", True, False)):
        fold = tmp_path / name / "fold_0"
        for epochs, on_device in ((1, first), (2, second)):
            trainer = trainer_of(Trainer, plans, store, fold, epochs=epochs)
            trainer.varies_on_device = on_device
            trainer.run(resume=epochs == 2)
        record = read_run_record(trainer.fold)
        assert record is not None
        names = {True: "device", False: "workers"}
        assert [session.augmentation for session in record.sessions] == [names[first], names[second]]
        losses[name] = [epoch["loss"] for epoch in read_json(fold / "history.json")["epochs"]]
    assert losses["device"] == pytest.approx(losses["workers"], rel=1e-4)
    assert losses["both"] == pytest.approx(losses["workers"], rel=1e-4)


def test_records_of_before_say_nothing_of_it(plans: Plans, store: PreparedCases, tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    trainer = trainer_of(Trainer, plans, store, fold)
    trainer.run()
    content = read_json(fold / "run.json")
    del content["sessions"][0]["augmentation"]
    write_json(fold / "run.json", content)

    record = read_run_record(trainer.fold)
    assert record is not None and record.sessions[0].augmentation is None


# ------------------------------------------------------------------------------ interpolation


class OnGpu(Trainer):
    device = torch.device("cuda")  # named only: nothing is computed there


def test_images_are_turned_linearly_on_a_gpu_unless_chosen_otherwise(
    plans: Plans, store: PreparedCases, tmp_path: Path
) -> None:
    kinds = {Trainer: 3, OnGpu: 1, Quadratic: 2, type("OwnOnGpu", (Quadratic, OnGpu), {}): 2}
    for number, (kind, order) in enumerate(kinds.items()):
        made = trainer_of(kind, plans, store, tmp_path / str(number) / "fold_0")
        spatial = made.build_augmentation().spatial
        assert (made.interpolation, spatial.order if spatial else None) == (order, order)
        assert made.bookkeeping._recipe.values["augmentation.order"] == str(order)


@pytest.mark.parametrize("fold", ["fold_0", "fold_1"])
def test_whatever_goes_on_keeps_the_interpolation_it_began_with(
    plans: Plans, store: PreparedCases, tmp_path: Path, fold: str
) -> None:
    with pytest.raises(Interrupted):
        trainer_of(Trainer, plans, store, tmp_path / "fold_0").run(should_stop=lambda: True)

    later = trainer_of(OnGpu, plans, store, tmp_path / fold)
    assert later.interpolation == 3
    require_same_recipe(later.fold, later.name, later.bookkeeping._recipe)

    record = read_json(tmp_path / "fold_0" / "run.json")
    record["sessions"][-1]["interpolation"] = None  # as an earlier version wrote it
    write_json(tmp_path / "fold_0" / "run.json", record)
    assert trainer_of(OnGpu, plans, store, tmp_path / fold).interpolation == 3
    record["sessions"][-1]["interpolation"] = 1
    write_json(tmp_path / "fold_0" / "run.json", record)
    assert trainer_of(Trainer, plans, store, tmp_path / fold).interpolation == 1


def test_the_device_is_timed_where_it_varies_patches(tmp_path: Path) -> None:
    store, plans = (
        save_trial_cases(tmp_path / "prepared", (24, 24, 24)),
        trial_plans(trial_plan((16, 16, 16), levels=2, features=2)),
    )
    by_workers, by_device = (
        trial_trainer(Trainer, store, plans, tmp_path / "fold_0", device="cpu", workers=0) for _ in range(2)
    )
    by_device.varies_on_device = True

    assert time_batches(by_workers, 0.01).device_seconds == 0.0
    making = time_batches(by_device, 0.01)
    assert 0.0 < making.device_seconds < 10.0 and making.workers == 0
