"""Each rule by exact small tables, and by scikit-learn's scalers where it has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from autoseg.dataset.normalisations import SETTINGS, read_normalisation
from autoseg.errors import DatasetError, ExtensionError, PlanError
from autoseg.extensions import digest_of_code
from autoseg.plans import IntensityRule
from autoseg.preprocessing.normalisation import normalise

VALUES = np.array([0, 0, 2, 4, 6, 8, 10, 110], dtype=np.float32).reshape(1, 2, 2, 2)
INSIDE = np.array([-1, -1, 0, 0, 1, 0, 0, 0], dtype=np.int16).reshape(2, 2, 2)


def scaled(rule: str, values: np.ndarray = VALUES, *, mask: bool = False) -> list[float]:
    found = normalise(values, INSIDE if mask else None, rules=[IntensityRule(name=rule, masked=mask)], intensities=None)
    assert found.dtype == np.float32
    in_place = values.copy()
    normalise(in_place, INSIDE, rules=[IntensityRule(name=rule, masked=mask)], intensities=None, out=in_place)
    np.testing.assert_array_equal(in_place, found)
    return found.ravel().tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("rgb", [0, 0, 2 / 255, 4 / 255, 6 / 255, 8 / 255, 10 / 255, 110 / 255]),
        ("min_max", [0, 0, 2 / 110, 4 / 110, 6 / 110, 8 / 110, 10 / 110, 1]),
        ("min_max(background=0)", [-2 / 108, -2 / 108, 0, 2 / 108, 4 / 108, 6 / 108, 8 / 108, 1]),
        ("max_abs", [0, 0, 2 / 110, 4 / 110, 6 / 110, 8 / 110, 10 / 110, 1]),
        # of 2, 4, 6, 8, 10, 110: median 7, quartiles 4.5 and 9.5
        ("robust(background=0)", [-1.4, -1.4, -1, -0.6, -0.2, 0.2, 0.6, 20.6]),
        # 25 % of the voxels are at most 1.5, so that 2 to 110 are measured
        ("robust(background=25%)", [-1.4, -1.4, -1, -0.6, -0.2, 0.2, 0.6, 20.6]),
        # 20 and 80 % of 0, 0, 2, 4, 6, 8, 10, 110 lie at 0.8 and 9.2
        ("percentile(low=20, high=80)", [0, 0, 1.2 / 8.4, 3.2 / 8.4, 5.2 / 8.4, 7.2 / 8.4, 1, 1]),
        ("percentile(low=0, high=80, background=0)", [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]),
        ("quantile", [0, 0, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1]),
        ("quantile(background=0)", [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("nonCT(background=9)", [-1.2, -1.2, -1.16, -1.12, -1.08, -1.04, -1, 1]),
        ("noNorm", [0, 0, 2, 4, 6, 8, 10, 110]),
    ],
)
def test_each_rule_by_its_table(rule: str, expected: list[float]) -> None:
    assert scaled(rule) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("min_max", [0, 0, 0, 2 / 108, 4 / 108, 6 / 108, 8 / 108, 1]),
        ("robust", [0, 0, -1, -0.6, -0.2, 0.2, 0.6, 20.6]),
        ("quantile", [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("percentile(low=0, high=80)", [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]),
        ("rgb", [0, 0, 2 / 255, 4 / 255, 6 / 255, 8 / 255, 10 / 255, 110 / 255]),
    ],
)
def test_inside_a_mask_is_measured_and_outside_is_zero(rule: str, expected: list[float]) -> None:
    assert scaled(rule, mask=True) == pytest.approx(expected, abs=1e-6)


def test_colours_of_sixteen_bits_are_told_by_their_values() -> None:
    assert scaled("rgb", VALUES * 500)[-1] == pytest.approx(55000 / 65535)


@pytest.mark.parametrize(
    ("rule", "scaler"),
    [
        ("min_max", MinMaxScaler()),
        ("robust", RobustScaler()),
        ("max_abs", MaxAbsScaler()),
        ("nonCT", StandardScaler()),
        ("quantile", QuantileTransformer(n_quantiles=1000, subsample=None)),
    ],
)
def test_scikit_learn_finds_the_same(rule: str, scaler: object) -> None:
    """Fitted above the background, as the multi-planar system does, and applied to all."""
    image = np.random.default_rng(0).gamma(2, 50, (1, 12, 15, 20)).round(-1).astype(np.float32)
    above = image[image > 20].reshape(-1, 1).astype(np.float64)
    expected = scaler.fit(above).transform(image.reshape(-1, 1).astype(np.float64)).ravel()
    np.testing.assert_allclose(scaled(f"{rule}(background=20)", image), expected, atol=2e-6)


@pytest.mark.parametrize("rule", [name for name in SETTINGS if name not in ("CT", "noNorm")])
def test_a_constant_image_and_an_empty_mask_make_zeros_or_what_is_there(rule: str) -> None:
    constant = np.full((1, 2, 2, 2), 7, dtype=np.float32)
    nowhere = np.full((2, 2, 2), -1, dtype=np.int16)
    assert set(scaled(rule, constant)) <= {0.0, 1.0, np.float32(7 / 255).item()}
    empty = normalise(constant, nowhere, rules=[IntensityRule(name=rule, masked=True)], intensities=None)
    assert not empty.any()


@pytest.mark.parametrize("shape", [(1, 1, 64, 48), (1, 6, 32, 40)])
def test_histograms_are_equalised_as_scikit_image_does_it(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).gamma(1, 100, shape).astype(np.float32)
    between = (image[0].astype(np.float64) - image.min()) / (image.max() - image.min())
    expected = equalize_adapthist(between.squeeze(), clip_limit=0.05)
    np.testing.assert_allclose(scaled("histogram(clip=0.05)", image), expected.ravel(), atol=1e-6)
    assert np.std(scaled("histogram", image)) > 1.5 * between.std()


OWN = """
def halved(image, inside):
    image[~inside] = 9
    return image / 2

