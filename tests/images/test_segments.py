"""Segments that 3D Slicer names in NRRD headers: read, and refused where they contradict themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DatasetError
from autoseg.images import read_image
from autoseg.images.segments import Segment, read_segments

LAYERS = (
    "holds segments that overlap, in layers; a label image has one number a voxel; "
    "decide where they overlap, in 3D Slicer by exporting them to a labelmap, and save that"
)


def write(path: Path, lines: list[str], *, sizes: str = "2 2 2", encoding: str = "utf-8", end: str = "\n") -> Path:
    dimensions = len(sizes.split())
    header = ["NRRD0005", "type: uint8", f"dimension: {dimensions}", f"sizes: {sizes}", "encoding: raw"]
    if dimensions == 3:
        header.append("spacings: 1 1 1")
    path.write_bytes(end.join([*header, *lines, "", ""]).encode(encoding) + bytes(np.prod([*map(int, sizes.split())])))
    return path


def named(*segments: tuple[str, object]) -> list[str]:
    lines = []
    for number, (name, value) in enumerate(segments):
        lines += [f"Segment{number}_Name:={name}", f"Segment{number}_LabelValue:={value}", f"Segment{number}_Layer:=0"]
    return lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_segments_come_by_their_values(tmp_path: Path, end: str) -> None:
    lines = [*named(("liver", 7), ("left  kidney ", 2)), "Segment0_Color:=0.5 0.5 0.1", "user key:=a value"]
    path = write(tmp_path / "a.seg.nrrd", lines, end=end)

    assert read_segments(path) == (Segment(name="left kidney", value=2), Segment(name="liver", value=7))
    assert read_image(path).data.shape == (2, 2, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_may_hold_umlauts_blanks_and_colons(tmp_path: Path, encoding: str) -> None:
    """An Å in UTF-8 ends in a byte that latin-1 takes for a line break."""
    path = write(tmp_path / "a.nrrd", named(("Gefäß: Ådra", 1), ("ÅÅ: b", 2)), encoding=encoding)

    assert [segment.name for segment in read_segments(path)] == ["Gefäß: Ådra", "ÅÅ: b"]
    assert read_image(path).data.sum() == 0


def test_composed_and_decomposed_umlauts_are_one_name(tmp_path: Path) -> None:
    (segment,) = read_segments(write(tmp_path / "a.nrrd", named(("Gefa\N{COMBINING DIAERESIS}ß", 1))))
    assert segment.name == "Gefäß"


def test_escaped_characters_are_what_they_stand_for(tmp_path: Path) -> None:
    (segment,) = read_segments(write(tmp_path / "a.nrrd", named((r"left\nlobe \\ n", 1))))
    assert segment.name == "left lobe \\ n"


def test_other_images_name_no_segments(tmp_path: Path) -> None:
    assert read_segments(write(tmp_path / "a.nrrd", ["key:=value"])) == ()
    assert read_segments(write(tmp_path / "a.nii.gz", named(("liver", 1)))) == ()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (named(("liver", 1), ("spleen", 1)), "its segments liver, spleen have one value; give each its own"),
        (named(("cyst", 1), ("cyst", 2)), "names several segments alike: cyst (1), cyst (2); name each differently"),
        (named(("Cyst", 1), ("cyst", 2)), "names several segments alike: Cyst (1), cyst (2); name each differently"),
        (named((" ", 1)), "its segment 0 has no name; name it, and save it anew"),
        (named(("liver", 0)), "its segment liver has no value above 0 (LabelValue: 0); save it anew in 3D Slicer"),
        (named(("liver", "1.5")), "its segment liver has no value above 0 (LabelValue: 1.5)"),
        (named(("liver", -2)), "its segment liver has no value above 0 (LabelValue: -2)"),
        (["Segment0_Name:=liver"], "its segment liver has no value above 0 (LabelValue: none)"),
        ([*named(("liver", 1)), "Segment0_Name:=spleen"], "its header says Segment0_Name twice; save it anew"),
        ([*named(("a", 1)), "Segment1_Name:=b", "Segment1_LabelValue:=1", "Segment1_Layer:=1"], LAYERS),
    ],
)
def test_headers_that_contradict_themselves(tmp_path: Path, lines: list[str], reason: str) -> None:
    path = write(tmp_path / "a.nrrd", lines)
    with pytest.raises(DatasetError) as error:
        read_segments(path)
    assert str(error.value).startswith(f"{path}: {reason}")


def test_a_file_of_layers_says_that_its_segments_overlap(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg.nrrd", named(("liver", 1), ("tumour", 1)), sizes="2 2 2 2")
    for read in (read_image, read_segments):
        if read is read_segments:
            path = write(tmp_path / "b.seg.nrrd", [*named(("liver", 1)), "Segment1_Name:=b", "Segment1_Layer:=1"])
        with pytest.raises(DatasetError) as error:
            read(path)
        assert str(error.value) == f"{path}: {LAYERS}"
