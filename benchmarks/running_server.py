"""Run a server for a benchmark, and wait until it is ready."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[1]
LISTENING: Final = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
PATIENCE: Final = 120
T = TypeVar("T")


@contextmanager
def serving(command: Sequence[str], folder: Path = ROOT) -> Iterator[tuple[int, int]]:
    """Run a server that logs its port, and yield the port and the process id once it is ready."""
    with tempfile.NamedTemporaryFile("w+") as log, subprocess.Popen(command, cwd=folder, stderr=log) as process:
        try:
            port = int(wait_for(lambda: LISTENING.search(Path(log.name).read_text()))[1])
            wait_for(lambda: is_ready(port))
            yield port, process.pid
        finally:
            process.kill()


def wait_for(condition: Callable[[], T | None]) -> T:
    """Return the first result of a condition that is not empty, or end the program."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"the server is not ready after {PATIENCE} s")
        time.sleep(0.05)
    return result


def is_ready(port: int) -> bool:
    """Return whether a server is ready."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
        return True
    return False
