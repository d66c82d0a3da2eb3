"""Images held against training cases: what counts as like them, what is told of the others, how often that is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.images import whole_files
from autoseg.planning.appearance import Appearance, IntensityRange, measure_appearance
from autoseg.planning.comparison import FalseAlarms, compare_input, count_false_alarms, make_reference
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.limits import Reference

RAS = (1, 0, 0, 0, -1, 0, 0, 0, -1)  # rows of (z, y, x): the file's x axis points to the right, y to the front, z up
LAS = (1, 0, 0, 0, -1, 0, 0, 0, 1)
LPS = (1, 0, 0, 0, 1, 0, 0, 0, 1)
ASR = (0, 1, 0, 0, 0, -1, -1, 0, 0)


def spread(low: float, width: float, *, mirrored: bool = False) -> IntensityRange:
    """A range whose median lies at 0.4 of its width and whose bright tail is 0.2 longer than the dark one."""
    shares = [0, 0.1, 0.2, 0.4, 0.6, 0.9, 1]
    if mirrored:
        shares = [1 - share for share in reversed(shares)]
    return IntensityRange(
        **{name: low + width * share for name, share in zip(IntensityRange.__slots__, shares, strict=True)}
    )


def fingerprint(
    *,
    cases: int = 10,
    channels: tuple[str, ...] = ("MRI",),
    spacing: tuple[float, float, float] = (3.0, 1.0, 1.0),
    shape: tuple[int, int, int] = (20, 100, 80),
    direction: tuple[int, ...] = RAS,
    ranges: Callable[[int], tuple[IntensityRange | None, ...]] = lambda number: (spread(10, 100 + number),),
) -> DatasetFingerprint:
    return DatasetFingerprint(
        channels=channels,
        labels=("background", "organ"),
        cases=tuple(f"case_{number}" for number in range(cases)),
        spacings=(spacing,) * cases,
        shapes=(shape,) * cases,
        kept_fractions=(1.0,) * cases,
        intensities=(None,) * len(channels),
        directions=(direction,) * cases,  # type: ignore[arg-type]
        intensity_ranges=tuple(ranges(number) for number in range(cases)),
    )


USUAL = fingerprint()
LIKE_THEM = USUAL.appearances[3]


def warned(case: Appearance, reference: Reference) -> dict[str, str]:
    return {warning.name: warning.text for warning in compare_input(case, reference).warnings}


def test_a_training_case_is_like_the_training_cases() -> None:
    found = compare_input(LIKE_THEM, make_reference(USUAL))

    assert found.warnings == ()
    assert found.orientation == "RAS"
    assert found.values == pytest.approx(
        {
            "spacing_z": 3,
            "spacing_y": 1,
            "spacing_x": 1,
            "size_z": 60,
            "size_y": 100,
            "size_x": 80,
            "channel_0_width": 103,
            "channel_0_start": 10 / 103,
            "channel_0_middle": 0.4,
            "channel_0_tails": 0.2,
            "orientation": 0,
        }
    )


# ------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("spacing_z", (3, 3, 1.5, 6)),
        ("size_y", (100, 100, 50, 200)),
        ("channel_0_width", (100, 109, 0.1, 109_000)),
        ("channel_0_middle", (0.4, 0.4, 0.3, 0.5)),
        ("channel_0_tails", (0.2, 0.2, 0.15, 0.25)),
        ("channel_0_start", (10 / 109, 0.1, 10 / 109 - 0.25, 0.35)),
        ("orientation", (0, 0, 0, 45)),
    ],
)
def test_limits_of_cases_that_are_alike(name: str, limits: tuple[float, ...]) -> None:
    found = make_reference(USUAL).limits[name]
    assert (found.lowest, found.highest, found.lower_limit, found.upper_limit) == pytest.approx(limits)


def test_cases_that_differ_allow_what_could_come_next() -> None:
    """The prediction interval of a normal distribution: of 10 values 1 to 10, 5.5 +- t * 3.0277 * sqrt(1.1)."""
    sizes = [(2**number, 1, 1) for number in range(1, 11)]
    varied = replace(fingerprint(spacing=(1, 1, 1)), shapes=tuple(sizes))

    found = make_reference(varied).limits["size_z"]

    reach = 6.0101 * np.std(range(10), ddof=1) * np.sqrt(1.1)  # Student's t, 9 degrees of freedom, 0.9999
    assert (found.lowest, found.highest) == pytest.approx((2, 1024))
    assert np.log2([found.lower_limit, found.upper_limit]) == pytest.approx([5.5 - reach, 5.5 + reach], rel=1e-3)


def test_a_single_case_is_enough_to_compare_with() -> None:
    found = make_reference(fingerprint(cases=1))
    assert (found.cases, found.limits["spacing_z"].upper_limit) == (1, pytest.approx(6))
    assert count_false_alarms(fingerprint(cases=1)) == FalseAlarms(cases=0, warned=(), rate=None)


def test_few_cases_that_differ_widely_allow_anything_that_a_file_can_hold() -> None:
    varied = replace(fingerprint(cases=2), shapes=((1, 1, 1), (1000, 1, 1)))
    assert make_reference(varied).limits["size_z"].upper_limit == pytest.approx(np.exp(700))


def test_thickness_means_nothing_of_slices_without_neighbours() -> None:
    reference = make_reference(fingerprint(shape=(1, 100, 80)))
    assert {name for name in reference.limits if name.endswith("_z")} == set()
    assert warned(replace(LIKE_THEM, spacing=(999.0, 1.0, 1.0), shape=(1, 100, 80)), reference) == {}


# ------------------------------------------------------------------------------- grids


def test_a_voxel_size_in_another_unit_is_told_with_the_axes_and_the_remedy() -> None:
    texts = warned(replace(LIKE_THEM, spacing=(30.0, 10.0, 1.9)), make_reference(USUAL))
    assert texts == {
        "spacing": "voxel size in mm far from the training cases': z 30 (theirs 3), y 10 (theirs 1); check the voxel "
        "size in its header, which is meant in mm",
        "size": "size in mm far from the training cases': z 600 (theirs 60), y 1000 (theirs 100); check that it shows "
        "what the training images show, and its voxel size",
    }


def test_a_size_far_off_is_told_with_the_range_of_the_training_cases() -> None:
    varied = replace(USUAL, shapes=tuple((20 + number, 100, 80) for number in range(10)))
    texts = warned(replace(LIKE_THEM, shape=(200, 100, 80)), make_reference(varied))
    assert list(texts) == ["size"]
    assert "z 600 (theirs 60 to 87);" in texts["size"]
    assert warned(replace(LIKE_THEM, shape=(50, 60, 150)), make_reference(varied)) == {}


@pytest.mark.parametrize(
    ("direction", "told"),
    [
        (LAS, "its axes point to LAS, mirrored or reversed against the training cases' RAS; "),
        (LPS, "its axes point to LPS, mirrored or reversed against the training cases' RAS; "),
        (ASR, "its axes point to ASR, turned by 90 degrees against the training cases' RAS; "),
    ],
)
def test_an_orientation_that_no_training_case_has_is_told(direction: tuple[int, ...], told: str) -> None:
    case = replace(LIKE_THEM, direction=direction)  # type: ignore[arg-type]
    remedy = "check whether it was mirrored or its axes swapped, and reorient it as they are"
    assert warned(case, make_reference(USUAL)) == {"orientation": told + remedy}


def test_orientations_that_the_training_cases_have_are_like_them() -> None:
    mixed = replace(USUAL, directions=(*USUAL.directions[:7], LAS, LAS, LPS))  # type: ignore[arg-type]
    reference = make_reference(mixed)
    assert reference.orientations == ("RAS", "LAS", "LPS")
    for direction in (RAS, LAS, LPS):
        assert warned(replace(LIKE_THEM, direction=direction), reference) == {}  # type: ignore[arg-type]


def turned(degrees: float, direction: tuple[float, ...] = RAS) -> tuple[float, ...]:
    """A grid turned about its own z axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return tuple((np.reshape(direction, (3, 3)) @ turn).ravel().tolist())


