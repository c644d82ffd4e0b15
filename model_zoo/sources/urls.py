"""Images, videos and streams at addresses.

Private addresses are allowed: cameras have them, and the program runs with the rights of its user only.
"""

from __future__ import annotations

import base64
import functools
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Load, Source
from model_zoo.contract.http_body import read_body
from model_zoo.contract.images import DEFAULT_LIMITS
from model_zoo.contract.images.files import IMAGE_SUFFIXES
from model_zoo.sources.images import Image
from model_zoo.sources.live import LiveSource
from model_zoo.sources.video import CONTAINERS, VIDEO_SUFFIXES, VideoFile, decode, open_video, to_rgb

HTTP: Final = ("http", "https")
STREAMS: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp")
SECONDS: Final = 30.0  # to fetch an image
PLAYLISTS: Final = (".m3u8", ".m3u", ".mpd")
# No playlists: their servers could send the program to any other server, and fill its memory.
NETWORK: Final = {
    "protocol_whitelist": "http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps",
    "format_whitelist": f"{CONTAINERS},rtsp,rtp,mpjpeg",
    "rtsp_flags": "prefer_tcp",
    "user_agent": "yolo-lineage",
}
LIVE: Final = NETWORK | {"fflags": "nobuffer", "analyzeduration": "2000000"}


def is_url(word: str) -> bool:
    """Return True for an address, as opposed to a path."""
    return "://" in word


def open_url(url: str) -> Source:
    """Return the source at an address: an image by its suffix or content type, else a video or stream.

    Raises:
        LineageError: The scheme is unknown, or PyAV is not installed.
        ImageError: Nothing can be fetched from the address.
    """
    parts = _split(url)
    name, suffix = hide_password(url), PurePosixPath(parts.path).suffix.lower()
    if suffix in PLAYLISTS:
        raise ImageError("expected a video or stream; playlists are not read: let ffmpeg convert it, see docs/video.md")
    if parts.scheme in STREAMS:
        return open_live(name, url)
    if suffix in IMAGE_SUFFIXES or (suffix not in VIDEO_SUFFIXES and _is_image(url)):
        return Image(name, functools.partial(fetch, url))
    return _open_http_video(name, url)


def hide_password(url: str) -> str:
    """Return an address without user and password."""
    parts = _split(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def fetch(url: str, max_bytes: int = DEFAULT_LIMITS.max_bytes, seconds: float = SECONDS) -> bytes:
    """Return the file at an http or https address.

    Raises:
        ImageError: It cannot be fetched in time.
        ImageTooLarge: It has more bytes.
    """
    deadline = time.monotonic() + seconds
    try:
        with _request(url, seconds) as response:
            return read_body(response, max_bytes, deadline)
    except (OSError, HTTPException, UnicodeError) as error:
        raise ImageError(f"cannot be fetched; {error}") from None


class _WebRedirects(HTTPRedirectHandler):
    """Follows up to 5 redirects to other http and https addresses."""

    max_redirections = 5

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Return the next request, None for an address of another kind."""
        if urlsplit(newurl).scheme not in HTTP:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> OpenerDirector:
    return build_opener(_WebRedirects)


def _request(url: str, seconds: float) -> HTTPResponse:
    """Send a GET request. User and password are sent to the first server only.

    Raises:
        ImageError: The server answers with an error.
    """
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    request = Request(_ascii(hide_password(url)), headers={"User-Agent": NETWORK["user_agent"]})
    if at:
        token = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    try:
        response: HTTPResponse = _opener().open(request, timeout=seconds)
    except HTTPError as error:
        with error:
            raise ImageError(f"expected status 200; got {error.code} {error.reason}") from None
    return response


def _ascii(url: str) -> str:
    """Return an address as browsers send it: other letters and spaces are escaped."""
    parts = urlsplit(url)
    path, query = (quote(part, safe="/%:;=&?~+!$,'@()*[]|") for part in (parts.path, parts.query))
    return parts._replace(path=path, query=query).geturl()


def _is_image(url: str) -> bool:
    """Return True for an image by the content type, and for what cannot be fetched: its frame reports the error."""
    try:
        with _request(url, SECONDS) as response:
            return response.headers.get_content_maintype() == "image"
    except (ImageError, OSError, HTTPException, UnicodeError):
        return True


def _open_http_video(name: str, url: str) -> Source:
    """Return a live source if the length of the video is unknown, else one of all its frames."""
    with open_video(url, NETWORK) as container:
        has_end = container.duration is not None
    return VideoFile(name, url, NETWORK) if has_end else open_live(name, url)


def open_live(name: str, url: str, format: str | None = None, options: Mapping[str, str] = LIVE) -> LiveSource:
    """Open a camera or stream.

    Raises:
        LineageError: PyAV is not installed.
        ImageError: It cannot be opened.
    """

    def connect() -> Iterator[Load]:
        container = open_video(url, options, format)

        def frames() -> Iterator[Load]:
            with container:
                for frame in decode(container, low_delay=True):
                    yield functools.cache(functools.partial(to_rgb, frame))

        return frames()

    return LiveSource(name, connect, connect())


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises if it is none
    except ValueError as error:
        raise LineageError(f"{url!r}: expected an address such as https://host/image.jpg; {error}") from None
    if parts.scheme not in HTTP + STREAMS or not parts.hostname:
        expected = "http, https, rtsp, rtmp or udp and a host, as in rtsp://host/stream"
        raise LineageError(f"{parts.scheme}://{parts.hostname or ''}: expected {expected}; give a file by its path")
    return parts
