"""Fetch a file over HTTP, within limits of size and time, and without following redirects."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from model_zoo.contract.errors import ImageError
from model_zoo.contract.http_body import read_body

MAX_TOKEN_BYTES: Final = 65_536


class _NoRedirects(HTTPRedirectHandler):
    """Leaves redirects as they are: errors."""

    def redirect_request(self, *_: object) -> None:
        """Refuse to follow."""


def fetch(url: str, headers: Mapping[str, str], max_bytes: int, deadline: float) -> bytes:
    """Return the file at a URL. `deadline` is a time on the monotonic clock.

    Raises:
        ImageError: it cannot be fetched in time, or has more bytes.
    """
    return _read(url, None, headers, max_bytes, deadline)


def authorize(origin: str, token_file: Path, deadline: float) -> dict[str, str]:
    """Return the header for requests to Label Studio.

    A personal access token (a JWT) is exchanged for one that is valid for minutes. A legacy token is sent as it is.

    Raises:
        ImageError: the file cannot be read, or Label Studio refuses the token.
    """
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ImageError(f"label_studio_token: the file cannot be read ({error})") from None
    if token.count(".") != 2:
        return {"Authorization": f"Token {token}"}
    url, body = f"{origin}/api/token/refresh", json.dumps({"refresh": token}).encode()
    answer = _read(url, body, {"Content-Type": "application/json"}, MAX_TOKEN_BYTES, deadline)
    try:
        return {"Authorization": f"Bearer {json.loads(answer)['access']}"}
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ImageError(f"{url}: expected an access token; got another document") from None


@cache
def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects)


def _read(url: str, body: bytes | None, headers: Mapping[str, str], max_bytes: int, deadline: float) -> bytes:
    """Return the body of an answer.

    Errors are logged, so they do not show the query: addresses of object stores are signed there.
    """
    shown = url.partition("?")[0]
    try:
        request = Request(url, body, dict(headers))
        with _opener().open(request, timeout=max(0.001, deadline - time.monotonic())) as response:
            return read_body(response, max_bytes, deadline)
    except ImageError as error:
        raise type(error)(f"{shown}: {error}") from None
    except HTTPError as error:
        with error:
            hint = "; redirects are not followed" if 300 <= error.code < 400 else ""
            raise ImageError(f"{shown}: expected status 200; got {error.code}{hint}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise ImageError(f"{shown}: cannot be fetched ({error})") from None
