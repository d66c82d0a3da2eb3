"""The names that images have."""

from __future__ import annotations

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
WRITTEN_ENDINGS = (".nii.gz", ".nii")


def split_ending(name: str) -> tuple[str, str]:
    """Split a file name into stem and image ending; the ending is empty where the name is no image's."""
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""
