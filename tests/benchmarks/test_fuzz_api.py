"""The short form of the fuzzing of the API."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks.fuzz_api import fuzz


@pytest.mark.slow
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs the package schemathesis")  # slow to import
def test_random_requests_get_documented_answers_and_no_5xx() -> None:
    assert fuzz(seconds=20) == 0
