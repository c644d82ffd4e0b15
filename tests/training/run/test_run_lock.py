"""One process at a time trains in a folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.training.run.lock_holder import hold
from training.run.run_lock import LOCK, lock_folder


def test_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        expected = f"{tmp_path}: in use by process {process.pid} on {socket.gethostname()}"
        with pytest.raises(LineageError, match=expected), lock_folder(tmp_path):
            pass
        assert (tmp_path / LOCK).read_text().split() == [str(process.pid), socket.gethostname()]
    with lock_folder(tmp_path):
        assert (tmp_path / LOCK).read_text().split()[0] == str(os.getpid())


def test_lock_of_a_finished_run_is_free(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == ""
    with lock_folder(tmp_path):
        pass
