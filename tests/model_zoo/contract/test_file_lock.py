"""Exclusive locks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from model_zoo.contract.file_lock import file_lock


def test_lock_that_another_holds_is_not_awaited_forever(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with (
        file_lock(path),
        pytest.raises(TimeoutError, match=r"another change has not ended within 0\.05 s; try again"),
        file_lock(path, seconds=0.05),
    ):
        pass
    with file_lock(path, seconds=0.0):
        pass


def test_waiting_ends_when_the_lock_is_released(tmp_path: Path) -> None:
    path, entered, leave = tmp_path / ".lock", threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock(path):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(30)
    threading.Timer(0.05, leave.set).start()
    with file_lock(path, seconds=30):
        assert leave.is_set()
    holder.join()
