"""Every decision in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.errors import PlanError
from autoseg.geometry import Shape, Spacing
from autoseg.planning import Decision, Planner, Planner2D, Planner3D
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.planner import Stage
from autoseg.planning.planner_3d import Planner3D as Base

MakeFingerprint = Callable[..., DatasetFingerprint]


def lines(kind: type[Planner], fingerprint: DatasetFingerprint, **arguments: bool | float) -> list[str]:
    planner = kind(fingerprint=fingerprint, dataset="X", **arguments)  # type: ignore[arg-type]
    return [str(decision) for decision in planner.decisions]


def test_a_small_dataset_in_3d(make_fingerprint: MakeFingerprint) -> None:
    assert lines(Planner3D, make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=200, foreground=2)) == [
        "target spacing: 1 x 1 x 1 mm (z, y, x) (the median of 200 cases)",
        "axis order: z, y, x (as in the images: voxels are equally large along all axes)",
        "normalisation of channel 0 (MRI): nonCT (intensities have no fixed unit: scaled to mean 0 and deviation 1 in "
        "each case; cropping to the nonzero region kept 100 % of the median case, and below 75 % only that region counts)",
        "3d_fullres patch: 40 x 56 x 40 voxels (the whole median case of 36 x 50 x 35 fits the memory; sides are "
        "rounded up for the poolings)",
        "3d_fullres network: 4 levels, axes halved 3, 3, 3 times (an axis is halved while 4 voxels remain and its "
        "voxels are about as fine as the finest)",
        "3d_fullres batch: 7 (memory for 8 GB would hold 57, but one batch may show at most 5 % of the dataset's "
        "voxels, which caps it at 7)",
        "3d_fullres Dice loss: for each sample (a patch shows so much of a case that it can be scored alone)",
        "low-resolution stage: none (a 3d_fullres patch shows all of the median case; a coarser stage is made where "
        "this is less than 25 %)",
        "cascade: none (it needs a low-resolution stage)",
    ]


def test_a_small_dataset_in_2d(make_fingerprint: MakeFingerprint) -> None:
    found = lines(Planner2D, make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=200, foreground=2))
    assert found[3:] == [
        "2d patch: 56 x 40 voxels (the whole median slice of 50 x 35 fits the memory; sides are rounded up for the "
        "poolings)",
        "2d network: 4 levels, axes halved 3, 3 times (an axis is halved while 4 voxels remain and its voxels are "
        "about as fine as the finest)",
        "2d batch: 281 (memory for 8 GB would hold 1608, but one batch may show at most 5 % of the dataset's voxels, "
        "which caps it at 281)",
        "2d Dice loss: over the whole batch (a slice alone often lacks a label)",
    ]


def test_a_large_dataset_gets_a_cascade(make_fingerprint: MakeFingerprint) -> None:
    found = lines(Planner3D, make_fingerprint([(1, 0.76757812, 0.76757812)], [(482, 512, 512)], cases=131))

    assert found[1] == "axis order: z, y, x (axis z, across the slices, comes first: its voxels are the largest)"
    assert found[3] == (
        "3d_fullres patch: 128 x 128 x 128 voxels (1.66 % of the median case of 482 x 512 x 512, as much as memory "
        "for 8 GB holds)"
    )
    assert found[5] == "3d_fullres batch: 2 (as many as memory for 8 GB holds)"
    assert found[6] == (
        "3d_fullres Dice loss: over the whole batch (where there is a low-resolution stage, a patch of full resolution "
        "often lacks a label)"
    )
    assert [line.partition(":")[0] for line in found[7:]] == [
        "3d_lowres patch",
        "3d_lowres network",
        "3d_lowres batch",
        "3d_lowres Dice loss",
        "3d_cascade_fullres Dice loss",
        "low-resolution stage",
        "cascade",
    ]
    assert found[-2:] == [
        "low-resolution stage: 2.473 x 1.898 x 1.898 mm, median case 195 x 207 x 207 (a 3d_fullres patch shows 1.66 % "
        "of the median case; a coarser stage is made where this is less than 25 %)",
        "cascade: 3d_cascade_fullres (it refines at full resolution what 3d_lowres saw of the whole case)",
    ]


def test_a_low_resolution_stage_that_was_asked_for(make_fingerprint: MakeFingerprint) -> None:
    fingerprint = make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=200)

    assert lines(Planner3D, fingerprint, force_lowres=True)[-2] == (
        "low-resolution stage: 1.27 x 1.27 x 1.27 mm, median case 28 x 39 x 28 (it was asked for)"
    )


def test_a_low_resolution_stage_that_would_be_too_similar(make_fingerprint: MakeFingerprint) -> None:
    assert lines(Planner3D, make_fingerprint([(1, 1, 1)], [(256, 256, 160)], cases=20))[-2] == (
        "low-resolution stage: none (a 3d_fullres patch shows 23.4 % of the median case, but the coarser stage would "
        "keep 90.9 % of its voxels and is kept only below 50 %)"
    )


def test_an_anisotropic_dataset(make_fingerprint: MakeFingerprint) -> None:
    spacings = [(1.5, 1.5, 10)] * 8 + [(1.5, 1.5, 5)] * 2
    found = lines(Planner3D, make_fingerprint(spacings, [(237, 208, 9)] * 10))

    assert found[:2] == [
        "target spacing: 1.5 x 1.5 x 5 mm (z, y, x) (the median of 10 cases; but axis x has far larger and far fewer "
        "voxels than the others, and its median of 10 mm would lose slices of the finer cases, so it takes the 10th "
        "percentile, though never less than theirs)",
        "axis order: x, z, y (axis x, across the slices, comes first: its voxels are the largest)",
    ]
    assert found[4].endswith("the patch is so thin that augmentation rotates it within slices only)")
    assert lines(Planner2D, make_fingerprint(spacings, [(237, 208, 9)] * 10))[0] == (
        "target spacing: 1.5 x 1.5 x 10 mm (z, y, x) (the median of 10 cases)"
    )


def test_single_slices(make_fingerprint: MakeFingerprint) -> None:
    assert lines(Planner2D, make_fingerprint([(1, 2, 2)], [(1, 64, 64)], cases=9))[1] == (
        "axis order: z, y, x (axis z, across the slices, comes first: it has no extent)"
    )


def test_normalisation_of_every_kind(make_fingerprint: MakeFingerprint) -> None:
    channels = ("CT", "CTA", "noNorm", "T2")
    fingerprint = make_fingerprint([(1, 1, 1)], [(40, 40, 40)], cases=9, channels=channels, kept=0.6)
    each_case = "intensities have no fixed unit: scaled to mean 0 and deviation 1 in each case"
    mask = "cropping to the nonzero region kept 60 % of the median case, and below 75 % only that region counts"

    assert lines(Planner2D, fingerprint)[2:6] == [
        "normalisation of channel 0 (CT): CT (Hounsfield units mean the same in every scan: clipped, then scaled by "
        "the foreground of all cases)",
        f"normalisation of channel 1 (CTA): nonCT, inside the nonzero region ({each_case}; only a channel named "
        f"exactly \"CT\" is treated as CT, rename it in dataset.json if 'CTA' is one; {mask})",
        "normalisation of channel 2 (noNorm): noNorm (the channel is named noNorm: left as it is)",
        f"normalisation of channel 3 (T2): nonCT, inside the nonzero region ({each_case}; {mask})",
    ]


class WholeCase(Base):
    def patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:  # noqa: ARG002
        return median_shape

    def low_resolution_stage(self, full: Stage) -> Stage | None:  # noqa: ARG002
        """Context is not needed here.

        Organs are small.
        """
        return None


def test_what_a_user_overrides_is_explained_by_the_users_words(make_fingerprint: MakeFingerprint) -> None:
    fingerprint = make_fingerprint([(1, 1, 1)], [(64, 64, 64)], cases=9)
    planner = WholeCase(fingerprint=fingerprint, dataset="X", gpu_memory_target=11)
    by_subject = {decision.subject: decision for decision in planner.decisions}

    assert by_subject["3d_fullres patch"] == Decision(
        subject="3d_fullres patch", outcome="64 x 64 x 64 voxels", reason="decided by WholeCase.patch_size"
    )
    assert by_subject["low-resolution stage"].reason == "Context is not needed here"
    assert by_subject["3d_fullres batch"].reason.startswith("memory for 11 GB would hold ")


def test_decisions_are_the_plans_own(make_fingerprint: MakeFingerprint) -> None:
    """Asked before planning they still agree with it, and data that cannot be planned has none."""
    fingerprint = make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=200)
    planner = Planner3D(fingerprint=fingerprint, dataset="X")

    before = planner.decisions
    assert planner.plan().configuration("3d_fullres").batch_size == 7
    assert planner.decisions == before
    with pytest.raises(PlanError, match="every case is a single slice"):
        lines(Planner3D, make_fingerprint([(1, 1, 1)], [(1, 64, 64)]))
