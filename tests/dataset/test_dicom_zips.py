"""Zip files of DICOM series: read without a trace beside them, and refused where they could do harm."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_dicom import write_series

from autoseg.dataset import dicom_zips
from autoseg.dataset.dicom_cases import find_dicom_cases
from autoseg.dataset.new_cases import find_new_cases
from autoseg.errors import DatasetError
from autoseg.images import read_image

VOXELS = np.random.default_rng(0).integers(-100, 100, (3, 6, 5))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def packed(path: Path, *folders: Path, extra: dict[str, bytes] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for folder in folders:
            file.mkdir(f"DICOM/{folder.name}/")
            for one in sorted(folder.iterdir()):
                file.write(one, f"DICOM/{folder.name}/{one.name}")
        for name, content in (extra or {}).items():
            file.writestr(name, content)
    return path


def test_a_zip_is_the_case_of_its_series_and_nothing_is_written_beside_it(tmp_path: Path, scratch: Path) -> None:
    write_series(tmp_path / "ct", VOXELS)
    write_series(tmp_path / "in" / "other", VOXELS + 1)
    packed(
        tmp_path / "in" / "scan.zip", tmp_path / "ct", extra={"readme.txt": b"see inside", "VIEWER/run.exe": b"MZ" * 99}
    )
    before = sorted(tmp_path.joinpath("in").rglob("*"))
    other, scan = find_new_cases(tmp_path / "in", 1, scratch)
    assert (other.identifier, scan.identifier) == ("other", "scan")
    np.testing.assert_array_equal(read_image(scan.image_paths[0]).data, VOXELS)
    assert sorted(tmp_path.joinpath("in").rglob("*")) == before
    assert len(list((scratch / "scan.zip").iterdir())) == 3
    assert [case.identifier for case in find_new_cases(tmp_path / "in", 1)] == ["other"]


def test_several_series_in_a_zip_are_cases_of_their_own(tmp_path: Path, scratch: Path) -> None:
    for number in (1, 2):
        write_series(tmp_path / f"ct{number}", VOXELS, SeriesNumber=number)
    packed(tmp_path / "in" / "scan.zip", tmp_path / "ct1", tmp_path / "ct2")
    assert [case.identifier for case in find_dicom_cases(tmp_path / "in", 1, scratch)] == [
        "scan_series1",
        "scan_series2",
    ]
    write_series(tmp_path / "in" / "scan_series2", VOXELS)
    with pytest.raises(
        DatasetError, match="a folder and a zip file of one name: scan_series2; keep one of the two, or"
    ):
        find_dicom_cases(tmp_path / "in", 1, tmp_path / "again")


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr, found.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    return found


def hostile(entry: zipfile.ZipInfo, content: bytes = bytes(128) + b"DICM") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(entry, content)

    return write


def lying(path: Path) -> None:
    """A member that is longer than the directory says."""
    hostile(info("a.dcm"), bytes(128) + b"DICM" + bytes(5000))(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 24 : at + 28] = (200).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            hostile(info("../../evil.dcm")),
            "refused: '../../evil.dcm' in it leads elsewhere; get it again, or unpack it yours",
        ),
        (hostile(info("/etc/evil.dcm")), "refused: '/etc/evil.dcm' in it leads elsewhere"),
        (hostile(info("..\\evil.dcm")), "in it leads elsewhere"),
        (hostile(info("C:\\evil.dcm")), "in it leads elsewhere"),
        (hostile(info("link.dcm", stat.S_IFLNK | 0o777), b"/etc/passwd"), "refused: 'link.dcm' in it is a link"),
        (hostile(info("a.dcm"), bytes(2**26 + 1)), "refused: its files declare 0.1 GB, packed in 0.0 GB (a zip bomb)"),
        (lying, "refused: the zip file is damaged (BadZipFile"),
        (
            lambda path: path.write_bytes(b"PK no zip at all, but called one"),
            "refused: it is no zip file, or not whole",
        ),
        (
            hostile(info("notes.txt"), b"nothing to see"),
            "holds no DICOM series (slices of an image); name one that does",
        ),
    ],
)
def test_what_could_do_harm_is_refused(
    tmp_path: Path, scratch: Path, write: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "scan.zip")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DatasetError) as error:
        find_dicom_cases(tmp_path / "in", 1, scratch)
    assert f"{tmp_path}/in/scan.zip: {reason}" in str(error.value) or (
        "leads" in reason
        and str(error.value).startswith(f"{tmp_path}/in/scan.zip: refused: ")
        and reason in str(error.value)
    )
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(scratch) for path in written)
    assert str(scratch) not in str(error.value)


def test_files_and_space_have_limits(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "ct", VOXELS)
    packed(tmp_path / "in" / "scan.zip", tmp_path / "ct")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(DatasetError, match=r"its files need 0\.0 GB of the disk for temporary files, 0\.0 GB are free"):
        find_dicom_cases(tmp_path / "in", 1, scratch)
    monkeypatch.setattr(
        dicom_zips, "LIMITS", dicom_zips.ZipLimits(kind="a zip", size=2**30, members=2, directory=2**20)
    )
    with pytest.raises(DatasetError, match=r"it lists 4 files in .* bytes; an archive has at most 2 files"):
        find_dicom_cases(tmp_path / "in", 1, tmp_path / "again")


def test_a_damaged_slice_is_named_with_its_zip(tmp_path: Path, scratch: Path) -> None:
    write_series(tmp_path / "ct", VOXELS)
    first = tmp_path / "ct" / "03.dcm"
    first.write_bytes(first.read_bytes()[:-500])
    packed(tmp_path / "in" / "scan.zip", tmp_path / "ct")
    with pytest.raises(DatasetError, match=r"in/scan\.zip/000000_03\.dcm: is truncated"):
        find_dicom_cases(tmp_path / "in", 1, scratch)
