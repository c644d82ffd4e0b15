"""Fetch files: limits of size and time, redirects, and the two kinds of tokens."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from model_zoo.contract.errors import ImageError, ImageTooLarge
from service.api.labelstudio.fetch import authorize, fetch
from tests.service.api.labelstudio.file_host import ACCESS, REFRESH, FileHost

MAX_BYTES = 1_000_000


def within(seconds: float) -> float:
    return time.monotonic() + seconds


def test_file_is_returned_with_the_headers_sent(host: FileHost) -> None:
    host.files["/a%20b.png?x=1"] = b"contents"
    assert fetch(f"{host.origin}/a%20b.png?x=1", {"Authorization": "Token t"}, MAX_BYTES, within(30)) == b"contents"
    assert host.requests == [("GET", "/a%20b.png?x=1", "Token t")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/gone", "expected status 200; got 404"), ("/redirect", "got 302; redirects are not followed")],
)
def test_other_answers_are_errors(path: str, reason: str, host: FileHost) -> None:
    host.files["/a.png"] = b"contents"
    with pytest.raises(ImageError, match=reason) as caught:
        fetch(f"{host.origin}{path}?signature=secret", {}, MAX_BYTES, within(30))
    assert "secret" not in str(caught.value)
    assert [request[1] for request in host.requests] == [f"{path}?signature=secret"]


def test_endless_file_is_refused_at_the_limit(host: FileHost) -> None:
    with pytest.raises(ImageTooLarge, match="at most 1,000,000 bytes"):
        fetch(f"{host.origin}/endless", {}, MAX_BYTES, within(30))


def test_slow_file_is_given_up_at_the_deadline(host: FileHost) -> None:
    """Every byte arrives in time, but the file does not."""
    with pytest.raises(ImageError, match="not received in time"):
        fetch(f"{host.origin}/slow", {}, MAX_BYTES, within(0.3))


def test_unreachable_and_broken_hosts_are_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        origin = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ImageError, match="cannot be fetched"):  # it accepts, and never answers
            fetch(f"{origin}/a", {}, MAX_BYTES, within(0.1))
    with pytest.raises(ImageError, match="cannot be fetched"):
        fetch(f"{origin}/a", {}, MAX_BYTES, within(5))
    with pytest.raises(ImageError, match="cannot be fetched"):
        fetch("http://[broken/a", {}, MAX_BYTES, within(5))


def test_legacy_token_is_sent_as_it_is(tmp_path: Path, host: FileHost) -> None:
    (tmp_path / "token").write_text("0123abcd\n")
    assert authorize(host.origin, tmp_path / "token", within(30)) == {"Authorization": "Token 0123abcd"}
    assert host.requests == []


def test_personal_access_token_is_exchanged(tmp_path: Path, host: FileHost) -> None:
    (tmp_path / "token").write_text(REFRESH)
    assert authorize(host.origin, tmp_path / "token", within(30)) == {"Authorization": f"Bearer {ACCESS}"}
    assert host.requests == [("POST", "/api/token/refresh", "")]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("a.b.c", "api/token/refresh: expected status 200; got 401"),
        (None, "label_studio_token: the file cannot be read"),
    ],
)
def test_unusable_tokens_are_errors(token: str | None, reason: str, tmp_path: Path, host: FileHost) -> None:
    if token:
        (tmp_path / "token").write_text(token)
    with pytest.raises(ImageError, match=reason):
        authorize(host.origin, tmp_path / "token", within(30))
