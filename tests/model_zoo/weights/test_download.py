"""Downloads from a local server: atomic, resumable, with one-line errors."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_zoo.weights.download import CHUNK_BYTES, DownloadError, download
from tests.file_server import FileServer, serving_file

CONTENTS = np.random.default_rng(0).integers(0, 256, 5 * CHUNK_BYTES + 17, dtype=np.uint8).tobytes()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving_file(CONTENTS) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.pt"


def files_beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.is_dir() else []


def interrupt(server: FileServer, target: Path, after: int) -> None:
    """Interrupt a download after `after` bytes."""
    server.cut = after
    with pytest.raises(DownloadError, match=rf"expected {len(CONTENTS):,} bytes; received {after:,}"):
        download(server.url(), target)
    server.cut = None
    assert target.with_name("weights.pt.part").read_bytes() == CONTENTS[:after]


def test_download_leaves_only_the_complete_file(server: FileServer, target: Path) -> None:
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS
    assert files_beside(target) == ["weights.pt"]
    assert server.user_agents == {"yolo-lineage"}


def test_existing_file_is_not_requested(server: FileServer, target: Path) -> None:
    download(server.url(), target)
    assert download(server.url(), target) == download(server.url(), target, server.sha256) == server.sha256
    assert len(server.requests) == 1


def test_damaged_file_is_downloaded_again(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENTS[:-1])
    assert download(server.url(), target, server.sha256) == server.sha256
    assert target.read_bytes() == CONTENTS


@pytest.mark.parametrize("after", [1, 2, 100_000, len(CONTENTS) - 1])
def test_interrupted_download_resumes(server: FileServer, target: Path, after: int) -> None:
    interrupt(server, target, after)
    assert download(server.url(), target) == server.sha256
    assert server.requests[1][1] == (f"bytes={after - 1}-" if after > 1 else None)
    assert target.read_bytes() == CONTENTS
    assert files_beside(target) == ["weights.pt"]


def test_download_resumes_after_several_interruptions(server: FileServer, target: Path) -> None:
    server.cut = 90_000
    for _ in range(3):
        with pytest.raises(DownloadError, match="Try again to download the rest"):
            download(server.url(), target)
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS


def test_complete_but_unrenamed_download_is_finished(server: FileServer, target: Path) -> None:
    interrupt(server, target, len(CONTENTS) - 1)
    target.with_name("weights.pt.part").write_bytes(CONTENTS)
    assert download(server.url(), target) == server.sha256
    assert server.requests[1][1] == f"bytes={len(CONTENTS) - 1}-"


@pytest.mark.parametrize("missing", ["supports_ranges", "sends_etag"])
def test_server_without_resume_support_sends_the_file_again(server: FileServer, target: Path, missing: str) -> None:
    setattr(server, missing, False)
    interrupt(server, target, 100_000)
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS


def test_changed_file_is_not_appended_to_the_old_bytes(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.contents = CONTENTS[::-1]
    assert download(server.url(), target) == server.sha256
    assert server.requests[1][1] == "bytes=99999-"
    assert target.read_bytes() == CONTENTS[::-1]


@pytest.mark.parametrize("content_range", ["bytes 5-9/10", "bytes */10", "pages 1-2/3", ""])
def test_wrong_content_range_is_an_error(server: FileServer, target: Path, content_range: str) -> None:
    interrupt(server, target, 100_000)
    server.wrong_headers = {"Content-Range": content_range}
    with pytest.raises(DownloadError, match="got a different range than requested"):
        download(server.url(), target)
    server.wrong_headers = {}
    assert download(server.url(), target) == server.sha256


def test_range_not_satisfiable_discards_the_partial_file(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.status = 416
    with pytest.raises(DownloadError, match="416"):
        download(server.url(), target)
    server.status = 200
    assert download(server.url(), target) == server.sha256
    assert server.requests[-1][1] is None


def test_changed_size_is_an_error(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.wrong_headers = {"Content-Range": f"bytes 99999-{len(CONTENTS) - 1}/{len(CONTENTS) + 8}"}
    with pytest.raises(DownloadError, match=rf"expected {len(CONTENTS) + 8:,} bytes; received {len(CONTENTS):,}"):
        download(server.url(), target)
    assert not target.exists()


def test_missing_content_length_is_accepted(server: FileServer, target: Path) -> None:
    server.sends_length = False
    assert download(server.url(), target) == server.sha256


@pytest.mark.parametrize("before", [0, 100_000])
def test_wrong_checksum_deletes_the_file(server: FileServer, target: Path, before: int) -> None:
    if before:
        interrupt(server, target, before)
    with pytest.raises(DownloadError, match=f"SHA-256 {'0' * 64}; got {server.sha256}. The file was deleted"):
        download(server.url(), target, "0" * 64)
    assert files_beside(target) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_http_errors_name_url_and_status(server: FileServer, target: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=rf"{server.url()}: the server returned {status} \w+"):
        download(server.url(), target)
    assert files_beside(target) == []


def test_web_page_is_an_error(server: FileServer, target: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="got a web page"):
        download(server.url(), target)
    assert files_beside(target) == []


def test_redirects_are_followed(server: FileServer, target: Path) -> None:
    server.location = "/moved"
    interrupt(server, target, 100_000)
    assert download(server.url(), target) == server.sha256
    assert server.requests[-1] == ("/moved", "bytes=99999-")


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/weights.pt", "file:///etc/passwd", "http://[", "data:,x"])
def test_redirects_to_other_schemes_are_refused(server: FileServer, target: Path, location: str) -> None:
    server.location = location
    with pytest.raises(DownloadError, match=server.url()):
        download(server.url(), target)
    assert files_beside(target) == []


def test_redirect_loop_ends(server: FileServer, target: Path) -> None:
    server.location = "/round"
    with pytest.raises(DownloadError, match="302"):
        download(server.url(), target)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.pt", "file:///etc/passwd", "weights.pt", "", "data:,x"])
def test_other_schemes_are_refused(url: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="expected a URL that starts with http:// or https://"):
        download(url, target)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://127.0.0.1:port/a.pt", "http://a b/c.pt", "http://\n"])
def test_invalid_urls_are_errors(url: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        download(url, target)


def test_timeout_keeps_the_received_bytes(server: FileServer, target: Path) -> None:
    server.stall = 0.5
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(timed out\)"):
        download(server.url(), target, timeout=0.1)
    server.stall = 0.0
    assert download(server.url(), target) == server.sha256
    assert server.requests[1][1] is not None


def test_connection_refused_is_an_error(target: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/weights.pt"
        with pytest.raises(DownloadError, match=rf"{url}: cannot be downloaded \(.*refused"):
            download(url, target)


def test_full_disk_is_an_error(server: FileServer, target: Path) -> None:
    """A file size limit fails a write like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK_BYTES, hard))
    try:
        with pytest.raises(DownloadError, match=rf"{target}: cannot be written \(File too large\)"):
            download(server.url(), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()
    assert download(server.url(), target) == server.sha256


def test_folder_that_cannot_be_created_is_an_error(server: FileServer, target: Path) -> None:
    target.parent.write_text("a file, not a folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(server.url(), target)


def test_concurrent_download_to_the_same_folder_is_an_error(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    handle = os.open(target.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(DownloadError, match="another process is downloading"):
            download(server.url(), target)
    finally:
        os.close(handle)
    assert download(server.url(), target) == server.sha256
