"""A task's raw data as its owner describes them: dataset.json, cases, folds, patients. Only `raw_cases` opens images."""

from autoseg.dataset.cases import (
    BACKGROUND,
    LARGEST_LABEL,
    Case,
    Dataset,
    Labels,
    channel_file,
    find_case_files,
    image_files,
)
from autoseg.dataset.description import Description, inspect_description, read_dataset, read_description

__all__ = [
    "BACKGROUND",
    "LARGEST_LABEL",
    "Case",
    "Dataset",
    "Description",
    "Labels",
    "channel_file",
    "find_case_files",
    "image_files",
    "inspect_description",
    "read_dataset",
    "read_description",
]
