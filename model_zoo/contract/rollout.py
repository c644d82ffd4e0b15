"""Rollout policy of a model: which versions answer for its bare name, and which one is compared with them.

    <repository>/<name>/rollout.json

    {
      "schema_version": 1,
      "stable": 3,
      "canary": {"version": 4, "percent": 5, "header": {"name": "x-canary", "value": "on"}, "sticky": "x-api-key"},
      "shadow": {"version": "candidate", "percent": 100}
    }

All fields are optional. A version is a number or an alias. `Repository` reads and writes the document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from model_zoo.contract import typed_json
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import read_text
from model_zoo.contract.folders import ALIAS, VERSION

ROLLOUT: Final = "rollout.json"
SCHEMA_VERSION: Final = 1
CLIENT: Final = "client"
_TOKEN: Final = re.compile(r"[\w!#$%&'*+.^`|~-]{1,100}", re.ASCII)
_VALUE: Final = re.compile(r"[!-~]([ -~]{0,998}[!-~])?")


@dataclass(frozen=True)
class HeaderMatch:
    """A request header that selects the canary."""

    name: str
    """Header name, in any case."""
    value: str | None = None
    """Value that must match. By default any value does."""


@dataclass(frozen=True)
class Canary:
    """A version that answers a share of the requests."""

    version: str
    """Version number or alias."""
    percent: float = 0.0
    """Share of the clients or requests, 0 to 100."""
    header: HeaderMatch | None = None
    """Requests with this header always get the canary."""
    sticky: str | None = None
    """Header whose value draws the share, so that a client stays with its version. `client` means its API key or
    address. By default every request is drawn by itself."""


@dataclass(frozen=True)
class Shadow:
    """A version that gets a copy of a share of the images, and never answers."""

    version: str
    """Version number or alias."""
    percent: float = 100.0
    """Share of the requests, 0 to 100."""


@dataclass(frozen=True)
class Rollout:
    """Rollout policy of one model."""

    stable: str | None = None
    """Version that the bare name means. By default the alias stable, or the newest version."""
    canary: Canary | None = None
    """Version that answers a share of the requests."""
    shadow: Shadow | None = None
    """Version that is compared with the answers."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""

    @property
    def versions(self) -> dict[str, str]:
        """The versions by the field that names them."""
        named = {
            "stable": self.stable,
            "canary.version": self.canary and self.canary.version,
            "shadow.version": self.shadow and self.shadow.version,
        }
        return {field: version for field, version in named.items() if version}

    def without(self, versions: Collection[str]) -> Rollout:
        """Return the policy without the parts that name one of these versions."""
        stable = None if self.stable in versions else self.stable
        canary = None if self.canary and self.canary.version in versions else self.canary
        shadow = None if self.shadow and self.shadow.version in versions else self.shadow
        return replace(self, stable=stable, canary=canary, shadow=shadow)

    def promote(self) -> Rollout:
        """Return the policy with the canary as the stable version.

        Raises:
            LineageError: there is no canary.
        """
        if self.canary is None:
            raise LineageError("rollout: expected a canary to promote; there is none")
        return replace(self, stable=self.canary.version, canary=None)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document, without the fields that are not set."""
        document: dict[str, Any] = _without_none(asdict(self))
        return _map_versions(document, lambda _, version: int(version) if VERSION.fullmatch(version) else version)

    def to_json(self) -> bytes:
        """Return the contents of the file."""
        return (json.dumps(self.to_document(), indent=2) + "\n").encode()

    def describe(self, numbers: Mapping[str, int] | None = None) -> list[str]:
        """Describe the policy, one line for each part. `numbers` are the version numbers by field, if known."""
        versions = {field: _version(version, (numbers or {}).get(field)) for field, version in self.versions.items()}
        lines = [f"stable: {versions['stable']} answers for the bare name"] if self.stable else []
        if self.canary:
            lines.append(f"canary: {versions['canary.version']} answers {_share(self.canary)}")
        if self.shadow:
            share = f"{self.shadow.percent:g} % of the requests"
            lines.append(f"shadow: {versions['shadow.version']} is compared with the answers to {share}")
        return lines


def parse_rollout(document: object) -> Rollout:
    """Build a policy from parsed JSON.

    Raises:
        LineageError: a field is unknown, of the wrong type or out of range; the message has its path.
    """
    typed_json.check_schema(document, SCHEMA_VERSION)
    if isinstance(document, Mapping):
        document = _map_versions(document, _version_text)
    rollout = Rollout(**typed_json.read_fields(Rollout, document))
    _check_percents(rollout)
    _check_headers(rollout)
    return rollout


def read_rollout(folder: Path) -> Rollout | None:
    """Read the policy in the folder of a model, or return None without one.

    Raises:
        LineageError: the file cannot be read, or is invalid; the message names the file.
    """
    try:
        return parse_rollout(typed_json.parse(read_text(folder / ROLLOUT)))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, LineageError) as error:
        raise LineageError(f"{folder.name}: {ROLLOUT}: {error}; fix or delete it") from error


def _check_percents(rollout: Rollout) -> None:
    parts = {"canary": rollout.canary, "shadow": rollout.shadow}
    for name, part in parts.items():
        if part and not 0 <= part.percent <= 100:
            raise LineageError(f"{name}.percent: expected a number from 0 to 100; got {part.percent:g}")


def _check_headers(rollout: Rollout) -> None:
    canary = rollout.canary
    names = {
        "canary.header.name": canary.header.name if canary and canary.header else None,
        "canary.sticky": canary.sticky if canary else None,
    }
    for field, name in names.items():
        if name is not None and not _TOKEN.fullmatch(name):
            raise LineageError(f"{field}: expected the name of a header, such as x-client-id; got {name[:100]!r}")
    value = canary.header.value if canary and canary.header else None
    if value is not None and not _VALUE.fullmatch(value):
        expected = "printable ASCII without spaces around it"
        raise LineageError(f"canary.header.value: expected {expected}; got {typed_json.shorten(value)}")


def _version_text(field: str, version: object) -> str | None:
    """Return a version as text, as the fields hold it."""
    if version is None and field == "stable":
        return None
    text = str(version) if type(version) in (int, str) else ""
    if not (VERSION.fullmatch(text) or ALIAS.fullmatch(text)):
        raise LineageError(f"{field}: expected a version number or an alias; got {typed_json.shorten(version)}")
    return text


def _map_versions(document: Mapping[str, Any], change: Callable[[str, Any], object]) -> dict[str, Any]:
    """Return a document with `change(field, version)` applied to its versions."""
    changed = dict(document)
    if "stable" in changed:
        changed["stable"] = change("stable", changed["stable"])
    for part in ("canary", "shadow"):
        if isinstance(value := changed.get(part), Mapping) and "version" in value:
            changed[part] = {**value, "version": change(f"{part}.version", value["version"])}
    return changed


def _without_none(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_none(item) for name, item in value.items() if item is not None}


def _version(version: str, number: int | None) -> str:
    if VERSION.fullmatch(version):
        return f"version {version}"
    return f"alias {version}" + (f" (version {number})" if number else "")


def _share(canary: Canary) -> str:
    by = "" if canary.sticky is None else f", the same {canary.sticky} always alike"
    parts = [f"{canary.percent:g} % of the requests{by}"] if canary.percent or not canary.header else []
    if canary.header:
        value = "" if canary.header.value is None else f": {canary.header.value}"
        parts.append(f"requests with the header {canary.header.name}{value}")
    return ", and ".join(parts)
