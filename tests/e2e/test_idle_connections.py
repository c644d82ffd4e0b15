"""Thousands of connections without a request, under a low limit of open files."""

from __future__ import annotations

import resource

import pytest

from benchmarks.idle_connections import KINDS, measure

CONNECTIONS = 10_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_new_client_is_answered_while_thousands_are_idle(kind: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        pytest.skip("the limit of open files is too low for the clients")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 1000, hard))
    try:
        _, after, log_lines = measure(KINDS[kind], CONNECTIONS, descriptors=1024)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert float(after) < 1
    assert log_lines < 100
