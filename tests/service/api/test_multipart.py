"""Multipart bodies as different clients send them, in chunks of any size."""

from __future__ import annotations

import random

import pytest

from service.api import multipart
from service.api.errors import BadRequest, UnsupportedBody
from service.api.multipart import MAX_HEAD, Part, PartReader

KIND = "multipart/form-data; boundary=B"
DISPOSITION = b'Content-Disposition: form-data; name="file"'
DATA = bytes(range(256)) + b"\r\n--Bx\r\n\n--\r\n\r"


def read(body: bytes, kind: str = KIND, max_parts: int = 3) -> list[Part]:
    """Read a body in chunks of several sizes, and check that they make no difference."""
    readings = []
    for size in (1, 2, 7, len(body) + 1):
        reader = PartReader(kind, max_parts)
        for start in range(0, len(body), size):
            reader.feed(body[start : start + size])
        readings.append(reader.finish())
    assert all(reading == readings[0] for reading in readings)
    return readings[0]


def form(head: bytes = DISPOSITION, data: bytes = DATA, newline: bytes = b"\r\n") -> bytes:
    return newline.join([b"--B", head, b"", data, b"--B--", b""])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (b"", None),
        (b'; filename=""', None),
        (b'; filename="a.jpg"', "a.jpg"),
        (b"; filename=a.jpg", "a.jpg"),
        (b'; filename="a;b=\\"c\\".jpg"', 'a;b="c".jpg'),
        ('; filename="猫.jpg"'.encode(), "猫.jpg"),
        (b'; filename="caf\xe9.jpg"', "café.jpg"),
        (b"; filename=\"x\"; filename*=utf-8''%E7%8C%AB.jpg", "猫.jpg"),
        (b"; filename*=UTF-8'en'na%20me.jpg; filename=x", "na me.jpg"),
        (b"; filename*=iso-8859-1''caf%E9.jpg", "café.jpg"),
        (b"; filename*0*=utf-8''%E7%8C; filename*1*=%AB.jpg", "猫.jpg"),
        (b"; filename*=no-such-codec''%E7%8C%AB", "猫"),
        (b"; filename*=garbage", "garbage"),
        (b'; filename="=?utf-8?B?54yrLmpwZw==?="', "猫.jpg"),
        (b'; filename="=?utf-8?b?54yr?= =?iso-8859-1?q?=E9.jpg?="', "猫é.jpg"),
        (b'; filename="=?utf-8?Q?caf=C3=A9?=.jpg"', "café.jpg"),
        (b'; filename="=?utf-8?B?!?="', "=?utf-8?B?!?="),
        (b';\r\n filename="a.jpg"', "a.jpg"),
        (b';\r\n\tfilename="a.jpg"\r\nContent-Type: image/jpeg', "a.jpg"),
    ],
)
def test_file_names(parameters: bytes, expected: str | None) -> None:
    assert read(form(DISPOSITION + parameters)) == [Part("file", expected, DATA)]


@pytest.mark.parametrize("charset", ["gbk", "shift_jis"])
def test_names_in_the_charset_of_the_form(charset: str) -> None:
    head = DISPOSITION + '; filename="漢.jpg"'.encode(charset)
    assert read(form(head), f"{KIND}; charset={charset}")[0].file_name == "漢.jpg"


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n--Bx\r\n\r\n" + form(),
        b"\r\n" + form(),
        form() + b"epilogue\r\n--B\r\n",
        form()[:-2],
        form().replace(b"--B\r\n", b"--B \t\r\n", 1),
        form(DISPOSITION.upper().replace(b'"FILE"', b'"file"')),
        form(b"X-A: b\r\n" + DISPOSITION.replace(b": ", b":")),
        form(newline=b"\n", data=DATA + b"."),
    ],
)
def test_unusual_bodies(body: bytes) -> None:
    assert [(part.name, part.data.removesuffix(b".")) for part in read(body)] == [("file", DATA)]


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="B"',
        "Multipart/Form-Data;BOUNDARY=B  ",
        'multipart/form-data; charset=x; boundary = "B"',
    ],
)
def test_unusual_content_types(kind: str) -> None:
    assert read(form(), kind)[0].data == DATA


