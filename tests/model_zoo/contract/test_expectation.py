"""Pydantic's messages are reworded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Gt, Le
from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from model_zoo.contract.expectation import expectation

CASES: list[tuple[Any, object, str]] = [
    (float, "0,5", "expected a number"),
    (int, "", "expected an integer"),
    (int, 1.5, "expected an integer"),
    (bool, "maybe", "expected a boolean"),
    (Path, 3, "expected a path"),
    (PositiveInt, 0, "expected more than 0"),
    (Annotated[int, Le(9)], 10, "expected at most 9"),
    (NonNegativeInt, -1, "expected at least 0"),
    (Annotated[float, Gt(0)], -1, "expected more than 0"),
    (Literal["diou", "iou"], "soft", "expected 'diou' or 'iou'"),
    (Annotated[str, Field(min_length=1)], "", "expected text of at least 1 character"),
    (Annotated[list[int], Field(min_length=1)], [], "expected a list of at least 1 item"),
]


@pytest.mark.parametrize(("kind", "value", "text"), CASES, ids=lambda value: str(value)[:20])
def test_message_says_what_is_expected(kind: Any, value: object, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    message = expectation(caught.value.errors()[0]["msg"])
    assert message.startswith(text)
    assert "Input" not in message


def test_other_messages_stay() -> None:
    assert expectation("Value error, choose another") == "choose another"
    assert expectation("anything else") == "anything else"
