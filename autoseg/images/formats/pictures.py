"""PNG, JPEG and BMP through Pillow: pictures of one plane, gray or of three colours, which are three volumes of one file.

Pillow is told which format to expect, so that none of its many other readers meets a file; what it would change without a
word, colours of 16 bits and turned photographs, is refused.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images.format import Format, Header, Request, Told
from autoseg.images.formats.pixel_sizes import picture_grid, sidecars
from autoseg.images.refusals import SeveralVolumesError, first_bytes, refusal, require_possible_size

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "I;16B": 1, "I": 1, "P": 1, "PA": 1, "RGB": 3, "RGBA": 3}
"""By Pillow's mode, alpha left out."""

WITH_ALPHA = ("LA", "PA", "RGBA")
ALPHA_LEFT_OUT = "its alpha channel is left out"

ORIENTATION, UPRIGHT = 0x0112, 1
"""The EXIF tag that asks viewers to turn a photograph, and its value where they need not."""

MM_PER_INCH = 25.4
FINEST_PRINT = 1200
"""Dots per inch; a resolution up to this one is that of a screen or a printer, and says nothing of what is shown."""

PNG_COLOURS = (2, 4, 6)
"""Of PNG's types of colour those of several numbers a pixel."""

SPACING_KEY, ORIGIN_KEY, FRACTIONS_KEY = "autoseg spacing", "autoseg origin", "autoseg fractions"
WHITE = 255
"""Stands for 1 in pictures of fractions, so that they look as they should; `FRACTIONS_KEY` says that they are some."""
"""Under which a PNG of ours says the size of its voxels in mm, (z, y, x), and what it was made from."""

