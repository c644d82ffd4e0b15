"""Ask for classes by name or index.

A filter is a list separated by commas: `person,car`. A name with a comma is quoted as in CSV: `"cup, glass",fork`, with
quotes inside doubled. A number is an index, unless a class has that name: then `id:3` is index 3.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Final

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import QueryError
from model_zoo.contract.suggest import did_you_mean
from model_zoo.contract.typed_json import shorten

MAX_LISTED: Final = 8
_INDEX: Final = re.compile(r"(?:id:\s*)?(\d{1,9})")
_NEEDS_QUOTES: Final = re.compile(r'[,"]')


def parse_classes(groups: str | Iterable[str]) -> list[str]:
    """Split a filter, or several, into names and indices.

    Raises:
        QueryError: A filter has several lines, or a name is far too long.
    """
    return [name for group in ([groups] if isinstance(groups, str) else groups) for name in _split(group)]


def class_ids(card: ModelCard, classes: Iterable[str | int]) -> frozenset[int]:
    """Return the indices of classes: of all with the name, or the one with the index.

    Raises:
        QueryError: There is no class of that name or index.
    """
    return frozenset(index for wanted in classes for index in _ids(card, wanted))


def quoted(name: str) -> str:
    """Return a class name as it is written in a filter."""
    return '"' + name.replace('"', '""') + '"' if _NEEDS_QUOTES.search(name) else name


def _split(group: str) -> list[str]:
    try:
        names = next(csv.reader([group], skipinitialspace=True)) or [""]
    except csv.Error as error:
        raise QueryError(
            f"classes: expected short names on one line, separated by commas, such as {quoted('cup, glass')},fork; "
            f"got {shorten(group)}"
        ) from error
    return [name.strip() for name in names]


def _ids(card: ModelCard, wanted: str | int) -> Iterable[int]:
    named = [index for index, name in enumerate(card.class_names) if name == wanted]
    index = wanted if isinstance(wanted, int) else _index(wanted)
    if named:
        return named
    if index is not None and 0 <= index < len(card.class_names):
        return (index,)
    raise QueryError(f"classes: {card.name} has no class {shorten(wanted)}; {_hint(card.class_names, wanted)}")


def _index(text: str) -> int | None:
    match = _INDEX.fullmatch(text)
    return int(match[1]) if match else None


def _hint(class_names: Sequence[str], wanted: str | int) -> str:
    """Return names that were probably meant, or the first ones."""
    containing = [quoted(name) for name in class_names if str(wanted) in re.split(r"\s*,\s*", name)]
    if containing:
        return f"a name with a comma needs quotes: {containing[0]}"
    if close := did_you_mean(str(wanted), map(quoted, dict.fromkeys(class_names))):
        return close
    known = ", ".join(map(quoted, class_names[:MAX_LISTED])) + (", ..." if len(class_names) > MAX_LISTED else "")
    return f"expected a label or an index of: {known}"
