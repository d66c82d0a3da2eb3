"""Fetching: web addresses only, counted, and gone afterwards."""

from __future__ import annotations

import io
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.request import Request

import pytest

from autoseg.errors import AutosegError, DiskError, ModelError, StorageError
from autoseg.sharing.downloading import WebOnly, downloaded, is_url

CONTENT = bytes(range(256)) * 5000


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/model.zip":
            self._answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)
        elif self.path == "/unannounced.zip":
            self._answer(200, {}, CONTENT)
        elif self.path == "/short.zip":
            self._answer(200, {"Content-Length": str(len(CONTENT) + 10)}, CONTENT)
        elif self.path == "/moved.zip":
            self._answer(302, {"Location": "/model.zip"})
        elif self.path == "/to_file.zip":
            self._answer(302, {"Location": "file:///etc/passwd"})
        elif self.path == "/to_ftp.zip":
            self._answer(302, {"Location": "ftp://host/x.zip"})
        elif self.path == "/circle.zip":
            self._answer(302, {"Location": "/circle.zip"})
        else:
            self._answer(404, {})

    def _answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def server(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> str:
    return serve(Pages)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("page", ["model.zip", "unannounced.zip", "moved.zip"])
def test_the_file_is_there_meanwhile_and_gone_afterwards(server: str, tmp_path: Path, page: str) -> None:
    with downloaded(f"{server}/{page}", tmp_path / "results") as path:
        assert path.read_bytes() == CONTENT
        assert path.is_relative_to(tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("absent.zip", "cannot be fetched: Not Found; check the address and the connection"),
        ("short.zip", "1280000 of 1280010 bytes came; try again"),
        ("circle.zip", "cannot be fetched: .*redirect"),
    ],
)
def test_what_the_server_does_not_give(server: str, tmp_path: Path, page: str, reason: str) -> None:
    with pytest.raises(StorageError, match=f"{server}/{page}: {reason}"), downloaded(f"{server}/{page}", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_does_not_fit_on_the_disk(server: str, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(65_536)
    with pytest.raises(DiskError) as caught, downloaded(f"{server}/model.zip", disk):
        pass
    assert str(caught.value) == (
        f"{server}/model.zip: does not fit into {disk}; free some space, or name a folder on a larger disk (`home`)"
    )
    assert list(disk.iterdir()) == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"127\.0\.0\.1:1/x\.zip: cannot be fetched: .*refused; check the address"),
        downloaded("http://127.0.0.1:1/x.zip", tmp_path),
    ):
        pass


@pytest.mark.parametrize("page", ["model.zip", "unannounced.zip"])
def test_a_file_too_large_is_not_kept(server: str, tmp_path: Path, page: str) -> None:
    limit = len(CONTENT) - 1
    with (
        pytest.raises(ModelError, match=rf"{page}: refused: larger than the {limit} bytes that an archive"),
        downloaded(f"{server}/{page}", tmp_path, limit=limit),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/x.zip", "data://text,x", "https://", "http://[", "gopher://host/x"]
)
def test_other_addresses_are_refused(tmp_path: Path, address: str) -> None:
    assert is_url(address)
    with (
        pytest.raises(ModelError, match=r"refused: not a web address; give one that starts with https:// or http://"),
        downloaded(address, tmp_path / "results"),
    ):
        pass
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("to_file.zip", r"cannot be fetched: .*'file:///etc/passwd' is not allowed"),
        ("to_ftp.zip", r"'ftp://host/x\.zip': refused: not a web address"),
    ],
)
def test_a_server_cannot_lead_elsewhere(server: str, tmp_path: Path, page: str, reason: str) -> None:
    with pytest.raises(AutosegError, match=reason), downloaded(f"{server}/{page}", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_cannot_lead_from_a_protected_address_to_an_open_one() -> None:
    request = Request("https://host/x.zip")
    with pytest.raises(ModelError, match=r"https://host/x\.zip: refused: it leads from https to 'http://host/y\.zip'"):
        WebOnly().redirect_request(request, io.BytesIO(), 302, "Found", Message(), "http://host/y.zip")


def test_a_path_is_no_address() -> None:
    assert not is_url("models/hippocampus.zip")
    assert not is_url("C:\\models\\hippocampus.zip")
