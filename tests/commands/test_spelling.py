"""The hint for an unknown option is one that means the same in this command, or none."""

from __future__ import annotations

import re

import pytest

from autoseg.commands.running import build_parser
from autoseg.commands.spelling import MEANINGS, hint
from autoseg.commands.umbrella import GROUPS, find_command, main

NAMES = [name for names in GROUPS.values() for name in names]

MEANT = [
    ("predict", "--input", "-i"),
    ("predict", "--output", "-o"),
    ("predict", "--model", "-m"),  # not --mode
    ("predict", "--configuration", "-m"),
    ("predict", "-c", "-m"),
    ("predict", "--task", "-t"),
    ("predict", "-d", "-t"),
    ("predict", "--fold", "-f"),
    ("predict", "--folds", "-f"),
    ("predict", "--trainer", "-tr"),
    ("predict", "--plans", "-p"),
    ("predict", "--device", "-device"),
    ("predict", "--save_probabilities", "--save_npz"),
    ("predict", "--disable-tta", "--disable_tta"),
    ("predict", "--disable_mirroring", "--disable_tta"),
    ("predict", "--threads", None),  # there are two kinds of them
    ("predict", "--stepsize", "--step_size"),
    ("predict", "--npz", "--save_npz"),
    ("predict", "--lowres_segmentation", "--lowres_segmentations"),
    ("predict", "--labels", None),
    ("predict", "--epochs", None),
    ("predict", "--rubbish", None),
    ("train", "--Epochs", "--epochs"),
    ("train", "--lr", "--learning_rate"),
    ("train", "--continue", "-c"),
    ("train", "--threads", "--num_workers"),
    ("train", "--weights", "-pretrained_weights"),
    ("train", "--input", None),
    ("convert_dataset", "--input", "-i"),
    ("convert_dataset", "--output", None),
    ("convert_dataset", "--labels", None),
    ("plan_and_preprocess", "-d", "-t"),
    ("plan_and_preprocess", "--verify", "--verify_dataset_integrity"),
    ("plan_and_preprocess", "--threads", "-tl"),
    ("export_model", "--output", "-o"),
    ("export_model", "--folds", "-f"),
    ("ensemble", "--input", None),
    ("ensemble", "--folds", None),  # its -f means folders
    ("evaluate_folder", "--gt", "-ref"),
    ("run", "--fold", "--folds"),
    ("run", "--output", "-o"),
    ("doctor", "--task", None),
]


@pytest.mark.parametrize(("command", "option", "meant"), MEANT)
def test_the_hint_means_the_same_or_is_left_out(
    command: str, option: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, option, "x"]) == 2

    ending = "" if meant is None else f"; did you mean {meant}?"
    assert capsys.readouterr().err.endswith(f"autoseg {command}: error: unknown option {option}{ending}\n")


@pytest.mark.parametrize(
    ("option", "name"), [("--task", "TASK"), ("-d", "TASK"), ("-m", "CONFIGURATION"), ("-f", "FOLD")]
)
def test_what_a_command_takes_without_an_option_is_said_so(option: str, name: str) -> None:
    parser = build_parser(find_command("train"), "autoseg_train")

    assert hint(option, parser._actions) == f"; {name} is named without one"


@pytest.mark.parametrize("command", NAMES)
def test_every_word_leads_to_an_option_of_its_meaning(command: str) -> None:
    parser = build_parser(find_command(command), command)
    for words, destinations in MEANINGS:
        for word in words.split():
            found = re.search(r"did you mean (\S+)\?", hint(f"--{word}", parser._actions))
            option = None if found is None else parser._option_string_actions[found[1]]
            spelt_so = option is not None and any(word == one.lstrip("-").casefold() for one in option.option_strings)
            assert option is None or spelt_so or option.dest in destinations.split(), (command, word)


def test_no_word_has_two_meanings() -> None:
    words = [word for words, _ in MEANINGS for word in words.split()]
    assert sorted(words) == sorted(set(words))
