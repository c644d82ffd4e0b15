"""Download a file over HTTP, with resume, checksum and an atomic move to its target.

An incomplete download is kept as `<name>.part`, with the server's validator (`ETag` or `Last-Modified`) in
`<name>.part.validator`. The next call requests the rest of the same file (`Range` with `If-Range`, RFC 9110, sections
13.1.5 and 14). If the server does not support this, or the file has changed, it is downloaded from the start.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.progress import LineTimer

TIMEOUT = 30.0  # seconds without a byte
CHUNK_BYTES = 1 << 16
USER_AGENT = "yolo-lineage"  # some servers reject Python's default
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DownloadError(LineageError):
    """A file could not be downloaded, or has the wrong checksum."""


@dataclass(frozen=True)
class PartialFile:
    """The bytes of an incomplete download."""

    path: Path
    """File with the bytes."""

    @property
    def validator(self) -> Path:
        """File with the server's validator of these bytes."""
        return self.path.with_name(f"{self.path.name}.validator")

    def last_byte(self) -> int:
        """Return the position of the last byte, or 0 if there are no bytes or no validator."""
        has_validator = self.path.is_file() and self.validator.is_file() and self.validator.read_text()
        return max(self.path.stat().st_size - 1, 0) if has_validator else 0

    def discard(self) -> None:
        """Delete the bytes and their validator."""
        self.path.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)


def download(url: str, target: Path, sha256: str | None = None, timeout: float = TIMEOUT) -> str:
    """Download `url` to `target` unless the file exists, and return its SHA-256 in hex.

    `timeout` is the longest wait in seconds for the next bytes. A progress bar is shown on a terminal.

    Raises:
        DownloadError: The server cannot be reached, or the connection ends early: the bytes are kept for the next call.
            Or the SHA-256 differs from `sha256`: the file is deleted. Or the file cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"expected a URL that starts with http:// or https://; got {url!r}")
    with _disk_errors(target):
        if target.is_file() and sha256 in (None, actual := file_sha256(target)):
            return actual
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target.parent):
            partial = PartialFile(target.with_name(f"{target.name}.part"))
            _receive(url, partial, timeout)
            actual = file_sha256(partial.path)
            if sha256 not in (None, actual):
                partial.discard()
                raise DownloadError(f"{url}: expected a file with SHA-256 {sha256}; got {actual}. The file was deleted")
            partial.path.replace(target)
            partial.validator.unlink(missing_ok=True)
    return actual


def _receive(url: str, partial: PartialFile, timeout: float) -> None:
    with _request(url, partial, timeout) as response:
        start, total = _extent(url, response, partial)
        with open(partial.path, "ab") as file:
            file.truncate(start)
            partial.validator.write_text(_validator(response))
            _copy(_chunks(url, response), file, start, total)
            os.fsync(file.fileno())
            received = file.tell()
    if total not in (None, received):
        raise DownloadError(f"{url}: expected {total:,} bytes; received {received:,}. Try again to download the rest")


def _request(url: str, partial: PartialFile, timeout: float) -> http.client.HTTPResponse:
    """Request the file from the last received byte on, so that an unchanged file always has a byte to send."""
    headers = {"User-Agent": USER_AGENT}
    if partial.last_byte():
        headers |= {"Range": f"bytes={partial.last_byte()}-", "If-Range": partial.validator.read_text()}
    with _network_errors(url):
        try:
            request, opener = Request(url, headers=headers), build_opener(_WebRedirects)
            response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
        except HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.discard()  # the file has changed: the next call starts from the beginning
            raise
    return response


def _extent(url: str, response: http.client.HTTPResponse, partial: PartialFile) -> tuple[int, int | None]:
    """Return the position of the body's first byte in the file, and the file size if the server sends it."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(f"{url}: expected a file; got a web page from the server or a proxy")
    if response.status == HTTPStatus.OK:
        return 0, response.length
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if (
        response.status != HTTPStatus.PARTIAL_CONTENT
        or not content_range
        or int(content_range[1]) != partial.last_byte()
    ):
        partial.discard()
        raise DownloadError(f"{url}: got a different range than requested. Try again")
    return partial.last_byte(), None if content_range[2] == "*" else int(content_range[2])


def _validator(response: http.client.HTTPResponse) -> str:
    """Return the server's validator of the file. A weak ETag does not guarantee equal bytes, so it is ignored."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    with _network_errors(url):
        while chunk := response.read(CHUNK_BYTES):
            yield chunk


def _copy(chunks: Iterable[bytes], file: BinaryIO, start: int, total: int | None) -> None:
    label, timer = Path(file.name).stem, LineTimer()
    with tqdm(desc=label, initial=start, total=total, unit="B", unit_scale=True, disable=None) as progress:
        for chunk in chunks:
            file.write(chunk)
            progress.update(len(chunk))
            if progress.disable and timer.due():  # no terminal
                size = f" of {total / 1e6:,.0f}" if total else ""
                tqdm.write(f"{label}: {file.tell() / 1e6:,.0f}{size} MB", file=sys.stderr)
    file.flush()


class _WebRedirects(HTTPRedirectHandler):
    """Follow redirects to HTTP(S), and from HTTPS to HTTPS only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise DownloadError(f"{req.full_url}: expected a redirect to {' or '.join(allowed)}; got {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect. Close the connection if it is not allowed."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # a DownloadError, or an invalid URL
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    try:
        yield
    except LineageError:
        raise
    except HTTPError as error:
        with error:
            raise DownloadError(f"{url}: the server returned {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DownloadError(f"{url}: cannot be downloaded ({reason or type(error).__name__})") from error


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder against other downloads. The lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DownloadError(
            f"{folder}: another process is downloading to this folder. Wait for it to finish"
        ) from error
    finally:
        os.close(handle)
