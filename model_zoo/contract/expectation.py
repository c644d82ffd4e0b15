"""Messages of Pydantic in the words of this project."""

from __future__ import annotations

from typing import Final

_STARTS: Final = (
    ("Value error, ", ""),
    ("Input should be a valid ", "expected a "),
    ("Input should be an ", "expected an "),
    ("Input should be ", "expected "),
    ("String should have ", "expected text of "),
    ("List should have ", "expected a list of "),
    ("Input is not a valid ", "expected a "),
    ("Field required", "a value is required"),
)
_WORDS: Final = (
    ("expected a integer", "expected an integer"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("expected greater than", "expected more than"),
)


def expectation(message: str) -> str:
    """Return "Input should be a valid number, unable to parse ..." as "expected a number", and so on."""
    text = message
    for detail in (", unable to ", ", got a number with", " after validation"):
        text = text.partition(detail)[0]
    for start, replacement in _STARTS:
        if text.startswith(start):
            text = replacement + text.removeprefix(start)
            break
    for words, replacement in _WORDS:
        text = text.replace(words, replacement)
    return text
