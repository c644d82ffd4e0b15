"""The folder of caches: chosen by the first variable that is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.cache_folder import cache_folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LINEAGE_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, Path("/c")),
        ({"LINEAGE_CACHE": "", "XDG_CACHE_HOME": "/x"}, Path("/x/yolo-lineage")),
        ({}, Path("/home/me/.cache/yolo-lineage")),
    ],
)
def test_first_variable_that_is_set_wins(
    variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINEAGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (variables | {"HOME": "/home/me"}).items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == expected
