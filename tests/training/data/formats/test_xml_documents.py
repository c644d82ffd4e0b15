"""XML in encodings that expat knows, in others, and with wrong declarations."""

from __future__ import annotations

import codecs

import pytest

from training.data.formats.xml_documents import UNDECODABLE, decode_xml, parse_xml
from training.data.validation.findings import LabelError

BODY = "<annotation><name>{}</name></annotation>"


def name_in(data: bytes) -> str | None:
    return parse_xml(decode_xml(data)).findtext("name")


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("gb2312", "红绿灯"),
        ("GBK", "镕"),
        ("gb18030", "红绿灯"),
        ("Shift_JIS", "信号機"),
        ("shift-jis", "信号機"),
        ("x-sjis", "信号機"),
        ("EUC-JP", "信号機"),
        ("iso-2022-jp", "信号機"),
        ("Big5", "紅綠燈"),
        ("euc-kr", "신호등"),
        ("cp949", "똠"),
        ("windows-1251", "светофор"),
        ("koi8-r", "светофор"),
        ("windows-1252", "café"),
        ("ISO-8859-1", "café"),
        ("iso-8859-15", "œuf"),
        ("cp437", "café"),
        ("utf-8", "信号機"),
    ],
)
def test_declared_encoding_is_used(encoding: str, name: str) -> None:
    codec = encoding.removeprefix("x-")
    for quote in "\"'":
        head = f"<?xml version={quote}1.0{quote} encoding={quote}{encoding}{quote}?>\n"
        assert name_in((head + BODY.format(name)).encode(codec)) == name


def test_extensions_of_declared_encodings_are_read() -> None:
    assert name_in(('<?xml version="1.0" encoding="gb2312"?>' + BODY.format("镕")).encode("gbk")) == "镕"
    assert name_in(('<?xml version="1.0" encoding="Shift_JIS"?>' + BODY.format("①")).encode("cp932")) == "①"
    assert name_in(('<?xml version="1.0" encoding="latin1"?>' + BODY.format("€")).encode("cp1252")) == "€"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("declared", ["", "utf-8", "utf-16", "gb2312", "unknown"])
def test_bytes_are_stronger_than_the_declaration(encoding: str, declared: str) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    assert name_in((head + BODY.format("caf\u00e9")).encode(encoding)) == "caf\u00e9"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_utf16_of_both_byte_orders(mark: bytes) -> None:
    order = "le" if mark == codecs.BOM_UTF16_LE else "be"
    assert name_in(mark + BODY.format("é").encode(f"utf-16-{order}")) == "é"


@pytest.mark.parametrize("declared", ["utf-16", "UTF-32", "gb2312", "shift_jis", "ascii", "nonsense", "base64", "hex"])
def test_utf8_with_a_wrong_declaration(declared: str) -> None:
    assert name_in((f'<?xml version="1.0" encoding="{declared}"?>' + BODY.format("信号機")).encode()) == "信号機"


@pytest.mark.parametrize("data", ["é".encode("latin-1"), "红绿灯".encode("gbk"), b"\xff\xfe"[::-1] + b"\x80"])
def test_undeclared_bytes_do_not_break_the_structure(data: bytes) -> None:
    document = parse_xml(decode_xml(b"<annotation><path>" + data + b"</path><name>car</name></annotation>"))
    assert document.findtext("name") == "car"
    assert UNDECODABLE in (document.findtext("path") or "")


def test_blank_lines_before_the_declaration_are_accepted() -> None:
    assert name_in(b'\n \n<?xml version="1.0"?>' + BODY.format("car").encode()) == "car"
    with pytest.raises(LabelError) as raised:
        parse_xml("\n\n<annotation>\n<name></annotation>")
    assert raised.value.line == 4


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (" \n", "file-empty"),
        ("car 1 2 3 4", "invalid-xml"),
        ("<a>\x00</a>", "invalid-xml"),
        ("<a>&x;</a>", "invalid-xml"),
    ],
)
def test_invalid_documents_raise(text: str, kind: str) -> None:
    with pytest.raises(LabelError) as raised:
        parse_xml(text)
    assert raised.value.kind == kind
