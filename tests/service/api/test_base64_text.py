"""Base64 text of images: its forms, and what is refused."""

from __future__ import annotations

import base64

import pytest

from service.api import base64_text
from service.api.base64_text import STEP, decode_base64
from service.api.errors import BadRequest

FILE = bytes(range(256))
TEXT = base64.b64encode(FILE).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        base64.encodebytes(FILE).decode(),
        TEXT.replace("A", "A\r\n"),
        f"data:image/png;base64,{TEXT}",
        f"data:image/jpeg;name=a.jpg;base64,{TEXT}",
    ],
)
@pytest.mark.parametrize("step", [STEP, 7])
def test_all_forms_are_decoded(text: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64_text, "STEP", step)
    assert decode_base64(text, "image") == FILE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not base64!", "got 'not base64!'"),
        (TEXT[:-1], "expected base64 of an image file"),
        (TEXT + "=", "expected base64 of an image file"),
        ("https://host/a.jpg", "got 'https://host/a.jpg'"),
        ("data:image/png,%89PNG", "expected data:image/jpeg;base64,...; got 'data:image/png'"),
        ("\xff\xd8\xff\xe0", "expected base64 of an image file; got bytes that are no text; encode it"),
        ("QQ==" + TEXT, "expected base64 of an image file"),
        ("QUFBQ===", "expected base64 of an image file"),
        ("QQ==\n=", "expected base64 of an image file"),
        ("data:" + "x" * 2000, "expected data:image/jpeg;base64"),
    ],
)
@pytest.mark.parametrize("step", [STEP, 4])
def test_other_text_is_refused(text: str, reason: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64_text, "STEP", step)
    with pytest.raises(BadRequest, match=r"^data: ") as caught:
        decode_base64(text, "data")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300
