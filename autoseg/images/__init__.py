"""Image files to arrays with their geometry and back."""

from autoseg.images.catalogue import IMAGE_ENDINGS, WRITTEN_ENDINGS, split_ending
from autoseg.images.format import Header
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
    "IMAGE_ENDINGS",
    "WRITTEN_ENDINGS",
    "Header",
    "Image",
    "ImageReference",
    "grid_differences",
    "image_description",
    "read_header",
    "read_image",
    "read_images",
    "read_label",
    "read_stored_label",
    "read_volumes",
    "split_ending",
    "whole_files",
    "write_image",
]