def test_parts_keep_their_order() -> None:
    body = b"--B\r\n" + DISPOSITION + b"\r\n\r\n1\r\n" + form(data=b"2")
    assert [part.data for part in read(body)] == [b"1", b"2"]
    with pytest.raises(BadRequest, match="at most 1 files"):
        read(body, max_parts=1)


def test_transfer_encodings_are_decoded() -> None:
    head = DISPOSITION + b"\r\nContent-Transfer-Encoding: "
    assert read(form(head + b"BASE64", b"aGVs\r\nbG8="))[0].data == b"hello"
    assert read(form(head + b"quoted-printable", b"a=00b"))[0].data == b"a\0b"
    assert read(form(head + b"binary"))[0].data == DATA
    with pytest.raises(BadRequest, match="base64"):
        read(form(head + b"base64", b"a"))
    with pytest.raises(UnsupportedBody, match="got 'x-uue'"):
        read(form(head + b"x-uue"))


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (form(), "multipart/form-data", "boundary"),
        (form(), "multipart/form-data; boundary=" + "x" * 300, "boundary"),
        (form(), KIND + '; x="' + ";" * 1000 + '"', "at most 64 parameters"),
        (form(DISPOSITION + b'; x="' + b";" * 1000 + b'"'), KIND, "at most 64 parameters"),
        (b"", KIND, "expected parts after --B"),
        (form().replace(b"--B", b"--C"), KIND, "Content-Type: its boundary must be"),
        (form(), "multipart/form-data; boundary='B'", "expected parts after --'B'"),
        (form()[:-6], KIND, "cut short"),
        (b"--B\r\n\r\nno head\r\n--B--", KIND, "got no name"),
        (form(b"Content-Disposition: form-data"), KIND, "got no name"),
        (form(DISPOSITION + b" " * MAX_HEAD), KIND, "blank line"),
        (b"--B\r\n" + DISPOSITION + b"\r\n--B--", KIND, "blank line"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, kind: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        read(body, kind)


def test_large_parts_must_be_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be decoded in the event loop, at once."""
    monkeypatch.setattr(multipart, "MAX_ENCODED", 8)
    head = DISPOSITION + b"\r\nContent-Transfer-Encoding: base64"
    assert read(form(head, b"aGVsbG8="))[0].data == b"hello"
    with pytest.raises(UnsupportedBody, match="expected binary for parts of more than 8 bytes"):
        read(form(head, b"aGVsbG8=\n"))
    assert read(form(DISPOSITION, bytes(9)))[0].data == bytes(9)


def test_nested_multipart_is_refused() -> None:
    with pytest.raises(UnsupportedBody, match="a part of type multipart/mixed: send each file as a part of its own"):
        read(form(DISPOSITION + b"\r\nContent-Type: multipart/mixed; boundary=C"))


def test_random_bodies_are_read_or_refused() -> None:
    pieces = [
        b"--B\r\n", b"--B--", DISPOSITION, b"\r\n\r\n", b"; filename*=", b"utf-8''", b"=?utf-8?B?", b"?=", b'"', b"\\",
        b"%", b"*0*=", b"\xff\0", b"\n", b";",
    ]  # fmt: skip
    for seed in range(300):
        body = b"--B\r\n" + DISPOSITION + b"".join(random.Random(seed).choices(pieces, k=40))
        try:
            read(body)
        except (BadRequest, UnsupportedBody):
            continue


def test_equal_heads_are_parsed_once() -> None:
    multipart._parse_head.cache_clear()
    assert read(form()) == read(form(b"Content-Type: image/png\r\n" + DISPOSITION)) == [Part("file", None, DATA)]
    assert multipart._parse_head.cache_info().misses == 2
