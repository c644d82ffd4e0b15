"""`lineage keys`: the API keys of a server."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import tyro

from lineage.cli.arguments import option
from lineage.cli.tables import format_table
from model_zoo.contract.errors import LineageError
from service.access.key_file import Key, Scope, add_key, read_keys, remove_key

HEADER: Final = ("name", "scopes", "created", "expires")
FILE: Final = Path("keys.json")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add(
    name: Annotated[str, tyro.conf.Positional, option("NAME")],
    *,
    scope: Annotated[str, option("SCOPES")] = "detect",
    expires: Annotated[str | None, option("DURATION")] = None,
    file: Annotated[Path, option("FILE")] = FILE,
) -> None:
    """Make an API key and print it. The file stores its hash only, so it cannot be shown again.

    A running server accepts it within two seconds. Clients send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.

    Args:
        name: Name of the key, which the server's log shows.
        scope: detect for requests, admin for changes too, separated by commas.
        expires: Time until it is refused, such as 12h, 30d or 8w. By default it does not expire.
        file: File of keys. It is created if it is missing.
    """
    print(add_key(file, name, _scopes(scope), _duration(expires) if expires is not None else None))
    print(f"lineage: {file} has the hash of the key {name}; the key itself is not stored", file=sys.stderr)


def list_(*, file: Annotated[Path, option("FILE")] = FILE) -> None:
    """List the API keys of a file. `lineage keys add` and `lineage keys remove` change it.

    Args:
        file: File of keys.
    """
    keys = read_keys(file)
    print(format_table([HEADER, *map(_row, keys)]) if keys else f"No keys in {file}.")


def remove(
    name: Annotated[str, tyro.conf.Positional, option("NAME")],
    *,
    file: Annotated[Path, option("FILE")] = FILE,
) -> None:
    """Remove an API key. A running server refuses it within two seconds.

    Args:
        name: Name of the key.
        file: File of keys.
    """
    remove_key(file, name)
    print(f"removed the key {name} from {file}")


def _row(key: Key) -> tuple[str, ...]:
    expires = f"{key.expires or 'never'}{' (expired)' if key.is_expired() else ''}"
    return key.name, ",".join(key.scopes), key.created, expires


def _scopes(text: str) -> tuple[Scope, ...]:
    scopes = tuple(dict.fromkeys(text.split(",")))
    known = get_args(Scope)
    if not set(scopes) <= set(known):
        raise LineageError(f"--scope: expected {' or '.join(known)}, or both separated by a comma; got {text[:100]!r}")
    return cast(tuple[Scope, ...], scopes)


def _duration(text: str) -> timedelta:
    """Return the duration of a number with a unit."""
    match = re.fullmatch(rf"([1-9][0-9]{{0,4}})([{''.join(_UNITS)}])", text)
    if not match:
        raise LineageError(f"--expires: expected a number with the unit m, h, d or w, such as 30d; got {text[:100]!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
