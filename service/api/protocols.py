"""The protocols of the server: the addresses of each, and the form of its errors.

The clients of a protocol read their own members of an error. RFC 9457 allows extra members, so one body serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PROBLEM: Final = "application/problem+json"
JSON: Final = "application/json"


def _no_members(_: str) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True)
class Protocol:
    """One protocol of the server."""

    name: str
    """Name in metrics."""
    prefixes: tuple[str, ...] = ()
    """First parts of the addresses."""
    media_type: str = PROBLEM
    """Media type of errors. Several clients read nothing but application/json."""
    key_in_body: bool = False
    """Whether clients may send their API key in the body. The routes then call `check_body_key`."""
    error_members: Callable[[str], Mapping[str, object]] = _no_members
    """Return the members that clients read, from the text of an error."""
    key_header: bytes = b""
    """A header in which clients may send their API key, besides the usual ones, in lower case."""


OTHER: Final = Protocol("other")
PROTOCOLS: Final = (
    Protocol("native", ("/detect",)),
    Protocol("admin", ("/admin",)),
    Protocol("oip", ("/v2",), JSON, error_members=lambda text: {"error": text}),
    Protocol("deepstack", ("/v1",), JSON, True, lambda text: {"success": False, "error": text}),
    Protocol("doods", ("/doods",), JSON, False, lambda text: {"error": text}, b"doods-auth-key"),
    Protocol("roboflow", ("/infer", "/model", "/info"), JSON, True, lambda text: {"message": text}),
    Protocol("label-studio", ("/label-studio",), JSON),
)
BY_NAME: Final[Mapping[str, Protocol]] = {protocol.name: protocol for protocol in (*PROTOCOLS, OTHER)}
_HEALTH: Final = ("/health", "/v2/health", "/label-studio/health")


def protocol_of(path: str) -> Protocol:
    """Return the protocol of an address. Pages, health checks and unknown addresses are `other`."""
    return next((p for p in PROTOCOLS if any(_is_below(path, prefix) for prefix in p.prefixes)), OTHER)


def is_health_check(path: str) -> bool:
    """Return whether an address reports health, which needs no API key and has no limit."""
    return any(_is_below(path, prefix) for prefix in _HEALTH)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
