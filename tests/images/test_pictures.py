"""PNG, JPEG, BMP and TIFF: every kind of pixel as the libraries wrote it, sizes of pixels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import (
    ImageReference,
    Reading,
    Told,
    files_of,
    image_hash,
    read_header,
    read_image,
    read_images,
    read_label,
    read_volumes,
    write_image,
)

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (5, 7), np.uint8)
DEEP = RANDOM.integers(0, 65536, (5, 7), np.uint16)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.dstack([COLOUR, np.full((5, 7), 9, np.uint8)])


def picture(path: Path, values: np.ndarray, **more: object) -> Path:
    Image.fromarray(values).save(path, **more)
    return path


def palette(path: Path, indices: np.ndarray, colours: list[tuple[int, int, int]]) -> Path:
    image = Image.fromarray(indices).convert("L")
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette([part for colour in colours for part in colour])
    image.save(path)
    return path


def refusal(path: Path, *, label: bool = False, most_dimensions: int = 4) -> str:
    with pytest.raises(DatasetError) as error:
        if label:
            read_label(path)
        else:
            read_header(path, most_dimensions=most_dimensions)
            read_volumes(path)
    return str(error.value).removeprefix(f"{path}: ")


# ------------------------------------------------------------------ pixels


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.PNG"])
def test_a_gray_picture_is_a_volume_of_one_slice(tmp_path: Path, name: str) -> None:
    path = picture(tmp_path / name, GRAY)
    found = read_image(path)
    np.testing.assert_array_equal(found.data, GRAY[None])
    assert found.data.dtype == np.uint8
    assert found.geometry == Geometry(spacing=(1, 1, 1))
    np.testing.assert_array_equal(read_label(path).data, GRAY[None])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, name: str) -> None:
    found = read_image(picture(tmp_path / name, DEEP))
    np.testing.assert_array_equal(found.data, DEEP[None])
    assert found.data.dtype == np.uint16


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
@pytest.mark.parametrize("values", [COLOUR, ALPHA])
def test_colours_are_three_channels_of_one_file_and_alpha_is_left_out(
    tmp_path: Path, name: str, values: np.ndarray
) -> None:
    path = picture(tmp_path / name, values if name != "a.bmp" else COLOUR)
    header = read_header(path, most_dimensions=4)
    assert header.shape == (3, 1, 5, 7)
    assert bool(header.remark) == (values is ALPHA and name != "a.bmp")
    blue, red = read_images([ImageReference(path=path, part=2), ImageReference(path=path, part=0)])
    np.testing.assert_array_equal(blue.data, COLOUR[None, ..., 2])
    np.testing.assert_array_equal(red.data, COLOUR[None, ..., 0])
    assert "is a picture of 3 colours" in refusal(path, most_dimensions=3) or name == "a.tif"
    assert "a label is one gray picture" in refusal(path, label=True)


def test_gray_with_alpha_is_gray(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", np.dstack([GRAY, GRAY // 2]))
    np.testing.assert_array_equal(read_image(path).data, GRAY[None])
    assert read_header(path).remark == "its alpha channel is left out"
    np.testing.assert_array_equal(read_label(path).data, GRAY[None])


def test_a_jpeg_is_read_as_pillow_decodes_it_and_is_no_label(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", COLOUR)
    np.testing.assert_array_equal(
        [one.data[0] for one in read_volumes(path)], np.array(Image.open(path)).transpose(2, 0, 1)
    )
    assert refusal(path, label=True) == (
        "is a JPEG, which changes the numbers of labels near their borders; save it as PNG"
    )


def test_labels_of_a_palette_are_its_numbers_and_an_image_its_colours(tmp_path: Path) -> None:
    indices = RANDOM.integers(0, 3, (5, 7), np.uint8)
    path = palette(tmp_path / "a.png", indices, [(0, 0, 0), (200, 10, 10), (10, 200, 10)])
    np.testing.assert_array_equal(read_label(path).data, indices[None])
    assert read_volumes(path)[0].data.tolist() == [np.array([0, 200, 10])[indices].tolist()]
    gray = palette(tmp_path / "b.png", indices, [(7, 7, 7), (8, 8, 8), (9, 9, 9)])
    np.testing.assert_array_equal(read_image(gray).data, indices[None] + 7)


def test_black_and_white_is_0_and_1(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", GRAY > 128)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png").data, (GRAY > 128)[None])
    tifffile.imwrite(tmp_path / "a.tif", GRAY > 128, photometric="minisblack")
    np.testing.assert_array_equal(read_label(tmp_path / "a.tif").data, (GRAY > 128)[None])


STACK = RANDOM.integers(0, 65536, (4, 5, 7), np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_a_tiff_stack_is_a_volume(tmp_path: Path, kind: str, compression: str | None) -> None:
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, STACK.astype(kind), compression=compression, photometric="minisblack")
    found = read_image(path)
    np.testing.assert_array_equal(found.data, STACK.astype(kind))
    assert found.data.dtype == np.dtype(kind)


def test_three_pages_are_a_volume_and_no_colours(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[:3], photometric="minisblack")
    assert read_image(tmp_path / "a.tif").data.shape == (3, 5, 7)


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_channels_come_first_wherever_they_stand_in_the_file(tmp_path: Path, axes: str) -> None:
    order = {"ZCYX": (1, 0, 2, 3), "CZYX": (0, 1, 2, 3)}[axes]
    volumes = RANDOM.integers(0, 256, (2, 4, 5, 7), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", volumes.transpose(order), metadata={"axes": axes}, photometric="minisblack"
    )
    np.testing.assert_array_equal([one.data for one in read_volumes(tmp_path / "a.ome.tif")], volumes)
    assert "holds 2 colours or channels" in refusal(tmp_path / "a.ome.tif", most_dimensions=3)


@pytest.mark.parametrize("values", [GRAY, STACK, COLOUR])
def test_lzw_needs_no_other_package(tmp_path: Path, values: np.ndarray) -> None:
    pages = [Image.fromarray(page) for page in (values if values is STACK else [values])]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    found = np.array([one.data for one in read_volumes(tmp_path / "a.tif")])
    expected = values.transpose(2, 0, 1)[:, None] if values is COLOUR else np.atleast_3d(values.T).T[None]
    np.testing.assert_array_equal(found, expected)


# ------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("name", "content", "spacing"),
    [
        ("a_0000.json", {"spacing": [2, 0.5, 0.25]}, (2, 0.5, 0.25)),
        ("a_0000.json", {"spacing": [0.5, 0.25]}, (0.5, 0.5, 0.25)),
        ("a.json", {"spacing": 0.5}, (0.5, 0.5, 0.5)),
        ("a_0000.json", {"PixelSize": [0.13, 0.2], "PixelSizeUnits": "um"}, (2e-4, 2e-4, 1.3e-4)),
        ("a_0000.json", {"PixelSize": [1, 2, 3], "PixelSizeUnits": "nm"}, (3e-6, 2e-6, 1e-6)),
        ("a_0000.json", {"Manufacturer": "x"}, (1, 1, 1)),
        ("b.json", {"spacing": 0.5}, (1, 1, 1)),
    ],
)
def test_a_sidecar_says_how_large_pixels_are(
    tmp_path: Path, name: str, content: object, spacing: tuple[float, ...]
) -> None:
    path = picture(tmp_path / "a_0000.png", GRAY)
    (tmp_path / name).write_text(json.dumps(content))
    assert read_header(path).geometry.spacing == pytest.approx(spacing, rel=1e-12)


def test_a_changed_sidecar_changes_what_is_read(tmp_path: Path) -> None:
    path = picture(tmp_path / "a_0000.png", GRAY)
    alone = image_hash(path)
    (tmp_path / "a.json").write_text('{"spacing": 1}')
    assert files_of(path) == (path, tmp_path / "a.json")
    assert image_hash(path) != alone


def test_the_task_says_it_where_no_sidecar_does(tmp_path: Path) -> None:
    path, reading = picture(tmp_path / "a.png", GRAY, dpi=(25400, 25400)), Reading(spacing=(0.5, 0.25))
    assert read_header(path).geometry.spacing == pytest.approx((0.001, 0.001, 0.001), rel=1e-4)
    assert read_header(path, reading=reading).geometry.spacing == (0.5, 0.5, 0.25)
    (tmp_path / "a.json").write_text('{"spacing": [3, 2, 1]}')
    assert read_header(path, reading=reading).geometry.spacing == (3, 2, 1)


def test_a_printers_resolution_says_nothing(tmp_path: Path) -> None:
    for dots in (72, 300, 1200):
        assert read_header(picture(tmp_path / "a.png", GRAY, dpi=(dots, dots))).geometry.spacing == (1, 1, 1)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(300, 300), resolutionunit="INCH")
    assert read_header(tmp_path / "a.tif").geometry.spacing == (1, 1, 1)


def test_instruments_say_it_in_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, resolution=(100, 50), resolutionunit="CENTIMETER")
    assert read_header(tmp_path / "a.tif").geometry.spacing == pytest.approx((0.2, 0.2, 0.1))
    size = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "b.tif", STACK, imagej=True, resolution=(4, 2), metadata=size)
    assert read_header(tmp_path / "b.tif").geometry.spacing == pytest.approx((2e-3, 5e-4, 2.5e-4))
    size = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.3}
    tifffile.imwrite(tmp_path / "c.ome.tif", STACK, metadata=size)
    assert read_header(tmp_path / "c.ome.tif").geometry.spacing == pytest.approx((3e-4, 2e-4, 1e-4))


# ----------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_labels_are_written_as_pictures_with_their_size_and_origin(tmp_path: Path, name: str, kind: type) -> None:
    labels = (GRAY[None] // 60).astype(kind)
    write_image(tmp_path / name, labels, Geometry(spacing=(2, 0.5, 0.25)), Told(description="autoseg of some origin"))
    found, header = read_label(tmp_path / name), read_header(tmp_path / name)
    np.testing.assert_array_equal(found.data, labels)
    assert found.data.dtype == kind
    assert header.geometry.spacing == pytest.approx((2, 0.5, 0.25), rel=1e-6)
    assert header.description == "autoseg of some origin"
    first = (tmp_path / name).read_bytes()
    write_image(tmp_path / name, labels, Geometry(spacing=(2, 0.5, 0.25)), Told(description="autoseg of some origin"))
    assert (tmp_path / name).read_bytes() == first


def test_a_stack_of_labels_is_written_as_tiff_and_not_as_png(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", STACK, Geometry(spacing=(2, 0.5, 0.25)))
    np.testing.assert_array_equal(read_label(tmp_path / "a.tif").data, STACK)
    for data, problem in (
        (STACK, "a picture is one plane, not 4"),
        (GRAY[None].astype("f4"), "a picture holds whole numbers from 0 to 65535"),
        (GRAY[None].astype("i4") - 300, "a picture holds whole numbers from 0 to 65535"),
    ):
        with pytest.raises(DatasetError, match=problem):
            write_image(tmp_path / "a.png", data, Geometry(spacing=(1, 1, 1)))
    with pytest.raises(DatasetError, match="TIFF stacks hold 8 or 16 bits or floats, not int32"):
        write_image(tmp_path / "b.tif", STACK.astype("i4"), Geometry(spacing=(1, 1, 1)))
    with pytest.raises(DatasetError, match="images are not written in this format"):
        write_image(tmp_path / "b.jpg", STACK, Geometry(spacing=(1, 1, 1)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


# ----------------------------------------------------------------- refused


def deep_colours(path: Path) -> Path:
    """A PNG of 16-bit colours, as no library at hand writes it."""
    content = bytearray(picture(path, COLOUR).read_bytes())
    content[24] = 16
    path.write_bytes(content)
    return path


def test_what_would_be_changed_without_a_word_is_refused(tmp_path: Path) -> None:
    assert refusal(deep_colours(tmp_path / "a.png")) == (
        "has colours of 16 bits, or alpha beside 16 bits; save it as TIFF, or with 8 bits"
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(tmp_path / "b.jpg", COLOUR, exif=exif)
    assert "asks viewers to turn it (EXIF orientation 6), which not all programs do; save it turned" in refusal(turned)
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.jpg")
    assert "has pixels of the kind CMYK, neither gray nor RGB" in refusal(tmp_path / "c.jpg")
    frames = [Image.fromarray(GRAY), Image.fromarray(GRAY[::-1])]
    frames[0].save(tmp_path / "d.png", save_all=True, append_images=frames[1:])
    assert "holds several frames" in refusal(tmp_path / "d.png")


def test_tiff_files_that_are_no_volume_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.ome.tif", STACK, metadata={"axes": "TYX"})
    assert "has the axes 'T', such as time" in refusal(tmp_path / "t.ome.tif")
    with tifffile.TiffWriter(tmp_path / "s.tif") as tiff:
        tiff.write(GRAY)
        tiff.write(GRAY[:3])
    assert "holds pictures of several sizes ((5, 7), (3, 7))" in refusal(tmp_path / "s.tif")
    tifffile.imwrite(tmp_path / "c.tif", GRAY.astype("c8"))
    assert "its pixels are of the type complex64" in refusal(tmp_path / "c.tif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp"])
def test_damaged_pictures_are_refused_in_words(tmp_path: Path, name: str) -> None:
    path = picture(tmp_path / name, GRAY)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is truncated or damaged (" in refusal(path)
    path.write_bytes(b"hello, this is no picture")
    assert " picture; copy it again, or correct the ending of its name" in refusal(path)
    path.unlink()
    assert "there is no such file" in refusal(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("no JSON", "goes with a picture, and is no JSON"),
        ("[1]", "goes with a picture, and is no JSON object"),
        ('{"spacing": "1"}', "its size of a pixel is '1', which are no numbers"),
        ('{"spacing": [true, 1]}', "its size of a pixel is [True, 1], which are no numbers"),
        ('{"spacing": [1, 0]}', "says that a pixel is [1, 0] mm; each of 2 or 3 sides must be from 1e-06 to 1e+06 mm"),
        ('{"spacing": [1, 1, 1, 1]}', "says that a pixel is [1, 1, 1, 1] mm"),
        ('{"PixelSize": [1, 1], "PixelSizeUnits": "furlong"}', "its PixelSizeUnits is 'furlong'; write mm, um or nm"),
    ],
)
def test_sidecars_that_say_no_size_are_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = picture(tmp_path / "a.png", GRAY)
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DatasetError) as error:
        read_image(path)
    assert problem in str(error.value)
    assert str(tmp_path / "a.json") in str(error.value)


def test_a_text_in_a_png_is_no_size(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("autoseg spacing", "a b c")
    assert read_header(picture(tmp_path / "a.png", GRAY, pnginfo=text)).geometry.spacing == (1, 1, 1)