def short(image, inside):
    return image[0]

def infinite(image, inside):
    return image / 0
"""


def test_a_function_of_ones_own_is_called_with_the_image_and_where_it_counts(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    before, digest = VALUES.copy(), digest_of_code(file)
    assert scaled(f"{file}:halved@{digest}") == [0, 0, 1, 2, 3, 4, 5, 55]
    assert scaled(f"{file}:halved@{digest}", mask=True) == [0, 0, 1, 2, 3, 4, 5, 55]
    np.testing.assert_array_equal(VALUES, before)
    with pytest.raises(ExtensionError, match=r"returned an array of shape \(2, 2\)"):
        scaled(f"{file}:short@{digest}")
    with np.errstate(all="ignore"), pytest.raises(ExtensionError, match="or numbers that are not finite"):
        scaled(f"{file}:infinite@{digest}")
    with pytest.raises(ExtensionError, match="has no function absent; define absent"):
        scaled(f"{file}:absent@{digest}")
    with pytest.raises(ExtensionError, match="no such file"):
        scaled(f"{tmp_path}/other.py:absent@{digest}")


@pytest.mark.parametrize("said", ["", "@0123"])
def test_no_code_runs_but_what_the_plans_were_made_with(tmp_path: Path, said: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise SystemExit")
    with pytest.raises(ExtensionError, match=r"is not the file that the plans were made with, .* bring that file"):
        scaled(f"{file}:halved{said}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("percentil", "unknown normalisation percentil; did you mean percentile?, known are CT, nonCT, noNorm, rgb"),
        ("robust(", "unknown normalisation robust("),
        ("robust(low=1)", "normalisation robust: 'low=1' is no setting; its settings are background, mask, as in"),
        ("rgb(mask=all)", "normalisation rgb: 'mask=all' is no setting; it has no settings"),
        ("robust(background=x)", "normalisation robust: background is 'x'; it is a number, or a percentile such as"),
        ("robust(background=100%)", "background is '100%'"),
        ("percentile(low=nan)", "low is 'nan'; it is a number"),
        ("percentile(low=99, high=1)", "low must be below high, both from 0 to 100"),
        ("robust(mask=zero)", "mask is 'zero'; it is nonzero or all"),
        ("robust(mask=all, background=0)", "give a background or a mask, not both"),
    ],
)
def test_rules_that_nobody_knows_are_refused(text: str, problem: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_normalisation(text)
    assert problem in str(error.value)
    with pytest.raises(PlanError):
        IntensityRule(name=text)


def test_other_names_and_letters_are_understood_and_written_in_one_way() -> None:
    assert [str(read_normalisation(text)) for text in ("MRI", "zscore(background=0)", "Robust( background = 1% )")] == [
        "nonCT",
        "nonCT(background=0)",
        "robust(background=1%)",
    ]
