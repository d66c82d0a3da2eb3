"""How a channel's intensities are scaled, by name: what dataset.json and plans may say, and with which settings.

A rule is written as its name, or with settings behind it: `percentile(low=1, high=99, background=0)`; a function of the
user's own as `path/to/file.py:function`, to which plans add the digest of the file: `path/to/file.py:function@digest`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from autoseg.errors import DatasetError
from autoseg.words import nearest, readable

CT, Z_SCORE, NO_NORM = "CT", "nonCT", "noNorm"
WHERE: Mapping[str, object] = {"background": None, "mask": None}
"""Where is measured: above a number, or above a percentile of the channel ("1%"); inside the nonzero region, or all over."""

SETTINGS: Mapping[str, Mapping[str, object]] = {
    CT: {},
    Z_SCORE: WHERE,
    NO_NORM: {},
    "rgb": {},
    "min_max": WHERE,
    "percentile": {"low": 0.5, "high": 99.5, **WHERE},
    "robust": WHERE,
    "max_abs": WHERE,
    "quantile": WHERE,
    "histogram": {"clip": 0.01, "mask": None},
}
"""Of each rule its settings and their defaults. The percentiles are those that CT is clipped to (Isensee et al. 2021, Fig. 2),
the clip limit is that of scikit-image."""

OTHER_NAMES = {"MRI": Z_SCORE, "z_score": Z_SCORE, "zscore": Z_SCORE, "none": NO_NORM}
"""What people call them, too."""

MASKS = ("nonzero", "all")
WRITTEN = re.compile(r"(\w+)(?:\((.*)\))?", re.ASCII)
SETTING = re.compile(r"\s*(\w+)\s*=\s*([^=,]+?)\s*", re.ASCII)
OWN = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)(?:@(?P<digest>[0-9a-f]+))?")
PERCENTILE = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A function in a file of the user's own, and the digest of its code where plans hold one."""

    file: str
    name: str
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """A rule with its settings.

    Attributes:
        name: One of `SETTINGS`, or a function of the user's own.
        settings: Those that were given; the others are as `SETTINGS` has them.
    """

    name: str
    settings: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def own(self) -> OwnFunction | None:
        """The function, where it is one in the user's own file."""
        match = OWN.fullmatch(self.name)
        return OwnFunction(match["file"], match["function"], match["digest"]) if match else None

    @property
    def is_own(self) -> bool:
        """Whether it is a function in the user's own file."""
        return self.own is not None

    @property
    def mask(self) -> str | None:
        """`nonzero` or `all`, where it was said."""
        return str(self.settings["mask"]) if "mask" in self.settings else None

    @property
    def background(self) -> float | None:
        """The value above which is measured, where it is a number."""
        found = self.settings.get("background")
        return found if isinstance(found, float) else None

    @property
    def background_percentile(self) -> float | None:
        """The percentile of the channel above which is measured."""
        match = PERCENTILE.fullmatch(str(self.settings.get("background", "")))
        return float(match[1]) if match else None

    def number(self, name: str) -> float:
        """A setting, as it was given or as is usual."""
        return float(self.settings.get(name, SETTINGS[self.name][name]))  # type: ignore[arg-type]

    def __str__(self) -> str:
        said = ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.settings.items()
        )
        return f"{self.name}({said})" if said else self.name


@lru_cache(maxsize=1024)
def read_normalisation(text: str) -> Normalisation:
    """What a text says of how a channel is scaled.

    Raises:
        DatasetError: The name or a setting is unknown, or a value cannot be.
    """
    if OWN.fullmatch(text):
        return Normalisation(name=text)
    match = WRITTEN.fullmatch(text.strip())
    name = _known_name(match[1]) if match else None
    if match is None or name is None:
        close = nearest(match[1] if match else text, SETTINGS)
        raise DatasetError(
            f"unknown normalisation {readable(text)}{close}, known are {', '.join(SETTINGS)}, and a function of your own "
            "as path/to/file.py:function"
        )
    settings = dict(_setting(name, part) for part in (match[2] or "").split(",") if part.strip())
    found = Normalisation(name=name, settings=settings)
    if name == "percentile" and not 0 <= found.number("low") < found.number("high") <= 100:
        raise DatasetError(f"normalisation {readable(text)}: low must be below high, both from 0 to 100")
    if "background" in settings and found.mask is not None:
        raise DatasetError(f"normalisation {readable(text)}: give a background or a mask, not both")
    return found


def _known_name(name: str) -> str | None:
    names = {known.casefold(): known for known in SETTINGS} | {
        other.casefold(): known for other, known in OTHER_NAMES.items()
    }
    return names.get(name.casefold())


def _setting(name: str, text: str) -> tuple[str, float | str]:
    match, known = SETTING.fullmatch(text), SETTINGS[name]
    if match is None or match[1] not in known:
        has = f"its settings are {', '.join(known)}" if known else "it has no settings"
        raise DatasetError(f"normalisation {name}: {text.strip()!a} is no setting; {has}, as in background=0")
    key, value = match[1], match[2]
    if key == "mask":
        if value not in MASKS:
            raise DatasetError(f"normalisation {name}: mask is {value!a}; it is {' or '.join(MASKS)}")
        return key, value
    if key == "background" and (percent := PERCENTILE.fullmatch(value)) and float(percent[1]) < 100:
        return key, value
    return key, _number(name, key, value)


def _number(name: str, key: str, value: str) -> float:
    try:
        number = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        number = None
    if type(number) not in (int, float) or not math.isfinite(float(number)):
        hint = ', or a percentile such as "1%"' if key == "background" else ""
        raise DatasetError(f"normalisation {name}: {key} is {value!a}; it is a number{hint}")
    return float(number)
