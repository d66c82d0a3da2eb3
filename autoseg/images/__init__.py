"""Image files to arrays with their geometry and back."""

from autoseg.images.catalogue import (
    EXAMPLES,
    IMAGE_ENDINGS,
    WRITTEN_ENDINGS,
    files_of,
    holds_channels,
    image_hash,
    is_copied,
    split_ending,
    written_ending,
)
from autoseg.images.format import AS_FILES_SAY, Header, Reading, Told
from autoseg.images.image import Image, ImageReference, grid_differences, whole_files
from autoseg.images.reading import (
    image_description,
    read_header,
    read_image,
    read_images,
    read_label,
    read_stored_label,
    read_volumes,
)
from autoseg.images.writing import write_image

__all__ = [
    "AS_FILES_SAY",
    "EXAMPLES",
    "IMAGE_ENDINGS",
    "WRITTEN_ENDINGS",
    "Header",
    "Image",
    "ImageReference",
    "Reading",
    "Told",
    "files_of",
    "grid_differences",
    "holds_channels",
    "image_description",
    "image_hash",
    "is_copied",
    "read_header",
    "read_image",
    "read_images",
    "read_label",
    "read_stored_label",
    "read_volumes",
    "split_ending",
    "whole_files",
    "write_image",
    "written_ending",
]
