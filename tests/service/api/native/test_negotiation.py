"""Accept headers."""

from __future__ import annotations

import pytest

from service.api.errors import NotAcceptable
from service.api.native.negotiation import negotiate

JSON, JPEG = "application/json", "image/jpeg"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("*", JSON),
        (",, ,", JSON),
        ("text/html, *; q=.2, */*; q=.2", JSON),
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
def test_preferred_type_is_chosen(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, (JSON, JPEG)) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=7", ";", "image/png"])
def test_unavailable_types_are_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"expected one of application/json, image/jpeg"):
        negotiate(accept, (JSON, JPEG))
