"""The catalogue of bad input: each entry spoils a sound workspace and must be refused in its very words.

No traceback, exit code 1 or 2, and nothing written but what the entry allows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import spoilt_archives
import spoilt_bids
import spoilt_command_lines
import spoilt_datasets
import spoilt_dicom
import spoilt_facts
import spoilt_formats
import spoilt_images
import spoilt_layouts
import spoilt_metadata
import spoilt_models
import spoilt_outputs
import spoilt_plans
import spoilt_recipes
import spoilt_splits
import spoilt_targets
import spoilt_workspaces
from spoiling import Entry, Place, describe, tree

from autoseg.images import read_image
from autoseg.networks import build_network
from autoseg.plans import load_plans, save_plans

TABLES = (
    spoilt_datasets,
    spoilt_dicom,
    spoilt_facts,
    spoilt_formats,
    spoilt_images,
    spoilt_layouts,
    spoilt_bids,
    spoilt_metadata,
    spoilt_plans,
    spoilt_recipes,
    spoilt_splits,
    spoilt_targets,
    spoilt_models,
    spoilt_outputs,
    spoilt_archives,
    spoilt_workspaces,
    spoilt_command_lines,
)
CATALOGUE: tuple[Entry, ...] = tuple(entry for table in TABLES for entry in table.ENTRIES)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name.replace(" ", "_"))
def test_bad_input_is_refused_in_words_and_nothing_is_half_written(
    entry: Entry, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    entry.spoil(place)
    before = tree(place.outer)
    monkeypatch.chdir(place.outer)
    for variable, value in entry.environment.items():
        monkeypatch.setenv(variable, _filled(value, place))

    program, *words = _filled(entry.words, place).split(" ")
    words = [word.replace("\N{NO-BREAK SPACE}", " ") for word in words]
    own_home = entry.own_home or any(name.startswith("AUTOSEG_") for name in entry.environment)
    code = (_in_process_of_its_own if entry.alone else _called)(program, words + _home(place) * (not own_home))

    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
    assert _fits(_last_words(told.err, program), _filled(entry.message, place))
    if entry.report:
        assert f"\n{_filled(entry.report, place)}\n" in f"\n{told.out}"
    assert code == entry.code
    assert _changed(before, tree(place.outer), entry) == []


def test_the_catalogue_is_as_large_as_promised_and_each_entry_is_another() -> None:
    assert len(CATALOGUE) >= 60
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    assert {entry.code for entry in CATALOGUE} == {1, 2}
    assert len(spoilt_recipes.ENTRIES) >= 50
    assert len({(entry.message, entry.report) for entry in CATALOGUE}) >= 250


def _filled(text: str, place: Place) -> str:
    return text.replace("{home}", str(place.home)).replace("{outer}", str(place.outer))


def _fits(said: str, expected: str) -> bool:
    """Whether it is said to the letter, but for what no two machines share."""
    pattern = ".+".join(re.escape(part) for part in expected.split("{some}"))
    return said == expected or re.fullmatch(pattern, said) is not None


def _home(place: Place) -> list[str]:
    return ["--home", str(place.home)]


def _called(program: str, words: list[str]) -> int:
    module = "umbrella" if program == "autoseg" else program.removeprefix("autoseg_")
    code: int = import_module(f"autoseg.commands.{module}").main(words)
    return code


def _in_process_of_its_own(program: str, words: list[str]) -> int:
    script = shutil.which(program, path=str(Path(sys.executable).parent))
    command = [script] if script else [sys.executable, "-m", "autoseg", program]
    return subprocess.run([*command, *words], check=False, timeout=100, env={**os.environ}).returncode


def _last_words(told: str, program: str) -> str:
    """What the command says at last, after its name."""
    return f"\n{told}".rpartition(f"\n{program}: ")[2].removesuffix("\n")


def _changed(before: dict[str, str | bytes], after: dict[str, str | bytes], entry: Entry) -> list[str]:
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    hidden = [name for name in changed if ".writing-" in name or "/.installing-" in name]
    return hidden + sorted(name for name in changed if not any(Path(name).match(allowed) for allowed in entry.writes))


def test_three_hundred_classes_are_verified_planned_and_predicted(place: Place) -> None:
    """They are no bad input: a segmentation then has 16 bits."""
    names = {str(value): f"label {value}" for value in range(300)}
    describe(labels=names)(place)
    home = _home(place)
    assert _called("autoseg_verify_dataset", ["-t", "1", "--workers", "1", *home]) == 0
    assert _called("autoseg_plan_and_preprocess", ["-t", "1", "-tf", "1", "-no_pp", *home]) == 0

    _teach_to_answer(place, 299, classes=300)
    images, out = place.new.parent, place.outer / "out"
    assert _called("autoseg_predict", ["-i", str(images), "-o", str(out), "-m", "2d", "-device", "cpu", *home]) == 0
    predicted = read_image(out / "test_005.nii.gz").data
    assert predicted.dtype.itemsize == 2
    assert set(predicted.ravel().tolist()) == {299}


def _teach_to_answer(place: Place, answer: int, *, classes: int) -> None:
    """A model of many classes that finds one of them everywhere."""
    from autoseg.inference.model import load_weights, save_weights

    path = place.model() / "plans.pkl"
    plans = replace(load_plans(path), labels=tuple(f"label {value}" for value in range(classes)))
    save_plans(plans, path)
    network = build_network(plans.configuration("2d"), 1, classes)
    weights = {name: tensor * 0 for name, tensor in network.state_dict().items()}
    last = sorted(name for name in weights if name.startswith("decoder.0") and name.endswith("bias"))[-1]
    weights[last] = weights[last] + 1
    weights["heads.0.weight"][answer] += 1
    save_weights(place.weights(), replace(load_weights(place.weights()), weights=weights))
