"""What an unknown option was meant to be: one of the command that means the same, or is spelt nearly so, or nothing."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

MEANINGS = (
    ("input inputs input_folder input_dir in images image source i", "inputs source files"),
    ("output outputs output_folder output_dir out target o", "output target archive"),
    ("task tasks task_id task_name dataset dataset_id dataset_name d t", "task tasks"),
    ("model models configuration configurations config network c m", "configuration configurations"),
    ("fold folds f", "fold folds"),
    ("trainer trainers trainer_class tr", "trainer trainers"),
    ("plan plans plans_name plans_identifier identifier p", "plans"),
    ("device gpu cuda gpu_id", "device"),
    ("workers threads num_threads num_workers num_processes processes jobs np j", "workers num_workers tl tf"),
    ("checkpoint checkpoints checkpoint_name chk", "checkpoint checkpoints"),
    ("probabilities save_probabilities save_softmax softmax npz save_npz", "npz save_npz"),
    ("no_tta tta disable_tta disable_mirroring no_mirroring", "disable_tta"),
    ("continue continue_training resume", "resume"),
    ("overwrite overwrite_existing force", "overwrite overwrite_existing"),
    ("pretrained pretrained_weights weights initial_weights", "pretrained_weights"),
    ("label labels l", "labels"),
    ("reference references ref gt ground_truth truth", "references"),
    ("prediction predictions pred", "predictions"),
    ("epoch epochs num_epochs max_epochs", "epochs"),
    ("iterations num_iterations iterations_per_epoch", "iterations_per_epoch"),
    ("lr learning_rate initial_lr", "learning_rate"),
    ("batch batchsize batch_size bs", "batch_size"),
    ("val validate validation only_run_validation", "validate_only"),
    ("val_best valbest", "valbest"),
    ("verify verify_dataset_integrity check", "verify_dataset_integrity"),
    ("postprocessing pp rules pp_pkl_file", "rules"),
    ("gpu_memory memory gpu_memory_target", "gpu_memory_target"),
    ("step step_size overlap", "step_size"),
    ("channel channels modality modalities channel_names", "channel channels"),
    ("label_name label_names", "label_names"),
    ("home data_dir root", "home"),
)
"""Words that people and other programs use for an option, and what options of that meaning are called in the parsers."""

NEAR = 0.8
"""Of two spellings of one word, as difflib measures it."""


def hint(option: str, actions: Sequence[argparse.Action]) -> str:
    """What to say after the name of an unknown option; empty where nothing means the same."""
    name = _name(option)
    if same := [spelling for action in actions for spelling in action.option_strings if _name(spelling) == name]:
        return f"; did you mean {same[0]}?"
    for words, destinations in MEANINGS:
        if name in words.split():
            return _by_meaning([action for action in actions if action.dest in destinations.split()])
    known = {_name(spelling): spelling for action in actions for spelling in action.option_strings}
    near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _by_meaning(actions: Sequence[argparse.Action]) -> str:
    if not actions:
        return ""
    action = actions[0]
    return (
        f"; did you mean {action.option_strings[0]}?"
        if action.option_strings
        else f"; {action.metavar} is named without one"
    )


def _name(option: str) -> str:
    return option.lstrip("-").replace("-", "_").casefold()
