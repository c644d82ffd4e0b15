"""Accept headers."""

from __future__ import annotations

import pytest

from service.api.native.negotiation import choose
from service.api.problems import NotAcceptable

JSON, JPEG = "application/json", "image/jpeg"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("image/jpeg", JPEG),
        ("IMAGE/JPEG", JPEG),
        ("image/*", JPEG),
        ("image/jpeg, application/json", JSON),
        ("image/jpeg;q=0.9, application/json;q=0.5", JPEG),
        ("application/json;q=0, */*", JPEG),
        ("text/html,application/xhtml+xml;q=0.9,image/webp,*/*;q=0.8", JSON),
        ("image/jpeg;q=nonsense, application/json;q=0.1", JSON),
        ("image/jpeg;q=nan, */*;q=0.1", JSON),
        ("image/jpeg; level=1; q=1", JPEG),
    ],
)
def test_the_best_liked_form_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose(accept, (JSON, JPEG)) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=7", ";", "image/png"])
def test_what_cannot_be_given_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"expected one of application/json, image/jpeg"):
        choose(accept, (JSON, JPEG))