def test_a_patient_who_lies_askew_is_like_the_others() -> None:
    reference = make_reference(USUAL)
    found = {angle: compare_input(replace(LIKE_THEM, direction=turned(angle)), reference) for angle in (44, 46)}  # type: ignore[arg-type]
    assert found[44].values["orientation"] == pytest.approx(44)
    assert (found[44].warnings, found[46].warnings[0].name) == ((), "orientation")


def test_oblique_grids_may_be_turned_further_but_not_mirrored() -> None:
    """45 degrees and twice the tilt, which is 40: 125."""
    oblique = turned(40)
    reference = make_reference(fingerprint(direction=oblique))  # type: ignore[arg-type]
    assert reference.limits["orientation"].upper_limit == pytest.approx(125)
    for angle, names in ((90, []), (124, []), (126, ["orientation"])):
        case = replace(LIKE_THEM, direction=turned(angle, oblique))  # type: ignore[arg-type]
        assert list(warned(case, reference)) == names
    mirrored = tuple((np.reshape(oblique, (3, 3)) @ np.diag([1, 1, -1])).ravel().tolist())
    assert ", mirrored or reversed against " in warned(replace(LIKE_THEM, direction=mirrored), reference)["orientation"]


# -------------------------------------------------------------------------- intensities


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (spread(0, 200_000), "width 2e+05 (theirs 100 to 109)"),
        (spread(-80, 100), "start (in widths of the range) -0.8 (theirs 0.09174 to 0.1)"),
        (spread(10, 100, mirrored=True), "median (in widths above the start) 0.6 (theirs 0.4)"),
        (spread(10, 100, mirrored=True), "bright tail minus dark tail (in widths) -0.2 (theirs 0.2)"),
    ],
)
def test_intensities_without_unit_are_compared_by_the_form_of_their_histogram(found: IntensityRange, told: str) -> None:
    text = warned(replace(LIKE_THEM, ranges=(found,)), make_reference(USUAL))["channel_0"]
    assert text.startswith("the intensities of channel 0 (MRI) are far from the training cases': ")
    assert told in text
    assert text.endswith("; check that it is the same kind of image, neither inverted, shifted nor windowed")


