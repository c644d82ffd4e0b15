"""Versions of installed distributions."""

from __future__ import annotations

import numpy as np

from model_zoo.contract.versions import installed_version


def test_version_is_that_of_the_distribution() -> None:
    assert installed_version("numpy") == np.__version__
    assert installed_version("no-such-distribution") is None
