"""Download a file over HTTP: resumed where it was left, checked, and there whole or not at all.

While it is under way it lies beside its target as `<name>.part`, with the server's mark of its state (`ETag` or
`Last-Modified`) in `<name>.part.mark`. The next call asks for the rest of that very state (`Range` with `If-Range`, RFC
9110, sections 13.1.5 and 14); a server that cannot do so, or has another file by now, sends all of it again.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm  # type: ignore[import-untyped]  # it has no types

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256

SILENCE = 30.0  # seconds without a byte, after which a server is taken to be gone
CHUNK = 1 << 16
AGENT = "yolo-lineage"  # some servers refuse the name that Python gives itself
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DownloadError(LineageError):
    """A file could not be downloaded, or is not the one that was expected."""


@dataclass(frozen=True)
class Partial:
    """What has arrived of a file."""

    path: Path

    @property
    def mark(self) -> Path:
        """File with the server's mark of the state that the bytes are of."""
        return self.path.with_name(f"{self.path.name}.mark")

    def last(self) -> int:
        """Return the place of the last byte that arrived, 0 where there is none or its state is not known."""
        known = self.path.is_file() and self.mark.is_file() and self.mark.read_text()
        return max(self.path.stat().st_size - 1, 0) if known else 0

    def discard(self) -> None:
        """Delete what arrived."""
        self.path.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


def download(url: str, target: Path, sha256: str | None = None, silence: float = SILENCE) -> str:
    """Bring the file at `url` to `target`, unless it is there, and return its sha256 (hexadecimal).

    `silence` is how long, in seconds, a server may say nothing. Progress is shown on a terminal. Raises DownloadError
    if the server cannot be reached or does not send the whole file (what came is kept for the next call), if the
    file's sha256 is not the one given (it is deleted), or if it cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"expected an address that begins with http:// or https://; got {url!r}")
    with _disk_explained(target):
        if target.is_file() and sha256 in (None, found := file_sha256(target)):
            return found
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent):
            partial = Partial(target.with_name(f"{target.name}.part"))
            _receive(url, partial, silence)
            found = file_sha256(partial.path)
            if sha256 not in (None, found):
                partial.discard()
                raise DownloadError(f"{url}: expected a file with sha256 {sha256}; got {found}, and deleted it")
            partial.path.replace(target)
            partial.mark.unlink(missing_ok=True)
    return found


def _receive(url: str, partial: Partial, silence: float) -> None:
    with _answer(url, partial, silence) as response:
        start, total = _extent(url, response, partial)
        with open(partial.path, "ab") as file:
            file.truncate(start)
            partial.mark.write_text(_mark(response))
            _copy(_chunks(url, response), file, start, total)
            os.fsync(file.fileno())
            arrived = file.tell()
    if total not in (None, arrived):
        raise DownloadError(f"{url}: expected {total:,} bytes; {arrived:,} came, and are kept: try again for the rest")


def _answer(url: str, partial: Partial, silence: float) -> http.client.HTTPResponse:
    """Ask for the file, or from the last byte on that arrived: there is one at least, if the file is what it was."""
    headers = {"User-Agent": AGENT}
    if partial.last():
        headers |= {"Range": f"bytes={partial.last()}-", "If-Range": partial.mark.read_text()}
    with _network_explained(url):
        try:
            request, opener = Request(url, headers=headers), build_opener(_WebRedirects)
            response: http.client.HTTPResponse = opener.open(request, timeout=silence)
        except HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.discard()  # it is of another file after all: the next call asks for the whole
            raise
    return response


def _extent(url: str, response: http.client.HTTPResponse, partial: Partial) -> tuple[int, int | None]:
    """Return where in the file the body of an answer begins, and the size of the file where the server tells it."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(f"{url}: expected a file; the server, or something on the way to it, sends a web page")
    if response.status == HTTPStatus.OK:
        return 0, response.length
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != HTTPStatus.PARTIAL_CONTENT or not found or int(found[1]) != partial.last():
        partial.discard()
        raise DownloadError(f"{url}: expected the file; got another part than was asked for: try again")
    return partial.last(), None if found[2] == "*" else int(found[2])


def _mark(response: http.client.HTTPResponse) -> str:
    """Return what the server knows this state of the file by; a weak ETag does not stand for the bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    with _network_explained(url):
        while chunk := response.read(CHUNK):
            yield chunk


def _copy(chunks: Iterable[bytes], file: BinaryIO, start: int, total: int | None) -> None:
    label = Path(file.name).stem
    with tqdm(desc=label, initial=start, total=total, unit="B", unit_scale=True, disable=None) as progress:
        for chunk in chunks:
            file.write(chunk)
            progress.update(len(chunk))
    file.flush()


class _WebRedirects(HTTPRedirectHandler):
    """Follow redirects over HTTP(S), and from HTTPS to HTTPS alone."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise DownloadError(f"{req.full_url}: expected to be sent on to {' or '.join(allowed)}; got {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect, and end the connection where it leads nowhere."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # ours, or an address that makes no sense
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@contextmanager
def _network_explained(url: str) -> Iterator[None]:
    try:
        yield
    except LineageError:
        raise
    except HTTPError as error:
        with error:
            raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DownloadError(f"{url}: cannot be downloaded ({reason or type(error).__name__})") from error


@contextmanager
def _disk_explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other downloads out of a folder; a process that ends gives it back."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DownloadError(f"{folder}: another process is downloading to it; wait for that") from error
    finally:
        os.close(handle)
