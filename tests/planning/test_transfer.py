"""Plans of another task: what is taken over, what stays the dataset's own, what cannot be transferred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from small_plans import changed

from autoseg.errors import PlanError
from autoseg.planning import Planner, Planner2D, Planner3D, Planner3DResidualM
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.transfer import explain_transfer, transfer_plans
from autoseg.plans import IntensityStatistics, Plans

MakeFingerprint = Callable[..., DatasetFingerprint]

STATISTICS = IntensityStatistics(
    mean=40.0, sd=9.0, median=41.0, minimum=-90.0, maximum=300.0, percentile_00_5=-20.0, percentile_99_5=110.0
)


def plan(kind: type[Planner], fingerprint: DatasetFingerprint, dataset: str = "Task004_Organ") -> Plans:
    return kind(fingerprint=fingerprint, dataset=dataset).plan()


@pytest.fixture
def source_data(make_fingerprint: MakeFingerprint) -> DatasetFingerprint:
    """CT with slices across x and a low-resolution stage."""
    made = make_fingerprint([(0.8, 0.8, 2)], [(512, 512, 300)], cases=30, channels=("CT",), foreground=3)
    return replace(made, intensities=(STATISTICS,))


@pytest.fixture
def own_data(make_fingerprint: MakeFingerprint) -> DatasetFingerprint:
    """Half as large, voxels twice as large, other labels."""
    other = replace(STATISTICS, mean=500.0, sd=100.0)
    made = make_fingerprint([(1.6, 1.6, 4)], [(100, 120, 60)], cases=9, channels=("CT",), foreground=1)
    return replace(made, intensities=(other,))


class TestTransfer:
    def test_takes_over_everything_that_the_weights_depend_on(
        self, source_data: DatasetFingerprint, own_data: DatasetFingerprint
    ) -> None:
        source = plan(Planner3D, source_data)
        plans = transfer_plans(source, own_data, dataset="Task007_Tumour")

        assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
        for name, one in plans.configurations.items():
            there = source.configuration(name)
            assert changed(one, median_shape=there.grid.median_shape) == there
        assert (plans.transpose_forward, plans.transpose_backward) == ((2, 0, 1), (1, 2, 0))
        assert plans.intensities == (STATISTICS,)
        assert plans.planner == "Planner3D"

    def test_keeps_the_datasets_own_labels_channels_name_and_median_case(
        self, source_data: DatasetFingerprint, own_data: DatasetFingerprint
    ) -> None:
        named = replace(own_data, channels=("portal venous",), labels=("background", "tumour"))
        plans = transfer_plans(plan(Planner3D, source_data), named, dataset="Task007_Tumour")

        assert (plans.dataset, plans.channels, plans.labels) == (
            "Task007_Tumour",
            ("portal venous",),
            ("background", "tumour"),
        )
        assert plans.identifier == "from_Task004"
        # voxels of 2, 0.8 and 0.8 mm instead of 4, 1.6 and 1.6, axes x, z, y
        assert plans.configuration("3d_fullres").grid.median_shape == (120, 200, 240)

    def test_in_2d_the_spacing_across_slices_is_the_datasets_own(
        self, source_data: DatasetFingerprint, own_data: DatasetFingerprint
    ) -> None:
        source = plan(Planner2D, source_data)
        one = transfer_plans(source, own_data, dataset="Task007_Tumour").configuration("2d")

        assert one.grid.spacing == (4.0, 0.8, 0.8)
        assert one.grid.median_shape == (60, 200, 240)
        assert changed(one, spacing=(2.0, 0.8, 0.8), median_shape=source.configuration("2d").grid.median_shape) == (
            source.configuration("2d")
        )

    def test_names_can_be_given_and_follow_the_sources(
        self, source_data: DatasetFingerprint, own_data: DatasetFingerprint
    ) -> None:
        residual = plan(Planner3DResidualM, source_data)
        plans = transfer_plans(residual, own_data, dataset="Task007_Tumour")

        assert plans.identifier == "from_Task004_autoseg_ResEncM"
        assert plans.configuration("3d_fullres").network.name == "residual_unet"
        assert transfer_plans(residual, own_data, dataset="X", identifier="mine").identifier == "mine"


class TestRefusals:
    def test_of_another_number_of_channels(
        self, source_data: DatasetFingerprint, make_fingerprint: MakeFingerprint
    ) -> None:
        two = make_fingerprint([(1, 1, 1)], [(60, 60, 60)], cases=9, channels=("T1", "T2"))

        with pytest.raises(PlanError) as caught:
            transfer_plans(plan(Planner3D, source_data), two, dataset="Task007_Tumour")
        assert str(caught.value) == (
            "Task007_Tumour: the images have 2 channels (T1, T2), but the plans of Task004_Organ are for 1 (CT); plan "
            "from a task with as many, or without `plans_from`"
        )

    def test_of_single_slices_in_3d(self, source_data: DatasetFingerprint, make_fingerprint: MakeFingerprint) -> None:
        flat = make_fingerprint([(1, 1, 1)], [(64, 64, 1)], cases=9)

        with pytest.raises(PlanError, match="Task007_Tumour: every case is a single slice, so no 3D configuration is"):
            transfer_plans(plan(Planner3D, source_data), flat, dataset="Task007_Tumour")

    def test_of_slices_across_another_axis(
        self, source_data: DatasetFingerprint, make_fingerprint: MakeFingerprint
    ) -> None:
        source = plan(Planner2D, source_data)
        along: dict[str, Any] = {"spacings": [(1, 1, 1)], "cases": 9}

        fitting = transfer_plans(source, make_fingerprint(shapes=[(64, 64, 1)], **along), dataset="X")
        assert fitting.configuration("2d").grid.median_shape == (1, 80, 80)
        with pytest.raises(PlanError) as caught:
            transfer_plans(source, make_fingerprint(shapes=[(1, 64, 64)], **along), dataset="Task007_Flat")
        assert str(caught.value) == (
            "Task007_Flat: every case is a single slice across axis z, but the plans of Task004_Organ take slices "
            "across axis x; plan without `plans_from`"
        )


def test_the_transfer_is_explained(source_data: DatasetFingerprint, own_data: DatasetFingerprint) -> None:
    source = plan(Planner2D, source_data)
    named = replace(own_data, channels=("portal venous",))
    found = explain_transfer(source, transfer_plans(source, named, dataset="Task007_Tumour"))

    one = source.configuration("2d")
    assert [str(decision) for decision in found] == [
        f"2d patch and network: 512 x 512 voxels of 4 x 0.8 x 0.8 mm, 8 levels, batch {one.batch_size} (the plans "
        "'autoseg' of Task004_Organ say so, and its weights are to fit)",
        "normalisation of channel 0 (portal venous): CT (as in Task004_Organ, with the intensities measured in "
        "Task004_Organ, so that the weights see what they know; the channel is called CT there, make sure that it "
        "shows the same)",
        "labels: background, label 1 (the dataset's own; Task004_Organ has background, label 1, label 2, label 3)",
    ]