@pytest.mark.parametrize("factor", [0.2, 5])
def test_another_scale_of_images_without_unit_is_like_them(factor: float) -> None:
    assert warned(replace(LIKE_THEM, ranges=(spread(10 * factor, 100 * factor),)), make_reference(USUAL)) == {}


CT = fingerprint(channels=("CT",), ranges=lambda number: (spread(-1024 + number, 2000),))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            spread(0, 2000),
            "lowest 0 (theirs -1024 to -1015), median 800 (theirs -224 to -215), highest 2000 (theirs 976 to 985)",
        ),
        (spread(-160, 400), "lowest -160 "),
        (spread(-1024, 4000), "median 576 (theirs -224 to -215), highest 2976 (theirs 976 to 985)"),
    ],
)
def test_ct_is_compared_by_its_values(found: IntensityRange, told: str) -> None:
    text = warned(replace(LIKE_THEM, ranges=(found,)), make_reference(CT))["channel_0"]
    assert told in text
    assert text.endswith("; check the unit: CT is stored in Hounsfield units, with air at -1000")


def test_ct_may_differ_by_a_quarter_of_its_range() -> None:
    """The ranges are 2000 wide, and 500 is a quarter."""
    for shift, names in ((-480, []), (480, []), (520, ["channel_0"])):
        assert list(warned(replace(LIKE_THEM, ranges=(spread(-1020 + shift, 2000),)), make_reference(CT))) == names


