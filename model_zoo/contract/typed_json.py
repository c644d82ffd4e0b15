"""Parse JSON documents into frozen dataclasses.

Errors name the path, the expected type and the actual value. Supported field types: str, bool, int, finite float,
Literal of strings, tuple, Mapping[str, ...], nested dataclasses, and `T | None`. Integers are accepted as floats.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import islice
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from model_zoo.contract.errors import LineageError

_PLURALS: dict[type, str] = {str: "strings", bool: "booleans", int: "integers", float: "finite numbers"}
_SCALARS: dict[type, str] = {str: "a string", bool: "true or false", int: "an integer", float: "a finite number"}

_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can encode a lone surrogate, UTF-8 cannot
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def parse(text: str) -> object:
    """Parse a JSON document.

    Raises:
        LineageError: the text is not valid JSON, or an object has a name twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise LineageError(f"expected a JSON document; {error}") from error


def check_schema(data: object, known: int, *, required: bool = False) -> None:
    """Check the `schema_version` of a document before its fields, as other schemas have other fields.

    Raises:
        LineageError: it is another one, or it is missing though `required`.
    """
    found = data.get("schema_version", None if required else known) if isinstance(data, Mapping) else known
    if found != known:
        newer = "; a newer release wrote it, upgrade yolo-lineage" if _fits(int, found) and found > known else ""
        raise LineageError(f"expected schema_version {known}; got {shorten(found)}{newer}")


def read_fields(kind: type[Any], data: object, where: str = "") -> dict[str, Any]:
    """Return the constructor arguments of dataclass `kind` from parsed JSON.

    Raises:
        LineageError: a field is missing, unknown or of the wrong type; the message has its path.
    """
    if not isinstance(data, Mapping):
        raise _wrong(where or "the document", "an object", data)
    hints = _hints(kind)
    for name in data:
        if name not in hints:
            raise LineageError(f"{_at(where, name)}: unknown field; expected one of {', '.join(hints)}")
    for field in fields(kind):
        if field.name not in data and field.default is MISSING and field.default_factory is MISSING:
            raise LineageError(
                f"{_at(where, field.name)}: expected {_expected(hints[field.name])}; the field is missing"
            )
    return {name: _read(hints[name], value, _at(where, name)) for name, value in data.items()}


def shorten(value: object) -> str:
    """Return the repr of a value, at most 100 characters long."""
    text = repr(_head(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _head(value: object) -> object:
    """Return a value without what is cut off anyway: the `repr` of a large one takes long."""
    if isinstance(value, str | bytes):
        return value[:101]
    if isinstance(value, list):
        return [_head(item) for item in value[:101]]
    if isinstance(value, dict):
        return {_head(name): _head(item) for name, item in islice(value.items(), 101)}
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs. A reader would use the last of two equal names, and ignore the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        name = next(name for name in made if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"the name {shorten(name)} is given twice in one object")
    return made


def _read(hint: Any, value: object, where: str) -> Any:
    if get_origin(hint) in (UnionType, Union):  # Union before Python 3.14, where a member is a Literal
        return None if value is None else _read(get_args(hint)[0], value, where)
    if isinstance(hint, type) and is_dataclass(hint):
        return hint(**read_fields(hint, value, where))
    if get_origin(hint) is tuple:
        return _read_tuple(hint, value, where)
    if get_origin(hint) is Mapping:
        return _read_mapping(hint, value, where)
    if not _fits(hint, value):
        raise _wrong(where, _expected(hint), value)
    return hint(value) if hint in _SCALARS else value


def _read_tuple(hint: Any, value: object, where: str) -> tuple[Any, ...]:
    items = get_args(hint)
    if not isinstance(value, list | tuple):
        raise _wrong(where, _expected(hint), value)
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise _wrong(where, _expected(hint), value)
    return tuple(_read(item, v, f"{where}[{i}]") for i, (item, v) in enumerate(zip(items, value, strict=True)))


def _read_mapping(hint: Any, value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong(where, _expected(hint), value)
    return {key: _read(get_args(hint)[1], v, _at(where, key)) for key, v in value.items()}


def _fits(hint: Any, value: object) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if isinstance(value, bool) or hint is bool:  # a bool is an int in Python, but not in JSON
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # false for NaN, too
    if hint is str:
        return isinstance(value, str) and not _SURROGATE.search(value)
    return isinstance(value, hint)


def _expected(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        items = get_args(hint)
        return f"a list of {_PLURALS.get(items[0], 'objects')}" if items[-1] is Ellipsis else f"a list of {len(items)}"
    return _SCALARS.get(hint, "an object")


def _wrong(where: str, expected: str, value: object) -> LineageError:
    return LineageError(f"{where}: expected {expected}; got {shorten(value)}")


def _at(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)
