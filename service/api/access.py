"""Check API keys, their scopes and rate limits, for every protocol."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from service.access import key_file
from service.access.keys import Keys
from service.access.rate_limit import RateLimit
from service.api.context import CLIENT
from service.api.errors import Forbidden, RateLimited, Unauthorized
from service.state import AppState

HOW: Final = "expected an API key as Authorization: Bearer KEY or X-Api-Key: KEY"
# Where the access middleware notes that the body of the request must hold the key.
IN_BODY: Final = "lineage.key_in_body"


def find_key(keys: Keys, tokens: Collection[str], how: str = HOW) -> key_file.Key:
    """Return the key that a client sent. `how` explains where a key is expected.

    Raises:
        Unauthorized: `tokens` is not one valid key.
    """
    sent = set(tokens)
    if len(sent) != 1:
        raise Unauthorized(f"{how}; got {'two different keys' if sent else 'none'}")
    key = keys.find(sent.pop())
    if key is None:
        raise Unauthorized(f"{how}; the one sent is unknown or expired")
    return key


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


def check_body_key(request: Request, token: str | None, how: str) -> None:
    """Check the key in the body of a request, unless a header held one. Its name becomes that of the client.

    Every route of a protocol with keys in the body must call this before it answers or detects.

    Raises:
        Unauthorized, Forbidden: as `find_key` and `check_scope`.
        RateLimited: the key sends too many requests.
    """
    state: AppState = request.state.service
    access = state.access
    if access.keys and request.scope.pop(IN_BODY, False):
        key = find_key(access.keys, [token] if token else [], how)
        request.scope[CLIENT] = key.name
        check_scope(key, "detect")
        take_turn(access.key_limit, key.name, "key")
