"""Checks that the parser, llhttp, leaves to servers: proxies must not read a request differently (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from service.api.errors import BadRequest, HeadTooLarge

MAX_HEAD: Final = 16_384
_MAX_SHOWN: Final = 100
_LINE: Final = re.compile(rb"[^\s]+ [^\s]+ [^\s]+\r?\n")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_ASCII: Final = "".join(map(chr, range(128)))
_FORM: Final = "expected METHOD TARGET HTTP/1.1, with blanks in the target as %20"


def malformed(reason: str) -> BadRequest:
    """Return the error of a malformed request. Parts that the client sent follow a colon in `reason`."""
    return BadRequest(f"malformed HTTP: {reason}")


def check_line(line: bytes) -> bytes:
    """Return a request line, with UTF-8 beyond ASCII percent-encoded. curl sends it as it was typed.

    Raises:
        BadRequest: it has not three parts with one blank between them.
    """
    if _LINE.fullmatch(line) is None:
        shown = line[:_MAX_SHOWN].strip().decode("ascii", "replace")
        raise malformed(f"illegal request line: {shown!r}; {_FORM}")
    if line.isascii():
        return line
    try:
        return quote(line.decode(), safe=_ASCII).encode()
    except UnicodeDecodeError:
        return line  # refused by the parser


def check_head(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Check the head of a request, whose header names are in lower case.

    Raises:
        BadRequest: it is ambiguous, or of another version of HTTP.
        HeadTooLarge: it exceeds MAX_HEAD bytes.
    """
    check_head_size(len(target) + sum(len(name) + len(value) + 4 for name, value in headers))
    if version not in ("1.0", "1.1"):
        hint = " (gRPC has a port of its own)" if version == "2.0" else ""
        raise malformed(f"HTTP/{version}{hint}: this server speaks HTTP/1.1")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version == "1.1"):
        raise malformed(f"expected one Host header; got {len(hosts)}")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise malformed(f"expected a host name or address in Host; got: {hosts[0][:_MAX_SHOWN]!r}")
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise malformed("expected no Transfer-Encoding but chunked, once, in HTTP/1.1 only")


def check_head_size(size: int) -> None:
    """Check the number of bytes of a head, or of what has arrived of it.

    Raises:
        HeadTooLarge: it has too many.
    """
    if size > MAX_HEAD:
        raise HeadTooLarge(f"expected a head of at most {MAX_HEAD} bytes")
