"""What lies in a folder in which no image was found: its kinds of files by their names, and what to do with each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from autoseg.dataset.cases import image_files
from autoseg.dataset.dicom_zips import is_zip
from autoseg.errors import DatasetError
from autoseg.images import EXAMPLES, split_ending
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.words import counted, for_example, readable

IMAGE_FOLDERS = ("imagesTs", "imagesTr", "images")
"""Of raw folders, autoseg's, nnU-Net's and the Decathlon's; what is most likely to be predicted first."""

SAVE_AS_NIFTI = "save each as NIfTI (.nii.gz), for example in 3D Slicer or ITK-SNAP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Files that are no images to us.

    Attributes:
        what, several: One of them in words, and more than one.
        endings: Of their names, in small letters.
        remedy: What to do; "{folder}" stands for the folder they lie in.
    """

    what: str
    several: str
    endings: tuple[str, ...]
    remedy: str


DICOM = Kind(
    what="DICOM file",
    several="DICOM files",
    endings=(".dcm", ".ima", ".dicom"),
    remedy="convert the series to NIfTI: dcm2niix -z y -o IMAGES {folder} (or install what reads it: pip install 'autoseg[dicom]')",
)
KINDS = (
    DICOM,
    Kind(
        what="picture",
        several="pictures",
        endings=(".gif", ".webp", ".jp2", ".svg", ".heic"),
        remedy="save each as PNG or TIFF, gray or RGB",
    ),
    Kind(
        what="archive",
        several="archives",
        endings=(".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".7z", ".rar"),
        remedy="unpack it and name the folder of images in it",
    ),
    Kind(
        what="file of voxels of a header/image pair",
        several="files of voxels of header/image pairs",
        endings=(".img", ".img.gz"),
        remedy="name the header beside it, the file .hdr",
    ),
    Kind(
        what="file of voxels alone",
        several="files of voxels alone",
        endings=(".raw", ".zraw", ".raw.gz"),
        remedy="name the header beside it, the file .mhd or .nhdr",
    ),
    Kind(
        what="image in another format",
        several="images in other formats",
        endings=(".mnc", ".par", ".rec"),
        remedy=SAVE_AS_NIFTI,
    ),
    Kind(what="array", several="arrays", endings=(".npy", ".npz", ".mat"), remedy=SAVE_AS_NIFTI),
)


def describe_contents(folder: Path) -> str:
    """A line for each kind of thing in a folder and what to do with it; empty where nothing lies there."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in entries if path.is_file()]
    lines = [
        f"{_counted(found, kind.what, kind.several)}: {kind.remedy.format(folder=folder)}"
        for kind in KINDS
        if (found := [path for path in files if kind_of(path) is kind])
    ]
    lines += _folders(folder, [path for path in entries if path.is_dir()])
    if others := [path for path in files if kind_of(path) is None]:
        lines.append(f"{_counted(others, 'other file')}: no image by its name, which ends in .nii.gz, {EXAMPLES}")
    return "\n".join(f"  {line}" for line in lines)


def require_images(paths: Sequence[Path]) -> None:
    """Refuse files that are known to be something else.

    Raises:
        DatasetError: Naming the first, what it is and what to do.
    """
    for path in paths:
        if (is_dicom(path) or is_zip(path)) and find_spec("pydicom") is not None:
            continue
        if path.is_file() and (kind := kind_of(path)) is not None:
            article = "an" if kind.what[0] in "aeiouA" else "a"
            raise DatasetError(
                f"{readable(path)}: {article} {kind.what}, and no image that is read; "
                f"{kind.remedy.format(folder=path.parent)}"
            )


def kind_of(path: Path) -> Kind | None:
    """What a file is by its name, or a DICOM file by its beginning; None for images and what nobody knows."""
    name = path.name.lower()
    if split_ending(name)[1]:
        return None
    by_name = next((kind for kind in KINDS if name.endswith(kind.endings)), None)
    return by_name or (DICOM if is_dicom(path) else None)


def _folders(folder: Path, inner: Sequence[Path]) -> Iterator[str]:
    """What the folders in a folder are: one of images, one for each patient, of DICOM files, or none of these."""
    names = {path.name: path for path in inner}
    if images := next((names[name] for name in IMAGE_FOLDERS if name in names), None):
        yield f"{images.name}, as in a raw folder of autoseg, nnU-Net or the Decathlon: name {images}"
        return
    with_images = [path for path in inner if _holds(path, images=True)]
    with_dicom = [path for path in inner if path not in with_images and _holds(path, images=False)]
    if with_images:
        yield (
            f"{_counted(with_images, 'folder')} with images in: put the images into one folder, named after their cases "
            "(<case>_0000.nii.gz, <case>_0001.nii.gz, ... for each channel), or name one of these folders"
        )
    if with_dicom:
        yield f"{_counted(with_dicom, 'folder')} of DICOM files: {DICOM.remedy.format(folder=folder)}"
    if others := [path for path in inner if path not in with_images and path not in with_dicom]:
        yield f"{_counted(others, 'folder')} without images"


def _holds(folder: Path, *, images: bool) -> bool:
    try:
        if images and image_files(folder):
            return True
        return any(
            not images and kind_of(path) is DICOM if path.is_file() else _holds(path, images=images)
            for path in sorted(folder.iterdir())
            if not path.is_symlink()
        )
    except DatasetError:  # images of one name
        return images
    except OSError:
        return False


def _counted(paths: Sequence[Path], noun: str, nouns: str = "") -> str:
    return f"{counted(len(paths), noun, nouns)} ({for_example([path.name for path in paths])})"
