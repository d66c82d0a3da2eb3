"""Versions: of Python and of every package that ours names, against the ranges it names them with."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from autoseg.diagnosis.page import Diagnosis
from autoseg.words import counted

PACKAGE = "autoseg"
FOR_DEVELOPERS = ("test", "develop")
GAINS = {
    "tensorboard": "curves of a training in a browser",
    "openvino": "faster prediction on Intel processors",
}


def check_installation(package: str = PACKAGE) -> list[Diagnosis]:
    """Python, the packages that are needed, and the extras that are not."""
    try:
        described = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        remedy = "install it: pip install -e . in its folder"
        return [Diagnosis(level="warning", subject=package, found="runs, but is not installed", remedy=remedy)]
    needed = [Requirement(line) for line in metadata.requires(package) or ()]
    return [
        _check_python(described["Requires-Python"] or ""),
        *_check_needed([one for one in needed if _applies(one)]),
        *(
            _check_extra(extra, needed)
            for extra in described.get_all("Provides-Extra") or ()
            if extra not in FOR_DEVELOPERS
        ),
    ]


def _check_python(wanted: str) -> Diagnosis:
    version = platform.python_version()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return Diagnosis(level="ok", subject="Python", found=version)
    return Diagnosis(
        level="fault", subject="Python", found=f"{version}, but {wanted} is needed", remedy=f"install Python {wanted}"
    )


def _check_needed(needed: Sequence[Requirement]) -> list[Diagnosis]:
    diagnoses = [_check_package(one) for one in needed]
    wrong = [diagnosis for diagnosis in diagnoses if diagnosis.level != "ok"]
    if wrong:
        return wrong
    listed = ", ".join(f"{diagnosis.subject} {diagnosis.found}" for diagnosis in diagnoses)
    return [Diagnosis(level="ok", subject=counted(len(diagnoses), "package"), found=listed)]


def _check_package(one: Requirement) -> Diagnosis:
    version = _version(one.name)
    remedy = f'pip install "{one.name}{one.specifier}"'
    if version is None:
        return Diagnosis(level="fault", subject=one.name, found="not installed", remedy=remedy)
    if not one.specifier.contains(version, prereleases=True):
        found = f"{version}, but {one.specifier} is needed"
        return Diagnosis(level="fault", subject=one.name, found=found, remedy=remedy)
    return Diagnosis(level="ok", subject=one.name, found=version)


def _check_extra(extra: str, needed: Sequence[Requirement]) -> Diagnosis:
    """Not having one is no fault."""
    own = [one for one in needed if one.marker and not _applies(one) and one.marker.evaluate({"extra": extra})]
    states = [_check_package(one) for one in own]
    gain = f" ({GAINS[extra]})" if extra in GAINS else ""
    if all(state.level == "ok" for state in states):
        return Diagnosis(
            level="ok", subject=extra, found=", ".join(f"{state.subject} {state.found}" for state in states)
        )
    if any(_version(one.name) is not None for one in own):
        wrong = next(state for state in states if state.level != "ok")
        return Diagnosis(level="warning", subject=extra, found=f"{wrong.subject} {wrong.found}", remedy=wrong.remedy)
    packages = " ".join(f'"{one.name}{one.specifier}"' for one in own)
    return Diagnosis(level="ok", subject=extra, found=f"not installed{gain}; pip install {packages} adds it")


def _applies(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate({"extra": ""})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
