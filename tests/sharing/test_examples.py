"""Datasets and models by name: an index, a server that breaks off, and what is not what it should be."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from autoseg.commands.get_example import COMMAND as GET_EXAMPLE
from autoseg.commands.install_model import COMMAND as INSTALL
from autoseg.commands.list_models import COMMAND as LIST
from autoseg.conversion.phantom import make_phantom_task
from autoseg.dataset import read_dataset
from autoseg.errors import ModelError, StorageError
from autoseg.sharing.fetching import fetch, unpacked
from autoseg.sharing.index import SHIPPED, Offer, find_offer, read_index


class Files(BaseHTTPRequestHandler):
    """Serves what is in `files`, by parts where that is asked for; breaks off once where it is told to."""

    files: ClassVar[dict[str, bytes]] = {}
    breaks: ClassVar[set[str]] = set()
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.asked.append(f"{self.path} {begin}")
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if self.path in self.breaks:
            self.breaks.discard(self.path)
            self.wfile.write(content[begin : begin + len(content) // 2])
            return
        self.wfile.write(content[begin:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def server(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> str:
    return serve(Files)


@pytest.fixture(autouse=True)
def _here_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("AUTOSEG_INDEX", raising=False)
    Files.asked.clear()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A task's folder as a tar archive."""
    raw = make_phantom_task(tmp_path_factory.mktemp("raw"), "Task007_Phantom", cases=5, test_cases=0)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        packed.add(raw, raw.name)
    return content.getvalue()


def offer(server: str, content: bytes, name: str = "phantom") -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {
        "name": name,
        "about": "two organs",
        "address": f"{server}/{name}.tar",
        "digest": digest,
        "megabytes": 1,
        "licence": "CC0",
    }


def test_a_dataset_is_fetched_continued_after_a_break_checked_and_converted(
    server: str, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Files.files["/phantom.tar"] = archive
    Files.breaks.add("/phantom.tar")
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"format": 1, "datasets": [offer(server, archive)]}))
    words = ["phantom", "--index", str(index), "--home", str(tmp_path / "home")]

    assert GET_EXAMPLE(words) == 1
    assert "the connection broke after" in capsys.readouterr().err
    assert GET_EXAMPLE(words) == 0
    assert Files.asked == ["/phantom.tar 0", f"/phantom.tar {len(archive) // 2}"]
    raw = tmp_path / "home" / "raw_data"
    assert len(read_dataset(raw / "Task007_Phantom").training) == 5
    assert [path.name for path in raw.iterdir()] == ["Task007_Phantom"]
    assert "licence of the data: CC0" in capsys.readouterr().err


def test_without_a_name_all_that_there_is_is_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert GET_EXAMPLE(["--home", str(tmp_path)]) == 0
    assert "hippocampus" in capsys.readouterr().out
    assert GET_EXAMPLE(["hipocampus", "--home", str(tmp_path)]) == 1
    assert (
        "hipocampus: the list of datasets has nothing of that name; did you mean hippocampus?"
        in capsys.readouterr().err
    )


def test_another_file_than_is_meant_is_refused_and_goes_away(server: str, tmp_path: Path) -> None:
    Files.files["/other.tar"] = b"x" * 1000
    meant = Offer(**offer(server, b"y" * 1000, "other"))  # type: ignore[arg-type]
    with pytest.raises(
        ModelError, match=r"its sha256 is [0-9a-f]{64}, where [0-9a-f]{64} was expected, so it is damaged"
    ):
        fetch(meant, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match="cannot be fetched: Not Found"):
        fetch(Offer(**offer(server, b"", "absent")), tmp_path)  # type: ignore[arg-type]


def tar_of(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w") as packed:
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return path


def test_archives_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("task/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    for member, reason in ((tarfile.TarInfo("../x"), "leads elsewhere"), (link, "is no plain file")):
        path = tar_of(tmp_path / "bad.tar", member)
        with pytest.raises(ModelError, match=reason), unpacked(path, tmp_path / "unpacked"):
            pass
        assert not (tmp_path / "x").exists() and not (tmp_path / "unpacked").exists()
    (tmp_path / "no.tar").write_bytes(b"no archive")
    with (
        pytest.raises(ModelError, match="no archive that can be unpacked"),
        unpacked(tmp_path / "no.tar", tmp_path / "u"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "an index of format None"),
        ('{"format": 2}', "an index of format 2, but this autoseg reads format 1"),
        ('{"format": 1, "models": 3}', "correct the index, or name another"),
        ('{"format": 1, "models": [{"name": "a"}]}', "models"),
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=message):
        read_index(str(path), tmp_path)


def test_an_offer_needs_a_whole_digest_and_a_name_of_its_own(tmp_path: Path) -> None:
    one = offer("http://x", b"")
    path = tmp_path / "index.json"
    for changed, message in (
        ([{**one, "digest": "sha256:12"}], "digest: expected sha256: or md5: and its digits, found 'sha256:12'"),
        ([one, one], "datasets: phantom stands there twice"),
    ):
        path.write_text(json.dumps({"format": 1, "datasets": changed}))
        with pytest.raises(ModelError, match=message):
            read_index(str(path), tmp_path)


def test_models_are_listed_and_installed_by_the_names_of_an_index(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"no archive of models"
    Files.files["/models/balls.zip"] = content
    model = {**offer(server, content, "balls"), "address": "balls.zip", "input": "CT of balls"}
    Files.files["/models/index.json"] = json.dumps({"format": 1, "models": [model]}).encode()
    monkeypatch.setenv("AUTOSEG_INDEX", f"{server}/models/index.json")
    home = ["--home", str(tmp_path)]

    assert LIST(["--available", *home]) == 0
    assert "two organs; needs CT of balls" in capsys.readouterr().out
    assert INSTALL(["balls", *home]) == 1
    assert "results/balls.zip: refused: it " in capsys.readouterr().err  # fetched by its name, checked, and looked into
    assert not (tmp_path / "results" / "balls.zip").exists()
    assert INSTALL(["bals", *home]) == 1
    assert "bals: the index has nothing of that name; did you mean balls?" in capsys.readouterr().err


def test_what_comes_with_autoseg_has_whole_digests_and_web_addresses() -> None:
    assert len(SHIPPED.datasets) >= 4
    assert all(one.address.startswith("https://") and one.licence for one in SHIPPED.datasets)
    assert find_offer(SHIPPED.datasets, "hippocampus", "here").digest.startswith("sha256:")