def test_a_channel_that_is_empty_is_told_unless_training_cases_are_as_well() -> None:
    both = fingerprint(channels=("T1", "T2"), ranges=lambda number: (spread(10, 100), spread(20, 200 + number)))
    case = replace(LIKE_THEM, ranges=(spread(10, 100), None))
    constant = replace(LIKE_THEM, ranges=(spread(10, 100), spread(5, 0)))
    for one in (case, constant):
        assert warned(one, make_reference(both)) == {
            "channel_1": "channel 1 (T2) is empty or holds one value only, unlike in the training cases; check the file"
        }
    lacking = replace(both, intensity_ranges=((spread(10, 100), None), *both.intensity_ranges[1:]))
    assert warned(case, make_reference(lacking)) == {}


def test_only_what_was_measured_is_compared() -> None:
    older = replace(USUAL, directions=(), intensity_ranges=())
    case = replace(LIKE_THEM, direction=LAS, ranges=(spread(-1000, 3000),), spacing=(30.0, 1.0, 1.0))  # type: ignore[arg-type]
    assert list(warned(case, make_reference(older))) == ["spacing", "size"]


# ------------------------------------------------------------------------------ likeness


def likely(*values: float | None) -> DatasetFingerprint:
    return replace(fingerprint(cases=len(values)), likenesses=tuple((value,) for value in values))


def test_voxels_that_resemble_their_neighbours_less_than_half_as_much_are_told() -> None:
    reference = make_reference(likely(0.6, 0.9, 0.8))

    assert warned(replace(LIKE_THEM, likenesses=(0.29,)), reference) == {
        "channel_0": "the intensities of channel 0 (MRI) are far from the training cases': correlation of neighbouring "
        "voxels 0.29 (theirs 0.6 to 0.9); check that it is an image: neighbouring voxels differ as in noise, or where "
        "voxels are out of order"
    }
    for near in (0.31, 1.0, None):
        assert warned(replace(LIKE_THEM, likenesses=(near,)), reference) == {}


@pytest.mark.parametrize("values", [(0.9, 0.1), (0.9, None), ()])
def test_of_training_images_like_noise_or_not_measured_nothing_is_told(values: tuple[float | None, ...]) -> None:
    reference = make_reference(likely(*values) if values else USUAL)
    assert warned(replace(LIKE_THEM, likenesses=(0.0,)), reference) == {}


# ------------------------------------------------------------------------- false alarms


def test_false_alarms_are_counted_against_the_other_folds() -> None:
    """The fifth of the cases that shares an odd voxel size would not be known to the other four."""
    odd = replace(USUAL, spacings=(*USUAL.spacings[:8], (9.0, 1.0, 1.0), (9.0, 1.0, 1.0)))
    assert count_false_alarms(USUAL) == FalseAlarms(cases=10, warned=(), rate=0.0)
    assert count_false_alarms(odd) == FalseAlarms(cases=10, warned=("case_8", "case_9"), rate=0.2)


def test_a_thousand_cases_are_counted_in_a_moment() -> None:
    """It is said at every start of a prediction; the bound is far above what a processor needs for it."""
    many = fingerprint(cases=1000)
    started = time.thread_time()
    assert count_false_alarms(many).rate == 0
    assert time.thread_time() - started < 0.5


def test_normally_distributed_cases_are_rarely_warned_of() -> None:
    """A new case of the same kind, against few and many: a quarter of a percent by chance, and at most 1 % here."""
    generator = np.random.default_rng(0)

    def drawn(cases: int) -> DatasetFingerprint:
        sizes = np.exp(generator.normal(4, 0.5, (cases, 3))).astype(int) + 1
        spacings = np.exp(generator.normal(0, 0.5, (cases, 3)))
        widths, lows = np.exp(generator.normal(5, 1, cases)), generator.normal(0.5, 0.3, cases)
        plain = fingerprint(cases=cases, ranges=lambda number: (spread(lows[number] * widths[number], widths[number]),))
        return replace(plain, shapes=tuple(map(tuple, sizes.tolist())), spacings=tuple(map(tuple, spacings.tolist())))

    for cases in (5, 10, 100):
        repeats = 1000 // cases
        total = sum(len(count_false_alarms(drawn(cases)).warned) for _ in range(repeats))
        assert total <= 0.01 * cases * repeats


