"""A task's raw data as its owner describes them: dataset.json, cases, folds, patients. Only `raw_cases` opens images."""

from autoseg.dataset.cases import (
    Case,
    Dataset,
    channel_file,
    find_case_files,
    image_files,
)
from autoseg.dataset.description import Description, inspect_description, read_dataset, read_description
from autoseg.dataset.target import BACKGROUND, IGNORED, LARGEST_LABEL, OUTSIDE, Exclusive, Masks, Regions, Target

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "LARGEST_LABEL",
    "OUTSIDE",
    "Case",
    "Dataset",
    "Description",
    "Exclusive",
    "Masks",
    "Regions",
    "Target",
    "channel_file",
    "find_case_files",
    "image_files",
    "inspect_description",
    "read_dataset",
    "read_description",
]
