"""Parse XML in any encoding that Python knows.

Expat reads UTF-8, UTF-16, ISO-8859-1 and single-byte encodings, but raises an exception for others, such as GB2312 and
Shift JIS. Annotation tools also write a declaration that does not match the bytes. So the text is decoded here: by its
byte order mark, then by its declaration, then as UTF-8. Bytes that fit none become U+FFFD.
"""

from __future__ import annotations

import codecs
import re
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import ErrorString

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]  # it has no types
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]  # it has no types

from training.data.validation.findings import LabelError

UNDECODABLE = "\ufffd"  # stands for bytes that are not text
# Encodings by their first bytes. The UTF-32 mark begins like that of UTF-16.
_SIGNATURES = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_DECLARATION = re.compile(rb"<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']")
# Windows extends these encodings, and its programs declare the original name.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "big5": "cp950",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
}


def parse_xml(text: str) -> Element:
    """Return the root element of XML text. Blank lines before the declaration, which XML forbids, are accepted.

    Raises:
        LabelError: The text is empty, invalid, or has entities.
    """
    document = text.lstrip()
    if not document:
        raise LabelError("file-empty", "expected the labels of an image; got an empty file; write or copy it again")
    try:
        root: Element = fromstring(document)
    except ParseError as error:
        line = error.position[0] + text[: len(text) - len(document)].count("\n")
        message = f"invalid XML: {ErrorString(error.code)}; write or copy the file again"
        raise LabelError("invalid-xml", message, line) from None
    except DefusedXmlException:
        message = "expected XML without entities and external references; remove its DOCTYPE"
        raise LabelError("invalid-xml", message) from None
    return root


def decode_xml(data: bytes) -> str:
    """Return the text of an XML file, with U+FFFD for bytes that cannot be decoded."""
    for signature, encoding in _SIGNATURES:
        if data.startswith(signature):
            return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    declared = _declared_encoding(data)
    for encoding in filter(None, (_SUPERSETS.get(declared), declared, "utf-8")):
        try:
            text = data.decode(encoding)
            text.encode()  # a codec may produce surrogates, which are not text
            return text
        except (UnicodeError, LookupError):
            continue
    return data.decode(errors="replace")


def _declared_encoding(data: bytes) -> str:
    """Return Python's codec for the declared encoding, or an empty string.

    A declared UTF-16 is wrong here: the declaration itself was read byte by byte. .NET programs write it.
    """
    match = _DECLARATION.search(data[:256])
    try:
        name = codecs.lookup(match[1].decode().lower().removeprefix("x-")).name if match else ""
    except LookupError:
        return ""
    return "" if name.startswith(("utf-16", "utf-32")) else name
