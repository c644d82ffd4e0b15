"""The file of API keys: a JSON document with names, scopes and hashes, but no key.

A key is a random number of 256 bits. Its SHA-256 cannot be reversed by guessing, so a slow password hash would only
cost time on every request.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Literal

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import read_text, write_atomic
from model_zoo.contract.suggest import did_you_mean
from model_zoo.contract.typed_json import check_schema, parse, read_fields

Scope = Literal["detect", "admin"]
SCHEMA_VERSION: Final = 1
PREFIX: Final = "lineage_"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MODE: Final = 0o600


class KeyFileError(LineageError):
    """The file of API keys is missing or damaged, or a change does not fit it."""


@dataclass(frozen=True)
class Key:
    """An API key, known by its hash."""

    name: str
    """Name in logs and lists."""
    sha256: str
    """SHA-256 of the key in hex."""
    scopes: tuple[Scope, ...]
    """Allowed: detect for requests, admin for changes and everything else."""
    created: str
    """Time of creation (ISO 8601, UTC)."""
    expires: str | None = None
    """Time from which it is refused (ISO 8601 with a time zone). None: never."""

    def allows(self, scope: Scope) -> bool:
        """Return whether the key has a scope. admin implies detect."""
        return scope in self.scopes or "admin" in self.scopes

    def is_expired(self) -> bool:
        """Return whether the key is out of date."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC)


@dataclass(frozen=True)
class _Document:
    schema_version: int
    keys: tuple[Key, ...]


def hash_token(token: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys.

    Raises:
        KeyFileError: it cannot be read; the message has the file, and the line or the field.
    """
    try:
        data = parse(read_text(path))
        check_schema(data, SCHEMA_VERSION)
        document = _Document(**read_fields(_Document, data))
        _check(document)
    except OSError as error:
        create = f"; create it with: lineage keys add NAME --file {path}" if error.errno == errno.ENOENT else ""
        raise KeyFileError(f"{path}: {error.strerror}{create}") from error
    except (LineageError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    return document.keys


def add_key(path: Path, name: str, scopes: tuple[Scope, ...], lifetime: timedelta | None = None) -> str:
    """Add a key to a file, which is created if it is missing, and return the key. It is stored nowhere.

    Raises:
        KeyFileError: the name is malformed or in use, or the file is damaged.
    """
    if not _NAME.fullmatch(name):
        raise KeyFileError(f"name: expected up to 64 letters, digits, dots, dashes or underscores; got {name[:100]!r}")
    token = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC).replace(microsecond=0)
    expires = (now + lifetime).isoformat() if lifetime else None
    key = Key(name, hash_token(token), scopes, now.isoformat(), expires)

    def append(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if name in (other.name for other in keys):
            raise KeyFileError(f"{path}: the name {name!r} is in use; choose another, or remove that key first")
        return (*keys, key)

    _change(path, append, create=True)
    return token


def remove_key(path: Path, name: str) -> None:
    """Remove a key from a file. A running server refuses it within two seconds.

    Raises:
        KeyFileError: there is no such key, or the file is damaged.
    """

    def without(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        names = [key.name for key in keys]
        if name not in names:
            hint = did_you_mean(name, names) or f"expected one of: {', '.join(names) or 'none, the file is empty'}"
            raise KeyFileError(f"{path}: no key {name[:100]!r}; {hint}")
        return tuple(key for key in keys if key.name != name)

    _change(path, without)


def _change(path: Path, change: Callable[[tuple[Key, ...]], tuple[Key, ...]], *, create: bool = False) -> None:
    """Replace the keys of a file at once. Owner and mode of an existing file stay, so that its server can read it.

    A symbolic link stays, and the file it leads to changes.
    """
    path = path.resolve()
    with _locked(path.parent):
        exists = path.exists() or not create
        keys = change(read_keys(path) if exists else ())
        document = asdict(_Document(SCHEMA_VERSION, keys))
        before = path.stat() if exists else None

        def write(file: BinaryIO) -> None:
            os.fchmod(file.fileno(), before.st_mode & 0o777 if before else _MODE)
            if before and before.st_uid != os.geteuid():
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(json.dumps(document, indent=2).encode() + b"\n")

        write_atomic(path, write)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock for changes of files in a folder. The lock of a dead process is released."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check(document: _Document) -> None:
    """Check what the types of the fields do not."""
    names, hashes = set[str](), set[str]()
    for index, key in enumerate(document.keys):
        where = f"keys[{index}]"
        if not _NAME.fullmatch(key.name) or key.name in names:
            raise LineageError(f"{where}.name: expected a name that no other key has; got {key.name[:100]!r}")
        if not _HASH.fullmatch(key.sha256):
            raise LineageError(f"{where}.sha256: expected 64 hex digits, as `lineage keys add` writes them")
        if key.sha256 in hashes:  # it would be valid after one of its names is removed
            raise LineageError(f"{where}.sha256: expected a key that has no other name; {key.name} is one of two")
        if not key.scopes:
            raise LineageError(f"{where}.scopes: expected detect, admin or both; got an empty list")
        if key.expires is not None:
            _check_time(f"{where}.expires", key.expires)
        names.add(key.name)
        hashes.add(key.sha256)


def _check_time(where: str, text: str) -> None:
    try:
        has_zone = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise LineageError(f"{where}: expected a time such as 2030-01-31T00:00:00Z; got {text[:100]!r}")
