"""Who may send requests, and how many: the keys and limits that all protocols share."""

from __future__ import annotations

from dataclasses import dataclass

from service.access.keys import Keys
from service.access.rate_limit import RateLimit


@dataclass(frozen=True)
class Access:
    """Keys and limits of one application. None means that there are none."""

    keys: Keys | None = None
    """API keys."""
    key_limit: RateLimit | None = None
    """Rate limit of each key."""
    address_limit: RateLimit | None = None
    """Rate limit of each client address."""
