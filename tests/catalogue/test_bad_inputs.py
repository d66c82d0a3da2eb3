"""Files that other projects keep because they once broke a reader: each is read, or refused in these words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from spoiling import Place

from autoseg.commands import verify_dataset
from autoseg.errors import DatasetError
from autoseg.images import read_image

SOUND = "sound"
VOXELS = "holds the voxels of a header/image pair; name its header, the file .hdr"
COMPLEX = "its voxels are complex numbers; save it with one plain integer or float in each voxel"
COLOURS = "its voxels are RGB colours; save it with one plain integer or float in each voxel"
OTHER_NAME = "is no image by its name; convert it to .nii.gz, or correct the ending of its name"
NO_IMAGE = "is not a NIfTI image; replace it by one, or convert it to .nii.gz"
VOLUMES = "; images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz (autoseg_convert_decathlon_task does it for a Decathlon task)"
FILES = {
    "hippocampus_odd/hippocampus_010_LABEL_image_absent.nii.gz": SOUND,
    "hippocampus_odd/hippocampus_118_IMAGE_label_absent.nii.gz": SOUND,
    "hippocampus_odd/hippocampus_281_LABEL_foreign_512x512x94.nii.gz": SOUND,
    "nibabel/nibabel/tests/data/analyze.hdr": "is no NIfTI header (Analyze 7.5 has none of its own), and does not say left from right; convert the pair to .nii.gz",
    "nibabel/nibabel/tests/data/anatomical.nii": SOUND,
    "nibabel/nibabel/tests/data/example4d.nii.gz": "has 4 dimensions, of size (128, 96, 24, 2)" + VOLUMES,
    "nibabel/nibabel/tests/data/example_nifti2.nii.gz": "has 4 dimensions, of size (32, 20, 12, 2)" + VOLUMES,
    "nibabel/nibabel/tests/data/functional.nii": "has 4 dimensions, of size (17, 21, 3, 20)" + VOLUMES,
    "nibabel/nibabel/tests/data/nifti1.hdr": "its voxels should lie in nifti1.img, which is not there; put both side by side",
    "nibabel/nibabel/tests/data/nifti2.hdr": "is a NIfTI-2 file; save it as NIfTI-1, which every tool reads",
    "nibabel/nibabel/tests/data/reoriented_anat_moved.nii": SOUND,
    "nibabel/nibabel/tests/data/resampled_anat_moved.nii": SOUND,
    "nibabel/nibabel/tests/data/row_major.dconn.nii": "has 6 dimensions, of size (1, 1, 1, 1, 10, 10)" + VOLUMES,
    "nibabel/nibabel/tests/data/standard.nii.gz": SOUND,
    "nibabel/nibabel/tests/data/test.mgz": "has 4 dimensions, of size (3, 4, 5, 2); images are 3D here; save each volume as a channel of its own, <case>_0000.nii.gz, <case>_0001.nii.gz",
    "nifti_rs/resources/27/float32.nii": SOUND,
    "nifti_rs/resources/27/float64.nii": SOUND,
    "nifti_rs/resources/27/int16.nii": SOUND,
    "nifti_rs/resources/27/int32.nii": SOUND,
    "nifti_rs/resources/27/int64.nii": SOUND,
    "nifti_rs/resources/27/int8.nii": SOUND,
    "nifti_rs/resources/27/uint16.nii": SOUND,
    "nifti_rs/resources/27/uint32.nii": SOUND,
    "nifti_rs/resources/27/uint64.nii": SOUND,
    "nifti_rs/resources/27/uint8.nii": SOUND,
    "nifti_rs/resources/avg152T1_LR_nifti.hdr.gz": "its voxels should lie in avg152T1_LR_nifti.img.gz, which is not there; put both side by side",
    "nifti_rs/resources/avg152T1_LR_nifti.nii.gz": SOUND,
    "nifti_rs/resources/complex/complex32.nii": COMPLEX,
    "nifti_rs/resources/complex/complex64.nii": COMPLEX,
    "nifti_rs/resources/f32.nii.gz": SOUND,
    "nifti_rs/resources/fuzz_artifacts/crash-08123ef33416bd6f0c5fa63d44b681b8581d62a0": OTHER_NAME,
    "nifti_rs/resources/fuzz_artifacts/crash-1.nii": NO_IMAGE,
    "nifti_rs/resources/fuzz_artifacts/crash-98aa054390f8d3f932f190dc22ef62c6ff2d6619": OTHER_NAME,
    "nifti_rs/resources/fuzz_artifacts/crash-d03c6346fe83a026738f6b8cd2a9335a3f8cb158": OTHER_NAME,
    "nifti_rs/resources/fuzz_artifacts/crash-ed7d46344d7efb3b9f0c374d66d2e02f66cc447d.nii": NO_IMAGE,
    "nifti_rs/resources/minimal.hdr": SOUND,
    "nifti_rs/resources/minimal.hdr.gz": SOUND,
    "nifti_rs/resources/minimal.img": VOXELS,
    "nifti_rs/resources/minimal.img.gz": VOXELS,
    "nifti_rs/resources/minimal.nii": SOUND,
    "nifti_rs/resources/minimal.nii.gz": SOUND,
    "nifti_rs/resources/minimal2.hdr": SOUND,
    "nifti_rs/resources/minimal2.img.gz": VOXELS,
    "nifti_rs/resources/minimal_extended_hdr.nii": "has 2 dimensions, of size (8, 8); images are 3D here; save it as a volume of one slice",
    "nifti_rs/resources/rgb/3D.nii": COLOURS,
    "nifti_rs/resources/rgb/4D.nii": COLOURS,
    "nifti_rs/resources/rgba/4D.nii": "its voxels are RGBA colours; save it with one plain integer or float in each voxel",
    "nifti_rs/resources/zstat1.nii.gz": SOUND,
}
CRASHES = [
    NO_IMAGE,
    NO_IMAGE,
    NO_IMAGE,
    NO_IMAGE,
    NO_IMAGE,
]


@pytest.fixture
def folder(data_folder: Path) -> Path:
    if not (data_folder / "bad_inputs").is_dir():
        pytest.skip(f"needs {data_folder / 'bad_inputs'}, which is absent")
    return data_folder / "bad_inputs"


def said(path: Path) -> str:
    """What is wrong with an image file."""
    try:
        read_image(path)
    except DatasetError as error:
        return str(error).removeprefix(f"{path}: ")
    return SOUND


def test_each_file_is_read_or_refused_in_these_words(folder: Path) -> None:
    assert {name: said(folder / name) for name in FILES} == FILES


def test_files_that_crashed_a_reader_are_refused_under_the_name_of_an_image(folder: Path, tmp_path: Path) -> None:
    crashes = sorted((folder / "nifti_rs" / "resources" / "fuzz_artifacts").iterdir())
    words = []
    for number, crash in enumerate(crashes):
        shutil.copyfile(crash, tmp_path / f"{number}.nii")
        words.append(said(tmp_path / f"{number}.nii"))

    assert words == CRASHES


def test_the_label_of_another_patient_is_refused(
    folder: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(folder / "hippocampus_odd" / "hippocampus_281_LABEL_foreign_512x512x94.nii.gz", place.label)

    assert verify_dataset.main(["-t", "1", "--workers", "1", "--home", str(place.home)]) == 1
    assert (
        "\n  case case_001, labelsTr/case_001.nii.gz: lies on another grid than case_001_0000.nii.gz: "
        "size (8, 12, 12) and (94, 512, 512) voxels (z, y, x); resample it onto that grid\n"
    ) in capsys.readouterr().out
