"""Addresses, headers, and the classes of failures."""

from __future__ import annotations

import ssl

import httpx2
import pytest

from lineage.client.calls import Call, Send
from lineage.client.connection import build, check_url, client_options, failure
from lineage.client.errors import ClientError, DeadlineExceeded, TLSError, Unavailable

STEP = Send(Call("POST", "detect", [("model", "a b")]), 10.0)
REQUEST = httpx2.Request("POST", "http://user:secret@host:1/detect?model=secret")


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("http://host:8000", "http://host:8000/detect"),
        ("http://host:8000/", "http://host:8000/detect"),
        ("https://host/vision/a", "https://host/vision/a/detect"),
        ("https://host/vision//", "https://host/vision/detect"),
        ("http://[::1]:8000", "http://[::1]:8000/detect"),
    ],
)
def test_paths_follow_the_address(url: str, sent_to: str) -> None:
    with httpx2.Client(**client_options(url, None, {})) as client:
        assert build(client, STEP).url == f"{sent_to}?model=a+b"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://host/?a=1",
        "http://host/#a",
        "http://host:x",
        "http://[::1",
        "",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as http://localhost:8000"):
        check_url(url)


@pytest.mark.parametrize("key", ["", " ", "a\nb", "schlüssel"])
def test_impossible_keys_are_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"^api_key: expected printable ASCII characters$"):
        client_options("http://host", key, {})


def test_headers_name_the_client_the_key_and_the_time_left() -> None:
    options = client_options("http://host", "abc", {"headers": {"X-Request-Priority": "low"}})
    with httpx2.Client(**options) as client:
        headers = build(client, STEP).headers
    assert headers["User-Agent"].startswith("yolo-lineage")
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Request-Priority"] == "low"
    assert headers["X-Request-Timeout"] == "9.500"


@pytest.mark.parametrize(("seconds", "sent"), [(1.0, "0.900"), (0.1, "0.090"), (-1.0, "0.001"), (100.0, "99.500")])
def test_server_has_to_answer_before_the_time_is_over(seconds: float, sent: str) -> None:
    with httpx2.Client(base_url="http://host") as client:
        assert build(client, Send(STEP.call, seconds)).headers["X-Request-Timeout"] == sent


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.ConnectTimeout(""), DeadlineExceeded),
        (httpx2.PoolTimeout(""), DeadlineExceeded),
        (TimeoutError(), DeadlineExceeded),
        (httpx2.ConnectError("refused"), Unavailable),
        (httpx2.ReadError(""), Unavailable),
        (httpx2.RemoteProtocolError("disconnected"), Unavailable),
        (httpx2.ProxyError("407"), ClientError),
        (httpx2.DecodingError("gzip"), ClientError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_failures_have_classes_and_hide_the_query(error: Exception, expected: type[ClientError]) -> None:
    failed = failure(error, REQUEST, STEP)
    assert type(failed) is expected
    assert failed.__cause__ is error
    assert "http://host:1/detect" in str(failed)
    assert "secret" not in str(failed)


def test_tls_failures_are_found_below_others() -> None:
    error = httpx2.ConnectError("certificate verify failed")
    error.__cause__ = ConnectionError()
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    assert type(failure(error, REQUEST, STEP)) is TLSError
