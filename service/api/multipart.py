"""Split multipart bodies (RFC 2046, RFC 7578) into parts in memory, while they arrive.

Preamble, epilogue, folded headers, padded delimiters and bare line feeds are accepted.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from functools import lru_cache
from typing import Final

from service.api.errors import BadRequest, UnsupportedBody

MAX_HEAD: Final = 4096
MAX_PARAMETERS: Final = 64
MAX_ENCODED: Final = 1 << 24  # bytes of a part, which are decoded at once
MAX_BOUNDARY: Final = 256  # RFC 2046 allows 70
_MAX_PADDING: Final = 64
_BLANK_LINE: Final = re.compile(rb"(?:\A|\n)\r?\n")
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_CONTENT_TYPE: Final = "Let the HTTP library set Content-Type: its boundary must be that of the body"
_DISPOSITION: Final = "content-disposition"
_ENCODINGS: Final = ("", "binary", "8bit", "7bit")
_USUAL: Final = re.compile(r"multipart/form-data; ?boundary=([0-9A-Za-z_-]{1,70})")
_MAX_HEADS: Final = 64  # of up to MAX_HEAD bytes, whose meaning is kept


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    name: str
    """Name of the form field."""
    file_name: str | None
    """File name, if the client sent one."""
    data: bytes
    """Contents."""


class PartReader:
    """Collects the parts of a body that is fed in chunks."""

    def __init__(self, content_type: str, max_parts: int) -> None:
        """Prepare for a body with the given Content-Type.

        Raises:
            BadRequest: the header has no usable boundary.
        """
        boundary, self._charset = _parse_content_type(content_type)
        self._boundary, self._max_parts = boundary.decode("latin-1"), max_parts
        self._delimiter = re.compile(
            rb"\n--" + re.escape(boundary) + rb"(?:(?P<last>--)|[ \t]{0,%d}\r?\n)" % _MAX_PADDING
        )
        self._overlap = len(boundary) + _MAX_PADDING + 8
        self._buffer = bytearray(b"\n")  # the first delimiter may be at the very beginning
        self._parts: list[Part] | None = None  # None: still in the preamble
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes of the body.

        Raises:
            BadRequest: the body is malformed or has too many parts.
            UnsupportedBody: a part has an unknown transfer encoding.
        """
        start = max(len(self._buffer) - self._overlap, 0)
        self._buffer += b"" if self._ended else chunk
        while not self._ended and (found := self._delimiter.search(self._buffer, start)):
            self._add(found.start())
            self._ended, start = found["last"] is not None, 0
            del self._buffer[: found.end()]

    def finish(self) -> list[Part]:
        """Return the parts.

        Raises:
            BadRequest: the body ended before its closing delimiter.
        """
        if self._parts is None:
            raise BadRequest(f"multipart body: expected parts after --{self._boundary}; got none. {_CONTENT_TYPE}")
        if not self._ended:
            raise BadRequest(f"multipart body: expected --{self._boundary}-- at its end; the body is cut short")
        return self._parts or []

    def _add(self, end: int) -> None:
        """Add the part that fills the buffer up to `end`, the line feed before its delimiter."""
        if self._parts is None:
            self._parts = []
        elif len(self._parts) == self._max_parts:
            raise BadRequest(f"multipart body: expected at most {self._max_parts} files; send several requests")
        else:
            with memoryview(self._buffer) as view:  # slices of it are no copies
                end -= bytes(view[max(end - 1, 0) : end]) == b"\r"
                self._parts.append(_parse_part(view[:end], self._charset))


def _parse_content_type(content_type: str) -> tuple[bytes, str]:
    """Return the boundary and the charset of the names. The usual form needs no parser."""
    if usual := _USUAL.fullmatch(content_type):
        return usual[1].encode(), "utf-8"
    header = Message()
    header["content-type"] = content_type
    _check_parameters(content_type)
    return _boundary(header), _plain(header.get_param("charset", "utf-8"))


def _check_parameters(header: str) -> None:
    """Check the number of parameters, whose parser takes quadratic time."""
    if header.count(";") > MAX_PARAMETERS:
        raise BadRequest(f"multipart body: expected at most {MAX_PARAMETERS} parameters in a header")


def _boundary(header: Message) -> bytes:
    boundary = _plain(header.get_param("boundary", "")).encode("latin-1", "replace")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise BadRequest(f"multipart body: expected a boundary of 1 to {MAX_BOUNDARY} characters. {_CONTENT_TYPE}")
    return boundary


def _parse_part(content: memoryview, charset: str) -> Part:
    blank = _BLANK_LINE.search(content, 0, MAX_HEAD)
    if blank is None:
        raise BadRequest(f"multipart body: expected a blank line after at most {MAX_HEAD} bytes of headers in a part")
    name, file_name, encoding = _parse_head(bytes(content[: blank.end()]), charset)
    return Part(name, file_name, _decode_body(encoding, bytes(content[blank.end() :])))


@lru_cache(_MAX_HEADS)
def _parse_head(data: bytes, charset: str) -> tuple[str, str | None, str]:
    """Return field name, file name and transfer encoding. Clients send few heads again and again."""
    head = HeaderParser().parsestr(_decode(_FOLD.sub(b"", data), charset))
    values = _disposition(head)
    if "name" not in values:
        raise BadRequest("multipart body: expected a name in each Content-Disposition, such as 'image'; got no name")
    if head.get_content_maintype() == "multipart":
        raise UnsupportedBody(f"a part of type {head.get_content_type()[:100]}: send each file as a part of its own")
    encoding = str(head.get("content-transfer-encoding", "")).strip().lower()
    return values["name"], values.get("filename") or None, encoding


def _disposition(head: Message) -> dict[str, str]:
    """Return the parameters of Content-Disposition. Extended ones (`filename*`) replace plain ones."""
    values: dict[str, str] = {}
    _check_parameters(str(head.get(_DISPOSITION, "")))
    for name, value in head.get_params([], _DISPOSITION):
        if isinstance(value, tuple) or name.lower() not in values:
            values[name.lower()] = _plain(value)
    return values


def _plain(value: str | tuple[str | None, str | None, str] | None) -> str:
    """Return a parameter as text: plain, extended (RFC 5987, RFC 2231) or with encoded words (RFC 2047)."""
    if isinstance(value, tuple):
        return _decode(value[2].encode("latin-1", "replace"), value[0])
    if not value or "=?" not in value:
        return value or ""
    try:
        words = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(word if isinstance(word, str) else _decode(word, charset) for word, charset in words) or value


def _decode(data: bytes, charset: str | None) -> str:
    """Decode text as the stated charset, UTF-8 or Latin-1, whichever fits first."""
    for codec in (charset or "utf-8", "utf-8"):
        try:
            text = data.decode(codec)
            text.encode()  # no lone surrogates
            return text
        except (LookupError, ValueError):
            continue
    return data.decode("latin-1")


def _decode_body(encoding: str, data: bytes) -> bytes:
    if encoding in _ENCODINGS:
        return data
    if len(data) > MAX_ENCODED:
        raise UnsupportedBody(
            f"Content-Transfer-Encoding: expected binary for parts of more than {MAX_ENCODED:,} bytes"
        )
    if encoding == "quoted-printable":
        return binascii.a2b_qp(data)
    if encoding != "base64":
        raise UnsupportedBody(f"Content-Transfer-Encoding: expected binary or base64; got {encoding[:100]!r}")
    try:
        return binascii.a2b_base64(data)
    except binascii.Error as error:
        raise BadRequest(f"multipart body: cannot be decoded as base64 ({error})") from None
