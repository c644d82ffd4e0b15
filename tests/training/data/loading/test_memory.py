"""Free memory in a container."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from training.data.loading import memory


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 10_000),
        ({"memory.max": "max", "memory.current": "700", "memory.stat": "inactive_file 0"}, 10_000),
        ({"memory.max": "3000", "memory.current": "700", "memory.stat": "anon 1\ninactive_file 50\nx 2"}, 2350),
        ({"memory.max": "30000", "memory.current": "700", "memory.stat": "inactive_file 0"}, 10_000),
        (
            {
                "memory/memory.limit_in_bytes": "2000",
                "memory/memory.usage_in_bytes": "500",
                "memory/memory.stat": "inactive_file 9\ntotal_inactive_file 100",
            },
            1600,
        ),
    ],
    ids=["no container", "no limit", "version 2", "limit above the machine's memory", "version 1"],
)
def test_free_memory_is_that_of_machine_or_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], free: int
) -> None:
    available = namedtuple("memory", "available")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: available(10_000))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.free_memory(tmp_path) == free
