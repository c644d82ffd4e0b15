"""Token buckets: a steady rate of requests with bursts, for each of many clients."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

MAX_CLIENTS: Final = 65_536
_IPV6_PREFIX: Final = 64  # what a provider assigns to one customer at least


class RateLimit:
    """Allows each client `rate` requests a second, and `burst` at once after a pause.

    Keeps one number per client: the time at which its bucket is full (GCRA). Of more than `MAX_CLIENTS`, the one that
    was quiet longest is forgotten, and begins with a full bucket.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._burst, self._clock = 1 / rate, burst, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: str) -> float:
        """Take a token. Return 0, or the seconds until there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now)
        wait = full_at - now - (self._burst - 1) * self._seconds
        if wait > 1e-9:  # a rounding error is no reason to refuse
            return wait
        self._full_at[client] = full_at + self._seconds
        self._full_at.move_to_end(client)
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0


@lru_cache(1024)
def client_network(host: str) -> str:
    """Return the address that a limit counts: of IPv6 the network of one customer, or "" if it is not an address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
