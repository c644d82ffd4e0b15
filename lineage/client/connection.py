"""Use of httpx2 by both clients: addresses, headers, requests, failures."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx2

from lineage.client.calls import Send
from lineage.client.errors import ClientError, DeadlineExceeded, TLSError, Unavailable
from model_zoo.contract.versions import installed_version

TIMEOUT_HEADER: Final = "X-Request-Timeout"
MAX_MARGIN: Final = 0.5  # seconds for the answer to arrive


def check_url(url: str) -> str:
    """Return the address of a server with a slash at its end.

    Raises:
        ValueError: It is no address of a server.
    """
    expected = "url: expected an address such as http://localhost:8000 or https://host/path"
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"{expected}; got {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise ValueError(f"{expected}; got {url!r}")
    return url.rstrip("/") + "/"


def client_options(url: str, api_key: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the httpx2 client. `options` are those of the caller."""
    headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity"}
    if api_key is not None:
        if not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
            raise ValueError("api_key: expected printable ASCII characters")
        headers["Authorization"] = f"Bearer {api_key}"
    if options.get("trust_env", True):
        options = {"verify": _default_tls()} | options
    return {**options, "base_url": check_url(url), "headers": headers | dict(options.get("headers", {}))}


@functools.cache
def _default_tls() -> ssl.SSLContext:
    """Return the default TLS settings for all clients: reading the certificates takes 30 ms."""
    return httpx2.create_ssl_context()


@functools.cache
def user_agent() -> str:
    """Return name and version of the client."""
    version = installed_version("yolo-lineage")
    return f"yolo-lineage/{version}" if version else "yolo-lineage"


def build(client: httpx2.Client | httpx2.AsyncClient, step: Send) -> httpx2.Request:
    """Return the request of a step. It asks the server for an answer shortly before the time is over."""
    call = step.call
    server_seconds = step.seconds - min(MAX_MARGIN, step.seconds / 10)
    return client.build_request(
        call.method,
        call.path,
        params=list(call.params),
        headers={TIMEOUT_HEADER: f"{max(server_seconds, 0.001):.3f}", **call.headers},
        content=call.content,
        files=[("file", (name, data, "application/octet-stream")) for name, data in call.files] or None,
        timeout=max(step.seconds, 0.001),
    )


def failure(error: Exception, request: httpx2.Request, step: Send) -> ClientError:
    """Return the error of the client for one of httpx2, after a step that was not answered."""
    failed = _failure(error, str(request.url.copy_with(query=None, userinfo=b"")), step.seconds)
    failed.__cause__ = error
    return failed


def _failure(error: Exception, url: str, seconds: float) -> ClientError:
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return DeadlineExceeded(f"no answer from {url} within {seconds:.3g} s")
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return TLSError(f"no secure connection to {url}: {error}")
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
        return Unavailable(f"no answer from {url}: {error or type(error).__name__}")
    return ClientError(f"the request to {url} failed: {error or type(error).__name__}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
