"""Check API keys, their scopes and rate limits, for every protocol."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.types import Scope

from service.access import key_file
from service.access.keys import Keys
from service.access.rate_limit import RateLimit
from service.api.context import CLIENT
from service.api.errors import Forbidden, RateLimited, Unauthorized
from service.api.protocols import Protocol
from service.state import AppState

API_KEY: Final = b"x-api-key"
_SUBPROTOCOLS: Final = b"sec-websocket-protocol"
# Where the access middleware stores the protocol of a request whose body must hold the key.
IN_BODY: Final = "lineage.key_in_body"


def tokens_of(scope: Scope, protocol: Protocol) -> Iterator[str]:
    """Yield the keys in the head. Credentials of another scheme, such as those for a proxy, are ignored."""
    for name, value in scope["headers"]:
        if name in (API_KEY, protocol.key_header):
            yield value.decode("latin-1").strip()
        elif name == _SUBPROTOCOLS and protocol.key_subprotocol:
            yield from _keys_among(value.decode("latin-1"), protocol.key_subprotocol)
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                yield token.strip()
            elif scheme.lower() == "basic" and protocol.basic_auth:
                yield _password(token)
    if protocol.key_query:
        sent = parse_qs(scope["query_string"].decode("latin-1")).get(protocol.key_query, [])
        yield from (token for token in sent if token != "None")  # Roboflow's client sends None for no key


def check_head_key(keys: Keys, scope: Scope, protocol: Protocol, needed: key_file.Scope) -> key_file.Key:
    """Return the key in the head of a request, which must have a scope.

    Raises:
        Unauthorized, Forbidden: as `find_key` and `check_scope`.
    """
    key = find_key(keys, set(tokens_of(scope, protocol)), protocol)
    check_scope(key, needed)
    return key


def find_key(keys: Keys, tokens: Collection[str], protocol: Protocol) -> key_file.Key:
    """Return the key that a client sent.

    Raises:
        Unauthorized: `tokens` is not one valid key.
    """
    sent = set(tokens)
    if len(sent) != 1:
        raise Unauthorized(f"{expect_key(protocol)}; got {'two different keys' if sent else 'none'}")
    key = keys.find(sent.pop())
    if key is None:
        raise Unauthorized(f"{expect_key(protocol)}; the one sent is unknown or expired")
    return key


def expect_key(protocol: Protocol) -> str:
    """Return where clients of a protocol may send their API key."""
    places = filter(None, (protocol.key_place, "Authorization: Bearer KEY"))
    return f"expected an API key as {', '.join(places)} or X-Api-Key: KEY"


def check_scope(key: key_file.Key, scope: key_file.Scope) -> None:
    """Check what a key allows.

    Raises:
        Forbidden: the key has other scopes.
    """
    if not key.allows(scope):
        raise Forbidden(f"expected a key with the scope {scope}; {key.name} has {', '.join(key.scopes)}")


def take_turn(limit: RateLimit | None, client: str, what: str) -> None:
    """Count a request of a client, which the error calls `what`.

    Raises:
        RateLimited: the client sends too many.
    """
    if limit is not None and (wait := limit.take(client)):
        raise RateLimited(f"too many requests of one {what}; the next is allowed in {wait:.3g} s", wait)


def check_body_key(request: Request, token: str | None) -> None:
    """Check the key in the body of a request, unless a header held one. Its name becomes that of the client.

    Every route of a protocol with keys in the body must call this before it answers or detects.

    Raises:
        Unauthorized, Forbidden: as `find_key` and `check_scope`.
        RateLimited: the key sends too many requests.
    """
    state: AppState = request.state.service
    access, protocol = state.access, request.scope.pop(IN_BODY, None)
    if access.keys and protocol:
        key = find_key(access.keys, [token] if token else [], protocol)
        request.scope[CLIENT] = key.name
        check_scope(key, "detect")
        take_turn(access.key_limit, key.name, "key")


def _keys_among(subprotocols: str, prefix: str) -> Iterator[str]:
    """Yield the keys among the subprotocols that a client offers, and an empty one for a malformed one."""
    for offered in map(str.strip, subprotocols.split(",")):
        if offered.startswith(prefix):
            text = offered.removeprefix(prefix)
            try:
                yield urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
            except ValueError:
                yield ""


def _password(credentials: str) -> str:
    """Return the password of HTTP Basic credentials (RFC 7617), or nothing if they are malformed."""
    try:
        return binascii.a2b_base64(credentials.strip()).partition(b":")[2].decode("latin-1")
    except ValueError:
        return ""
