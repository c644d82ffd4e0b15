"""Token buckets: rate, burst, bounded memory, addresses of one client."""

from __future__ import annotations

import pytest

from service.access import rate_limit
from service.access.rate_limit import RateLimit, client_network


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_burst_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(rate=2.0, burst=3, clock=clock)
    assert [limit.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]  # a refusal takes nothing
    clock.now += 0.5
    assert [limit.take("a") for _ in range(2)] == [0, 0.5]
    clock.now += 60
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize("rate", [0.1, 3.0, 7.0, 1000.0])
def test_long_run_allows_the_rate(rate: float) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst=1, clock=clock)
    allowed = 0
    for _ in range(1000):
        allowed += not limit.take("a")
        clock.now += 0.5 / rate
    assert allowed == pytest.approx(500, abs=1)


def test_wait_is_exact() -> None:
    clock = Clock()
    limit = RateLimit(rate=3.0, burst=1, clock=clock)
    limit.take("a")
    wait = limit.take("a")
    clock.now += wait - 0.001
    assert limit.take("a") > 0
    clock.now += 0.001
    assert limit.take("a") == 0


def test_clients_do_not_share_a_bucket() -> None:
    limit = RateLimit(rate=1.0, burst=1, clock=Clock())
    assert [limit.take(client) for client in "aab"] == [0, 1, 0]


def test_number_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 10)
    limit = RateLimit(rate=1.0, burst=1, clock=Clock())
    for n in range(1000):
        limit.take(str(n))
    assert len(limit) == 10
    assert limit.take("999") > 0  # the latest are remembered
    assert limit.take("0") == 0


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_addresses_of_one_client_count_together(host: str, counted: str) -> None:
    assert client_network(host) == counted