@pytest.fixture(scope="module")
def hippocampus(data_folder: Path) -> list[RawCase]:
    return read(data_folder / "Task04_Hippocampus" / "imagesTr", 60)


@pytest.fixture(scope="module")
def heart(data_folder: Path) -> list[RawCase]:
    return read(data_folder / "Task101_SunnybrookLV" / "imagesTr", 10)


class TestRealData:
    """Hippocampus MRI with intensities over four orders of magnitude, and oblique cardiac MRI."""

    def test_no_false_alarms_among_themselves(self, hippocampus: list[RawCase], heart: list[RawCase]) -> None:
        for cases in (hippocampus, heart):
            assert count_false_alarms(measured(cases)) == FalseAlarms(cases=len(cases), warned=(), rate=0.0)

    def test_what_is_wrong_is_told(self, hippocampus: list[RawCase], heart: list[RawCase]) -> None:
        reference = make_reference(measured(hippocampus))
        for case in heart:
            assert names(case, reference) == ["spacing", "size", "channel_0", "orientation"]
        for case in hippocampus[:10]:
            grid, data = case.geometry, case.data
            wrong_unit = replace(grid, spacing=(10.0, 10.0, 10.0))
            mirrored = replace(
                grid, direction=tuple(np.ravel(np.reshape(grid.direction, (3, 3)) @ np.diag([1, 1, -1])))
            )  # type: ignore[arg-type]
            like_ct = np.interp(data, (data.min(), data.max()), (-1000, 1000)).astype(np.float32)
            assert names(replace(case, geometry=wrong_unit), reference) == ["spacing", "size"]
            assert names(replace(case, geometry=mirrored), reference) == ["orientation"]
            assert names(replace(case, data=np.tile(data, (1, 10, 1, 1))), reference) == ["size"]
            assert names(replace(case, data=like_ct), reference) == ["channel_0"]

    def test_inverted_images_are_told(self, hippocampus: list[RawCase], heart: list[RawCase]) -> None:
        for cases, least in ((hippocampus, 0.95), (heart, 1.0)):
            reference = make_reference(measured(cases))
            told = [names(replace(case, data=case.data.max() - case.data), reference) for case in cases]
            assert sum("channel_0" in one for one in told) >= least * len(cases)

    def test_noise_within_the_range_of_the_images_is_told(
        self, hippocampus: list[RawCase], heart: list[RawCase]
    ) -> None:
        generator = np.random.default_rng(0)
        for cases in (hippocampus, heart):
            reference = make_reference(measured(cases))
            for case in cases[:10]:
                low, high = np.percentile(case.data, (0.5, 99.5))
                uniform = generator.uniform(low, high, case.data.shape)
                shuffled = generator.permuted(case.data.ravel()).reshape(case.data.shape)
                normal = generator.normal(case.data.mean(), case.data.std(), case.data.shape)
                constant = np.full_like(case.data, case.data.mean())
                for kind in (uniform, shuffled, normal, constant):
                    found = names(replace(case, data=kind.astype(np.float32)), reference)
                    assert "channel_0" in found, (case.identifier, found)


def read(folder: Path, most: int) -> list[RawCase]:
    files = sorted(folder.glob("[!.]*.nii.gz"))[:most]
    return [read_case(Case(identifier=path.name, images=whole_files([path]))) for path in files]


def measured(cases: list[RawCase]) -> DatasetFingerprint:
    looks = [measure_appearance(case.data, case.geometry) for case in cases]
    return replace(
        fingerprint(cases=len(cases)),
        spacings=tuple(look.spacing for look in looks if look),
        shapes=tuple(look.shape for look in looks if look),
        directions=tuple(look.direction for look in looks if look and look.direction),
        intensity_ranges=tuple(look.ranges for look in looks if look),
        likenesses=tuple(look.likenesses for look in looks if look),
    )


def names(case: RawCase, reference: Reference) -> list[str]:
    look = measure_appearance(case.data, case.geometry)
    assert look is not None
    return list(warned(look, reference))
