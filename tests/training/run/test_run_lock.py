"""One process at a time trains in a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from tests.conftest import ROOT
from training.run.run_lock import LOCK, lock_folder

HOLD = """
import sys, time
from pathlib import Path
from training.run.run_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@contextmanager
def hold(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock of a folder, and kill it at the end."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


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
