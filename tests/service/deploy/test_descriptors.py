"""The number of connections that the limit of open files allows."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from service.deploy.descriptors import DESCRIPTORS, MAX_CONNECTIONS, max_connections


@pytest.mark.parametrize(
    ("descriptors", "requested", "expected"),
    [(1024, None, 768), (1024, 100, 100), (1024, 5000, 768), (200, None, 72), (64, None, 16), (1 << 20, None, 10_000)],
)
def test_descriptors_are_left_for_files(descriptors: int, requested: int | None, expected: int) -> None:
    assert max_connections(descriptors, requested) == expected


def test_default_fits_the_raised_limit() -> None:
    assert max_connections(DESCRIPTORS) == MAX_CONNECTIONS


@pytest.mark.parametrize(("soft", "hard", "expected"), [(100, 100, 100), (100, 500, 500)])
def test_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, expected: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("the limit of open files is lower")
    code = "import service.deploy.descriptors as d; print(d.raise_descriptor_limit(), d._limits())"
    command = ["bash", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$0" -c "$1"', sys.executable, code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"{expected} ({expected}, {hard})\n"
