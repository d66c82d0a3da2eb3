"""New images by their names: with channel numbers or, of one channel, without; and what is said where none are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset.contents import describe_contents, require_images
from autoseg.dataset.new_cases import find_new_cases
from autoseg.errors import DatasetError


def fill(folder: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def found(folder: Path, channels: int = 1) -> dict[str, list[str]]:
    return {case.identifier: [path.name for path in case.image_paths] for case in find_new_cases(folder, channels)}


def test_of_one_channel_images_are_named_after_their_files(tmp_path: Path) -> None:
    fill(tmp_path, "b.nii.gz", "a.b.nrrd", "P_12.mha", "liver_00001.nii", ".hidden.nii", "notes.txt")
    assert found(tmp_path) == {
        "P_12": ["P_12.mha"],
        "a.b": ["a.b.nrrd"],
        "b": ["b.nii.gz"],
        "liver_00001": ["liver_00001.nii"],
    }


def test_channel_numbers_mean_what_they_did(tmp_path: Path) -> None:
    fill(tmp_path, "a_0000.nii.gz", "b_0000.nrrd")
    assert found(tmp_path) == {"a": ["a_0000.nii.gz"], "b": ["b_0000.nrrd"]}
    fill(tmp_path, "a_0001.nii.gz", "b_0001.nrrd")
    assert found(tmp_path, 2)["b"] == ["b_0000.nrrd", "b_0001.nrrd"]
    with pytest.raises(DatasetError, match=r"a: expected channels \[0\], found \[0, 1\]"):
        find_new_cases(tmp_path, 1)


def test_numbers_that_tell_cases_apart_are_taken_for_names_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "scan_0001.nii.gz", "scan_0002.nii.gz", "scan_0017.nii.gz")
    assert list(found(tmp_path)) == ["scan_0001", "scan_0002", "scan_0017"]
    assert caplog.messages == [
        f"{tmp_path}: the names end in numbers, but none in _0000: taken for the names of 3 cases of one image each"
    ]


@pytest.mark.parametrize("names", [("a_0001.nii.gz", "b_0001.nii.gz"), ("a_0001.nii.gz",)])
def test_a_channel_that_the_model_does_not_take_is_no_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError, match=r"expected channels \[0\], found \[1\]"):
        find_new_cases(fill(tmp_path, *names), 1)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a.nii.gz", "a_0000.nii.gz"), "(with: a_0000.nii.gz; without: a.nii.gz)"),
        (("b.nii.gz", "a_0000.nii.gz", "c_0000.nii.gz"), "(with: a_0000.nii.gz, c_0000.nii.gz; without: b.nii.gz)"),
        (("x.nii", "x_2021.nii"), "(with: x_2021.nii; without: x.nii)"),
    ],
)
def test_names_with_and_without_are_not_mixed(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    with pytest.raises(DatasetError) as error:
        find_new_cases(fill(tmp_path, *names), 1)
    assert f"{tmp_path}: some names end in a channel number and some do not {told}; name all images" in str(error.value)


def test_one_name_in_two_formats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: a\.nii has the same name; keep one of the two"):
        find_new_cases(fill(tmp_path, "a.nii", "a.nii.gz"), 1)


def test_a_model_of_several_channels_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        find_new_cases(fill(tmp_path, "a.mha"), 4)
    assert str(error.value) == (
        f"{tmp_path / 'a.mha'}: the name lacks its channel number; the model takes 4 channels, so name the images of each "
        "case <case>_0000.mha to <case>_0003.mha"
    )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("a.dcm", "1 DICOM file (a.dcm): convert the series to NIfTI: dcm2niix -z y -o IMAGES {folder}"),
        ("1.IMA 2.ima 3.ima 4.ima", "4 DICOM files (1.IMA, 2.ima, 3.ima, ...): convert"),
        ("a.gif b.WEBP c.jp2", "3 pictures (a.gif, b.WEBP, c.jp2): save each as PNG or TIFF, gray or RGB"),
        ("data.zip", "1 archive (data.zip): unpack it and name the folder of images in it"),
        ("data.tar.gz", "1 archive (data.tar.gz): unpack it"),
        ("a.img", "1 file of voxels of a header/image pair (a.img): name the header beside it, the file .hdr"),
        ("a.raw", "1 file of voxels alone (a.raw): name the header beside it, the file .mhd or .nhdr"),
        ("brain.mnc", "1 image in another format (brain.mnc): save each as NIfTI"),
        ("a.npy", "1 array (a.npy): save each as NIfTI"),
        (
            "notes.txt",
            "1 other file (notes.txt): no image by its name, which ends in .nii.gz, .nrrd, .mha, .png, .tif or .h5",
        ),
        (
            "imagesTr/a.nii.gz imagesTs/b.nii.gz dataset.json",
            "raw folder of autoseg, nnU-Net or the Decathlon: name {folder}/imagesTs",
        ),
        ("images/a.nii.gz labels/a.nii.gz", "name {folder}/images"),
        ("p1/t1.nii.gz p2/mri/t1.nii.gz", "2 folders (p1, p2) with images in: put the images into one folder"),
        (
            "p1/a.dcm p2/s1/b.dcm",
            "2 folders (p1, p2) of DICOM files: convert the series to NIfTI: dcm2niix -z y -o IMAGES {folder}",
        ),
        ("notes/a.txt", "1 folder (notes) without images"),
    ],
)
def test_what_lies_there_instead_is_said_with_what_to_do(tmp_path: Path, names: str, told: str) -> None:
    with pytest.raises(DatasetError) as error:
        find_new_cases(fill(tmp_path, *names.split()), 1)
    said = str(error.value)
    assert said.startswith(
        f"{tmp_path}: no images here (their names end in .nii.gz, .nrrd, .mha, .png, .tif or .h5), but\n  "
    )
    assert told.format(folder=tmp_path) in said


def test_dicom_files_without_an_ending_are_known_by_their_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "IM0", content=bytes(128) + b"DICM and more")
    fill(tmp_path, "README", "short")
    assert describe_contents(tmp_path).splitlines()[0].startswith("  1 DICOM file (IM0): ")
    require_images([tmp_path / "IM0"])  # pydicom is there, and will say what is wrong with it
    monkeypatch.setattr("autoseg.dataset.contents.find_spec", lambda _: None)
    with pytest.raises(DatasetError, match="IM0: a DICOM file, and no image that is read; convert the series"):
        require_images([tmp_path / "README", tmp_path / "IM0"])


def test_an_empty_folder_says_how_images_are_named(tmp_path: Path) -> None:
    assert describe_contents(tmp_path) == ""
    with pytest.raises(DatasetError, match=r"no images here; name them <case>_0000\.nii\.gz"):
        find_new_cases(tmp_path, 1)
    with pytest.raises(DatasetError, match="no such folder"):
        find_new_cases(tmp_path / "absent", 1)


def test_real_series_and_odd_files_are_named(data_folder: Path) -> None:
    series = next(path.parent for path in (data_folder / "dicom_series").rglob("*.dcm"))
    assert " DICOM file" in describe_contents(series)
    odd = data_folder / "odd_files" / "derived"
    assert "1 file of voxels alone (epi.zraw)" in describe_contents(odd)
