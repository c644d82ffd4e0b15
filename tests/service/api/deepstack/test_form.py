"""Forms of DeepStack clients, as different libraries write them."""

from __future__ import annotations

import pytest

from service.api.deepstack.form import Form
from service.api.errors import BadRequest
from service.api.multipart import Part
from service.inference.query import QueryOptions


def form(**texts: str) -> Form:
    return Form([Part(name, None, text.encode()) for name, text in texts.items()])


def test_image_is_the_part_of_that_name_or_the_first_file() -> None:
    other, image, second = Part("file", "a.jpg", b"1"), Part("image", None, b"2"), Part("image", "b.jpg", b"3")
    assert Form([Part("api_key", None, b""), other, image, second]).image == b"2"
    assert Form([Part("api_key", None, b""), other]).image == b"1"


@pytest.mark.parametrize(("parts", "got"), [([], "none"), ([Part("min_confidence", None, b"0.4")], "'min_confidence'")])
def test_form_without_image_is_refused(parts: list[Part], got: str) -> None:
    with pytest.raises(BadRequest, match=f"expected a multipart body with a file named 'image' .*; got parts: {got}"):
        _ = Form(parts).image


@pytest.mark.parametrize("fields", [{}, {"min_confidence": ""}, {"min_confidence": " "}])
def test_defaults(fields: dict[str, str]) -> None:
    assert form(**fields).options == QueryOptions(score=0.4, max_detections=20, clamp=True)


@pytest.mark.parametrize(("text", "score"), [("0", 0.0), ("0.25", 0.25), (" 1 ", 1.0), ("5e-1", 0.5)])
def test_min_confidence_lifts_the_limit_of_predictions(text: str, score: float) -> None:
    assert form(min_confidence=text).options == QueryOptions(score=score, clamp=True)


@pytest.mark.parametrize("text", ["-0.1", "1.1", "45", "nan", "inf", "high", "\udcff" * 2, "9" * 10_000])
def test_other_values_are_refused(text: str) -> None:
    sent = Form([Part("min_confidence", None, text.encode("utf-8", "surrogateescape"))])
    with pytest.raises(BadRequest, match="min_confidence: expected a number from 0 to 1; got") as caught:
        _ = sent.options
    assert len(str(caught.value)) < 600
