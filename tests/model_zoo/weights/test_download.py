"""Downloads against a real server: whole or not at all, resumed, and every failure told in one line."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_zoo.weights.download import CHUNK, DownloadError, download
from tests.file_server import FileServer, serving_file

CONTENTS = np.random.default_rng(0).integers(0, 256, 5 * CHUNK + 17, dtype=np.uint8).tobytes()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving_file(CONTENTS) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.pt"


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.is_dir() else []


def interrupt(server: FileServer, target: Path, after: int) -> None:
    """Leave a download of which `after` bytes have arrived."""
    server.cut = after
    with pytest.raises(DownloadError, match=rf"expected {len(CONTENTS):,} bytes; {after:,} came, and are kept"):
        download(server.url(), target)
    server.cut = None
    assert target.with_name("weights.pt.part").read_bytes() == CONTENTS[:after]


def test_a_file_arrives_whole_and_alone(server: FileServer, target: Path) -> None:
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS
    assert left(target) == ["weights.pt"]
    assert server.agents == {"yolo-lineage"}  # some servers refuse Python's own name


def test_a_file_that_is_there_is_not_asked_for(server: FileServer, target: Path) -> None:
    download(server.url(), target)
    assert download(server.url(), target) == download(server.url(), target, server.sha256) == server.sha256
    assert len(server.asked) == 1


def test_a_damaged_file_is_downloaded_again(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENTS[:-1])
    assert download(server.url(), target, server.sha256) == server.sha256
    assert target.read_bytes() == CONTENTS


@pytest.mark.parametrize("after", [1, 2, 100_000, len(CONTENTS) - 1])
def test_an_interrupted_download_goes_on(server: FileServer, target: Path, after: int) -> None:
    interrupt(server, target, after)
    assert download(server.url(), target) == server.sha256
    assert server.asked[1][1] == (f"bytes={after - 1}-" if after > 1 else None)
    assert target.read_bytes() == CONTENTS
    assert left(target) == ["weights.pt"]


def test_it_goes_on_however_often_it_is_interrupted(server: FileServer, target: Path) -> None:
    server.cut = 90_000
    for _ in range(3):
        with pytest.raises(DownloadError, match="try again for the rest"):
            download(server.url(), target)
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS


def test_a_download_that_was_whole_but_not_yet_named_is_finished(server: FileServer, target: Path) -> None:
    interrupt(server, target, len(CONTENTS) - 1)
    target.with_name("weights.pt.part").write_bytes(CONTENTS)
    assert download(server.url(), target) == server.sha256
    assert server.asked[1][1] == f"bytes={len(CONTENTS) - 1}-"


@pytest.mark.parametrize("deaf", ["ranges", "marked"])
def test_a_server_that_cannot_resume_sends_all_again(server: FileServer, target: Path, deaf: str) -> None:
    setattr(server, deaf, False)
    interrupt(server, target, 100_000)
    assert download(server.url(), target) == server.sha256
    assert target.read_bytes() == CONTENTS


def test_another_file_at_the_address_is_not_joined_to_the_old_one(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.contents = CONTENTS[::-1]
    assert download(server.url(), target) == server.sha256
    assert server.asked[1][1] == "bytes=99999-"
    assert target.read_bytes() == CONTENTS[::-1]


@pytest.mark.parametrize("lie", ["bytes 5-9/10", "bytes */10", "pages 1-2/3", ""])
def test_another_part_than_was_asked_for_is_refused(server: FileServer, target: Path, lie: str) -> None:
    interrupt(server, target, 100_000)
    server.replace = {"Content-Range": lie}
    with pytest.raises(DownloadError, match="another part than was asked for: try again"):
        download(server.url(), target)
    server.replace = {}
    assert download(server.url(), target) == server.sha256


def test_a_part_that_the_server_no_longer_has_is_dropped(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.status = 416
    with pytest.raises(DownloadError, match="416"):
        download(server.url(), target)
    server.status = 200
    assert download(server.url(), target) == server.sha256
    assert server.asked[-1][1] is None


def test_a_size_that_changes_under_way_is_noticed(server: FileServer, target: Path) -> None:
    interrupt(server, target, 100_000)
    server.replace = {"Content-Range": f"bytes 99999-{len(CONTENTS) - 1}/{len(CONTENTS) + 8}"}
    with pytest.raises(DownloadError, match=rf"expected {len(CONTENTS) + 8:,} bytes; {len(CONTENTS):,} came"):
        download(server.url(), target)
    assert not target.exists()


def test_a_server_that_tells_no_size_is_believed(server: FileServer, target: Path) -> None:
    server.length = False
    assert download(server.url(), target) == server.sha256


@pytest.mark.parametrize("before", [0, 100_000])
def test_a_wrong_hash_is_told_and_the_file_deleted(server: FileServer, target: Path, before: int) -> None:
    if before:
        interrupt(server, target, before)
    with pytest.raises(DownloadError, match=f"sha256 {'0' * 64}; got {server.sha256}, and deleted it"):
        download(server.url(), target, "0" * 64)
    assert left(target) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_names_address_and_status(server: FileServer, target: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=rf"{server.url()}: the server answers {status} \w+"):
        download(server.url(), target)
    assert left(target) == []


def test_a_web_page_is_not_taken_for_weights(server: FileServer, target: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="sends a web page"):
        download(server.url(), target)
    assert left(target) == []


def test_redirects_are_followed(server: FileServer, target: Path) -> None:
    server.location = "/moved"
    interrupt(server, target, 100_000)
    assert download(server.url(), target) == server.sha256
    assert server.asked[-1] == ("/moved", "bytes=99999-")


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/weights.pt", "file:///etc/passwd", "http://[", "data:,x"])
def test_redirects_lead_over_http_alone(server: FileServer, target: Path, location: str) -> None:
    server.location = location
    with pytest.raises(DownloadError, match=server.url()):
        download(server.url(), target)
    assert left(target) == []


def test_redirects_in_a_circle_end(server: FileServer, target: Path) -> None:
    server.location = "/round"
    with pytest.raises(DownloadError, match="302"):
        download(server.url(), target)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.pt", "file:///etc/passwd", "weights.pt", "", "data:,x"])
def test_other_addresses_are_refused(url: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="expected an address that begins with http:// or https://"):
        download(url, target)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://127.0.0.1:port/a.pt", "http://a b/c.pt", "http://\n"])
def test_addresses_that_make_no_sense_are_told(url: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        download(url, target)


def test_silence_ends_and_what_came_is_kept(server: FileServer, target: Path) -> None:
    server.stall = 0.5
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(timed out\)"):
        download(server.url(), target, silence=0.1)
    server.stall = 0.0
    assert download(server.url(), target) == server.sha256
    assert server.asked[1][1] is not None


def test_a_server_that_is_not_there_is_told(target: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights.pt"
        with pytest.raises(DownloadError, match=rf"{url}: cannot be downloaded \(.*refused"):
            download(url, target)


def test_a_full_disk_is_told(server: FileServer, target: Path) -> None:
    """A limit on file sizes fails a write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK, hard))
    try:
        with pytest.raises(DownloadError, match=rf"{target}: cannot be written \(File too large\)"):
            download(server.url(), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()
    assert download(server.url(), target) == server.sha256


def test_a_folder_that_cannot_be_made_is_told(server: FileServer, target: Path) -> None:
    target.parent.write_text("a file, not a folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(server.url(), target)


def test_two_downloads_of_one_file_do_not_mix(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    handle = os.open(target.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(DownloadError, match="another process is downloading"):
            download(server.url(), target)
    finally:
        os.close(handle)
    assert download(server.url(), target) == server.sha256