LARGEST_IN_PNG = 65_535
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises of damaged files."""


def _read_header(path: Path, wanted: Request, *, kind: str) -> Header:
    if kind == "JPEG" and wanted.label:
        raise refusal(path, "is a JPEG, which changes the numbers of labels near their borders", "save it as PNG")
    if kind == "PNG":
        _require_true_depth(path)
    with _opened(path, kind) as picture:
        mode, (width, height), info = picture.mode, picture.size, picture.info
        if getattr(picture, "n_frames", 1) > 1:
            raise refusal(path, "holds several frames", "save each as a picture of its own, or all as a TIFF stack")
        turned = picture.getexif().get(ORIENTATION, UPRIGHT) if kind == "JPEG" else UPRIGHT
        colours = _colours(picture, wanted)
    if turned != UPRIGHT:
        raise refusal(
            path, f"asks viewers to turn it (EXIF orientation {turned}), which not all programs do", "save it turned"
        )
    if mode not in COLOURS:
        raise refusal(path, f"has pixels of the kind {mode}, neither gray nor RGB", "save it as gray or RGB PNG")
    if colours > 1 and wanted.dimensions < 4:
        raise SeveralVolumesError(path, f"is a picture of {colours} colours", _COLOURS_REMEDY, label="gray picture")
    header = Header(
        shape=(*((colours,) if colours > 1 else ()), 1, height, width),
        voxel_type=np.dtype(np.uint16 if mode.startswith("I") else np.uint8),
        geometry=picture_grid(path, wanted.reading, _own_size(info)),
        slope=1 / WHITE if FRACTIONS_KEY in info else 1.0,
        description=str(info.get(ORIGIN_KEY, "")),
        remark=ALPHA_LEFT_OUT if mode in WITH_ALPHA else "",
    )
    require_possible_size(path, header)
    return header


_COLOURS_REMEDY = 'declare three channels in dataset.json ("0": "red", "1": "green", "2": "blue"), or save it as gray'


def _require_true_depth(path: Path) -> None:
    """Pillow makes 8 bits of colours that have 16, without a word. Source: PNG specification, 11.2.2 "IHDR"."""
    content, _ = first_bytes(path, 26)
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and len(content) == 26:
        depth, colour = content[24], content[25]
        if depth == 16 and colour in PNG_COLOURS:
            raise refusal(path, "has colours of 16 bits, or alpha beside 16 bits", "save it as TIFF, or with 8 bits")


def _colours(picture: Image, wanted: Request) -> int:
    if picture.mode in ("P", "PA") and not wanted.label:
        return 1 if _has_gray_palette(picture) else 3
    return COLOURS.get(picture.mode, 1)


def _has_gray_palette(picture: Image) -> bool:
    colours = np.frombuffer(picture.convert("RGB").tobytes(), np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _own_size(info: dict[str | tuple[int, int], object]) -> tuple[float, ...] | None:
    """In mm: as we wrote it, or by a resolution that is none of a screen or printer."""
    written = str(info.get(SPACING_KEY, "")).split()
    if len(written) == 3:
        try:
            return tuple(map(float, written))
        except ValueError:
            return None
    dots = info.get("dpi")
    if not isinstance(dots, tuple) or len(dots) != 2:
        return None
    x, y = (float(number) for number in dots)
    return (MM_PER_INCH / y, MM_PER_INCH / x) if x > FINEST_PRINT and y > FINEST_PRINT else None


def _read_voxels(path: Path, header: Header, wanted: Request, *, kind: str) -> Array:
    colours = header.shape[0] if len(header.shape) == 4 else 1
    with _opened(path, kind) as picture:
        if picture.mode in ("P", "PA"):
            palette = "RGB" if colours == 3 else "L"
            picture = (
                picture if wanted.label and picture.mode == "P" else picture.convert("P" if wanted.label else palette)
            )
        elif picture.mode == "1":
            picture = picture.convert("L").point(bool)
        elif picture.mode in WITH_ALPHA:
            picture = picture.convert(picture.mode[:-1])
        values = np.array(picture)
    shape = header.shape[-2:]
    if values.shape[:2] != shape:
        raise refusal(
            path, f"declares {shape[::-1]} pixels, {values.shape[1::-1]} are there", "copy or download it again"
        )
    planes = values.reshape(*shape, colours).transpose(2, 0, 1)
    return np.ascontiguousarray(planes, header.voxel_type).reshape(header.shape)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Image]:
    """The file, opened; what goes wrong with it is told, whatever Pillow raises."""
    from PIL import Image, UnidentifiedImageError

    first_bytes(path, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=(kind,)) as picture:
                yield picture
    except (DatasetError, SeveralVolumesError):
        raise
    except Image.DecompressionBombError as error:
        raise refusal(path, f"is larger than pictures are read ({error})", "save it as TIFF, or in tiles") from error
    except UnidentifiedImageError as error:
        raise refusal(path, f"is not a {kind} picture", "copy it again, or correct the ending of its name") from error
    except FAULTS as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy or download it again") from error


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    from PIL import Image, PngImagePlugin

    if len(data) != 1:
        raise refusal(path, f"a picture is one plane, not {len(data)}", "let the name end in .tif or .nii.gz")
    if data.dtype.kind not in "iu" or data.min() < 0 or data.max() > LARGEST_IN_PNG:
        raise refusal(path, "a picture holds whole numbers from 0 to 65535", "let the name end in .nii.gz")
    if told.step != 1:
        data = np.rint(data * (told.step * WHITE)).astype(np.uint8)
    kind = np.uint8 if data.max() <= np.iinfo(np.uint8).max and data.dtype.itemsize == 1 else np.uint16
    text = PngImagePlugin.PngInfo()
    if not geometry.in_pixels:
        text.add_text(SPACING_KEY, " ".join(repr(float(side)) for side in geometry.spacing))
    if told.description:
        text.add_text(ORIGIN_KEY, told.description)
    if told.step != 1:
        text.add_text(FRACTIONS_KEY, f"of {WHITE}")
    Image.fromarray(np.ascontiguousarray(data[0], kind)).save(path, "PNG", pnginfo=text)


PNG, JPEG, BMP = (
    Format(
        endings=endings,
        read_header=partial(_read_header, kind=kind),
        read_voxels=partial(_read_voxels, kind=kind),
        write=_write if kind == "PNG" else None,
        holds_step=True,
        written_as=".png",
        holds_channels=True,
        beside=sidecars,
    )
    for kind, endings in (("PNG", (".png",)), ("JPEG", (".jpg", ".jpeg")), ("BMP", (".bmp",)))
)
