"""How a setting is typed: messages of the library name it as Python does, between backticks, and commands as their option."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

NAMED = re.compile(r"`(\w[\w.]*(?:\([^`()]*\))?(?:=[^`\n]*)?)`")
"""A setting, settings with their values, or a call."""

SEVERAL = re.compile(r", (?=\w+=)")

TYPED = {
    "batch_size": "--batch_size",
    "best=True": "--best",
    "candidates=...": "--rules FILE",
    "channels": "--channels",
    "check_leftovers(clean=True)": "autoseg_doctor --clean",
    "checkpoint": "-chk",
    "common": "--common",
    "compile=False": "--no_compile",
    "contrasts": "--contrasts",
    "configuration": "-m",
    "configurations": "-m",
    "convert_dataset(FOLDER)": "autoseg_convert_dataset -i FOLDER",
    "deterministic": "--deterministic",
    "device": "-device",
    "engine": "--engine",
    "ensembling=False": "--disable_ensembling",
    "epochs": "--epochs",
    "export_threads": "--num_threads_nifti_save",
    "folds": "-f",
    "fractions": "--fractions",
    "force_lowres": "--force_lowres",
    "gpu_memory_target": "-gpu_memory_target",
    "hdf5_arrays": "--hdf5_arrays",
    "sheared": "--sheared",
    "home": "--home",
    "iterations_per_epoch": "--iterations_per_epoch",
    "label_suffixes": "--label_suffixes",
    "labels": "--label_names",
    "learning_rate": "--learning_rate",
    "link": "--link",
    "lowres_segmentations": "-l",
    "mirror=False": "--disable_tta",
    "mode": "--mode",
    "multichannel": "--multichannel",
    "multiplanar": "--multiplanar",
    "multiplanar_3d": "--multiplanar_3d",
    "name": "--name",
    "number": "-output_task_id",
    "output": "-o",
    "output_format": "--output_format",
    "overwrite": "--overwrite_existing",
    "overwrite=True": "--overwrite",
    "part": "--part_id",
    "patients": "--patients",
    "planner_2d": "-pl2d",
    "planner_3d": "-pl3d",
    "PlannerChoice.gpu_memory_target": "autoseg_plan_and_preprocess -gpu_memory_target",
    "dropout_samples": "--dropout_samples",
    "halo": "--halo, --drop_border",
    "plans": "-p",
    "plans_from": "--plans_from",
    "precision": "--precision",
    "predict(save_npz=True)": "autoseg_predict --save_npz",
    "prepare_task(workers=1)": "-tl 1 -tf 1",
    "pretrained_weights": "-pretrained_weights",
    "preprocessing_threads": "--num_threads_preprocessing",
    "random": "--random",
    "remap_labels": "--remap_labels",
    "request.folds": "--folds",
    "resume=True": "-c",
    "save_npz": "--save_npz",
    "scoring.labels": "-l",
    "settings.workers": "--num_workers",
    "step_size": "--step_size",
    "strict_inputs": "--strict_inputs",
    "task": "-t",
    "trainer": "-tr",
    "test_on": "--test_on",
    "Trainer.validate": "autoseg_train ... -val",
    "trainers": "-tr",
    "validate": "-val",
    "views": "--views",
    "where": "--where",
    "workers": "-tl and -tf, or --workers",
    "workers=1": "-tl 1 -tf 1, --workers 1",
}
"""What stands between the backticks, and what a command shows in its place; a value follows where it has one.

What writes many files is told to `overwrite`, what makes a whole one by `overwrite=True`: their options differ.
"""


def typed(text: str) -> str:
    """A message with every setting as it is typed; what is no setting stays as it is."""
    return NAMED.sub(lambda found: _typed(found[1]) or found[0], text)


@contextmanager
def typed_log() -> Iterator[None]:
    """Let all that is logged meanwhile name settings so, in whatever file it ends."""
    former = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_TypedRecord)
    try:
        yield
    finally:
        logging.setLogRecordFactory(former)


class _TypedRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802
        return typed(super().getMessage())


def _typed(named: str) -> str | None:
    if named in TYPED:
        return TYPED[named]
    parts = SEVERAL.split(named)
    if len(parts) > 1 and all(every := [_typed(part) for part in parts]):
        return " ".join(map(str, every))
    name, equals, value = named.partition("=")
    return f"{TYPED[name]} {value}" if equals and name in TYPED else None
