"""The protocols of the server: the addresses of each, and the form of its errors.

The clients of a protocol read their own members of an error. RFC 9457 allows extra members, so one body serves both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PROBLEM: Final = "application/problem+json"
JSON: Final = "application/json"


def _no_members(_: str) -> Mapping[str, object]:
    return {}


def _error(text: str) -> Mapping[str, object]:
    return {"error": text}


def _failure(text: str) -> Mapping[str, object]:
    return {"success": False, "error": text}


def _message(text: str) -> Mapping[str, object]:
    return {"message": text}


@dataclass(frozen=True)
class Protocol:
    """One protocol of the server."""

    name: str
    """Name in metrics."""
    prefixes: tuple[str, ...] = ()
    """First parts of the addresses."""
    pattern: re.Pattern[str] | None = None
    """Form of the addresses, where they share no first part."""
    media_type: str = PROBLEM
    """Media type of errors. Several clients read nothing but application/json."""
    key_in_body: bool = False
    """Whether clients may send their API key in the body. The routes then call `check_body_key`."""
    error_members: Callable[[str], Mapping[str, object]] = _no_members
    """Return the members that clients read, from the text of an error."""
    key_header: bytes = b""
    """A header in which clients may send their API key, besides the usual ones, in lower case."""
    key_query: str = ""
    """A parameter of the query in which clients may send their API key."""
    basic_auth: bool = False
    """Whether the API key may be the password of HTTP Basic authentication."""
    key_subprotocol: str = ""
    """Start of the subprotocol of a WebSocket in which clients may send their API key, in base64url."""
    key_place: str = ""
    """Where else than in the usual headers clients may send their API key, for errors."""


# A model in an address /NAME/VERSION. Folders of pages and of health checks are none: they need no API key.
HOSTED_NAME: Final = "(?!(?:health|models|playground|shadow)/)[^/]+"
OTHER: Final = Protocol("other")
PROTOCOLS: Final = (
    # First, because a model may have the name of another prefix, and the key of this form is never in the body.
    Protocol(
        "roboflow-hosted",
        pattern=re.compile(f"/{HOSTED_NAME}/[0-9]+"),
        media_type=JSON,
        error_members=_message,
        key_query="api_key",
        key_place="api_key in the query",
    ),
    Protocol("native", ("/detect", "/preview")),
    Protocol(
        "live",
        ("/ws",),
        key_subprotocol="lineage.key.",
        key_place="the subprotocol lineage.key.KEY in base64url",
    ),
    Protocol("admin", ("/admin",)),
    Protocol("oip", ("/v2",), media_type=JSON, error_members=_error),
    Protocol(
        "deepstack",
        ("/v1",),
        media_type=JSON,
        key_in_body=True,
        error_members=_failure,
        key_place="the part api_key",
    ),
    Protocol(
        "doods",
        ("/doods",),
        media_type=JSON,
        error_members=_error,
        key_header=b"doods-auth-key",
        key_place="doods-auth-key: KEY",
    ),
    Protocol(
        "roboflow",
        ("/infer", "/model", "/info"),
        media_type=JSON,
        key_in_body=True,
        error_members=_message,
        key_query="api_key",
        key_place="api_key in the query or the body",
    ),
    Protocol(
        "label-studio",
        ("/label-studio",),
        media_type=JSON,
        basic_auth=True,
        key_place="a password of basic authentication",
    ),
)
BY_NAME: Final[Mapping[str, Protocol]] = {protocol.name: protocol for protocol in (*PROTOCOLS, OTHER)}
_HEALTH: Final = ("/health", "/v2/health", "/label-studio/health")


def protocol_of(path: str) -> Protocol:
    """Return the protocol of an address. Pages, health checks and unknown addresses are `other`."""
    return next((protocol for protocol in PROTOCOLS if _covers(protocol, path)), OTHER)


def every_error_member(text: str) -> dict[str, object]:
    """Return the members of an error that clients of any protocol read."""
    return {name: value for protocol in PROTOCOLS for name, value in protocol.error_members(text).items()}


def is_health_check(path: str) -> bool:
    """Return whether an address reports health, which needs no API key and has no limit."""
    return any(_is_below(path, prefix) for prefix in _HEALTH)


def _covers(protocol: Protocol, path: str) -> bool:
    if protocol.pattern is not None:
        return protocol.pattern.fullmatch(path) is not None
    return any(_is_below(path, prefix) for prefix in protocol.prefixes)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
