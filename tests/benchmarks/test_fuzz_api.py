"""The short form of the fuzzing of the API."""

from __future__ import annotations

import pytest

from benchmarks.fuzz_api import fuzz

pytest.importorskip("schemathesis", reason="needs the package schemathesis")


@pytest.mark.slow
def test_random_requests_get_documented_answers_and_no_5xx() -> None:
    assert fuzz(seconds=20) == 0
