"""A task's raw data as its owner describes them: dataset.json, cases, folds, patients. No image is opened here."""

from autoseg.dataset.cases import (
    BACKGROUND,
    IMAGE_ENDINGS,
    LARGEST_LABEL,
    WRITTEN_ENDINGS,
    Case,
    Dataset,
    Labels,
    channel_file,
    find_case_files,
    image_files,
    split_ending,
)
from autoseg.dataset.description import Description, inspect_description, read_dataset, read_description

__all__ = [
    "BACKGROUND",
    "IMAGE_ENDINGS",
    "LARGEST_LABEL",
    "WRITTEN_ENDINGS",
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
    "split_ending",
]
