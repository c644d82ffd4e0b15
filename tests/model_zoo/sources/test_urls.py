"""Addresses: images within limits, videos and streams, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError, ImageTooLarge, LineageError
from model_zoo.contract.images.files import encode_image
from model_zoo.sources import live, video
from model_zoo.sources.images import Image
from model_zoo.sources.live import LiveSource
from model_zoo.sources.urls import fetch, hide_password, open_url
from model_zoo.sources.video import VideoFile
from tests.file_server import FileServer, serving_file
from tests.http_server import running
from tests.rtsp_server import RtspServer, mpeg_ts
from tests.videos import frame_of, write_video

PNG = encode_image(frame_of(5), ".png")


@pytest.fixture
def served() -> Iterator[FileServer]:
    with serving_file(PNG) as server:
        yield server


def test_image_is_fetched_once_when_it_is_loaded(served: FileServer) -> None:
    source = open_url(served.url("a.png"))
    assert isinstance(source, Image)
    assert served.requests == [], "many images are fetched in threads"
    [frame] = source
    assert frame.load() == frame.load() == PNG
    assert len(served.requests) == 1
    assert (frame.pixels() == frame_of(5)).all()


def test_image_without_a_suffix_is_known_by_its_content_type(served: FileServer) -> None:
    served.content_type = "image/png; charset=binary"
    [frame] = open_url(served.url("snapshot"))
    assert frame.load() == PNG


def test_redirect_is_followed(served: FileServer) -> None:
    served.location = f"{served.address}/moved"
    assert fetch(served.url("a.png")) == PNG


def limited(served: FileServer) -> None:
    fetch(served.url(), max_bytes=len(PNG) - 1)


def refused(served: FileServer) -> None:
    served.status = 404
    fetch(served.url())


def cut(served: FileServer) -> None:
    served.cut = 20
    fetch(served.url())


def slow(served: FileServer) -> None:
    served.stall = 0.3
    fetch(served.url(), seconds=0.1)


def redirected_to_a_file(served: FileServer) -> None:
    served.location = "file:///etc/passwd"
    fetch(served.url())


def redirected_in_a_circle(served: FileServer) -> None:
    served.location = f"{served.address}/other"
    fetch(served.url())


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (limited, "at most"),
        (refused, "expected status 200; got 404"),
        (cut, "bytes are missing"),
        (slow, "timed out|in time"),
        (redirected_to_a_file, "302"),
        (redirected_in_a_circle, "302"),
    ],
)
def test_fetching_has_limits(act: Callable[[FileServer], None], message: str, served: FileServer) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        act(served)
    assert isinstance(caught.value, ImageTooLarge) == (act is limited)


def test_letters_of_all_languages_and_spaces_are_sent_escaped(served: FileServer) -> None:
    assert fetch(served.url("é 1.png?n=ü&m=%20")) == PNG
    assert served.requests[0][0] == "/%C3%A9%201.png?n=%C3%BC&m=%20"


@pytest.mark.parametrize("host", ["a..b", "é" * 70])
def test_host_that_is_no_name_is_an_error(host: str) -> None:
    with pytest.raises(ImageError, match="cannot be fetched"):
        fetch(f"http://{host}/a.png")


@pytest.mark.parametrize("kind", ["ffconcat", "hls", "sdp", "redirect", "suffix"])
def test_servers_cannot_send_the_program_elsewhere(kind: str, served: FileServer, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    secret = write_video(tmp_path / "secret.ts", [frame_of(1)])
    texts = {
        "ffconcat": f"ffconcat version 1.0\nfile file://{secret}\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{served.url('other.ts')}\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 33\r\n",
    }
    served.contents = texts.get(kind, "x").encode()
    served.content_type = {"hls": "application/vnd.apple.mpegurl", "sdp": "application/sdp"}.get(kind, "video/mp4")
    served.location = f"file://{secret}" if kind == "redirect" else ""
    with pytest.raises(ImageError, match="expected a video"):
        open_url(served.url("a.m3u8" if kind == "suffix" else "a.mp4"))
    assert not any("other" in path for path, _ in served.requests)


def test_password_is_sent_but_never_shown() -> None:
    headers: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(self.headers["Authorization"])
            self.send_error(403)

        def log_message(self, *_: object) -> None: ...

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        url = address.replace("://", "://me:se%40cret@")
        [frame] = open_url(f"{url}/a.png")
        with pytest.raises(ImageError) as caught:
            frame.load()
    assert headers == ["Basic bWU6c2VAY3JldA=="]
    assert (frame.name, hide_password(url)) == (f"{address}/a.png", address)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.png", "https:///a.png", "http://host:port/a.png"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(LineageError, match="expected"):
        open_url(url)


def test_refused_stream_does_not_show_the_password() -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    with pytest.raises(ImageError, match="Connection refused") as caught:
        open_url("rtsp://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)


def test_stream_that_sends_nothing_is_an_error_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    monkeypatch.setattr(video, "TIMEOUT", (0.1, 0.1))
    with pytest.raises(ImageError, match=r"nothing arrived within 0\.1 s"):
        open_url("udp://127.0.0.1:5999")


def test_video_with_an_end_gives_every_frame(served: FileServer, tmp_path: Path) -> None:
    served.contents = write_video(tmp_path / "a.mp4", map(frame_of, range(5))).read_bytes()
    source = open_url(served.url("clip.mp4"))
    assert isinstance(source, VideoFile)
    assert [frame.index for frame in source] == list(range(5))


def test_video_without_an_end_is_live(served: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "DELAYS", ())
    served.contents = b"".join(mpeg_ts((frame_of(number % 25) for number in range(100)), rate=10))
    served.sends_length = False
    source = open_url(served.url("camera"))
    assert isinstance(source, LiveSource)
    frames = iter(source)
    assert next(frames).pixels().shape == (64, 64, 3)
    with pytest.raises(ImageError, match="lost, 0 attempts"):
        list(frames)[-1].load()


@pytest.mark.slow  # 6 s of a stream in real time
def test_rtsp_stream_connects_again_and_stays_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer takes a fifth of the frames. Each frame that it gets is one of the last few that were sent."""
    monkeypatch.setattr(live, "DELAYS", (0.1,) * 50)
    behind: list[int] = []
    images = (np.full((64, 64, 3), number % 250, np.uint8) for number in itertools.count())
    with RtspServer(images) as server:
        source = open_url(server.url)
        assert source.name == hide_password(server.url) != server.url
        for count, frame in enumerate(source):
            number = server.sent
            if count:  # the first frame is as old as connecting took
                behind.append((number - int(frame.pixels().mean().round())) % 250)
            if count == 8:
                server.cut()
            if count == 20:
                break
            live.time.sleep(0.2)
        assert server.connections == 2
    assert np.median(behind) <= 3
