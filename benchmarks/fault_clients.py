"""Clients that post an image again and again, and a server process for them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Final

PATIENCE: Final = 60.0
LISTENING: Final = re.compile(r"listening on http://[\d.]+:(\d+)")


class ServerProcess:
    """A server process with its log in a file."""

    def __init__(self, folder: Path, *arguments: str, module: str = "lineage", port: int = 0) -> None:
        """Start the server. `arguments` follow the module. Port 0 selects a free one."""
        self.log_path = folder / f"log-{time.monotonic_ns()}"
        command = [sys.executable, "-m", module, *arguments, *([f"--port={port}"] if module == "lineage" else [])]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self.port = int(self.wait_for_log(LISTENING)[1])
        self.wait_until_ready()

    @property
    def log(self) -> str:
        """Log lines so far."""
        return self.log_path.read_text()

    def wait_for_log(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait until a line matches."""
        end = time.monotonic() + PATIENCE
        while not (found := pattern.search(self.log)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no {pattern.pattern!r} in the log:\n{self.log}")
            time.sleep(0.05)
        return found

    def wait_until_ready(self) -> None:
        """Wait until GET /health/ready answers 200."""
        end = time.monotonic() + PATIENCE
        while self.ready()[0] != 200:
            if time.monotonic() > end:
                raise RuntimeError(f"not ready: {self.ready()}")
            time.sleep(0.05)

    def ready(self) -> tuple[int, str]:
        """Return status and body of GET /health/ready, 0 if there is no answer."""
        return request(self.port, "/health/ready")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


class Clients:
    """Threads that post an image in a loop. They count answers by status, and requests without any."""

    def __init__(self, port: int, image: bytes, threads: int = 4, *, retries: bool = False) -> None:
        self.port, self._image, self._retries = port, image, retries
        self.answers: Counter[int] = Counter()
        self.not_ready: Counter[str] = Counter()
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._post_all) for _ in range(threads)]
        self._threads.append(threading.Thread(target=self._watch))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the requests under way."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """Number of requests, answered or lost."""
        return sum(self.answers.values())

    def wait_for(self, more: int) -> None:
        """Wait for a number of further answers of 200."""
        wanted, end = self.answers[200] + more, time.monotonic() + PATIENCE
        while self.answers[200] < wanted and time.monotonic() < end:
            time.sleep(0.02)

    def _post_all(self) -> None:
        while not self._ending.is_set():
            status = self._post()
            with self._lock:
                self.answers[status] += 1
            if status != 200:
                time.sleep(0.1)

    def _post(self) -> int:
        """Return the status of one request. A retrying client tries again without an answer, or after 503."""
        end = time.monotonic() + PATIENCE
        while (status := request(self.port, "/detect", self._image)[0]) in (0, 503):
            if not self._retries or time.monotonic() > end:
                break
            time.sleep(0.2)
        return status

    def _watch(self) -> None:
        """Collect the reasons why the server is not ready."""
        while not self._ending.wait(0.1):
            status, body = request(self.port, "/health/ready")
            if status == 503:
                self.not_ready[body] += 1


def request(port: int, path: str, image: bytes | None = None) -> tuple[int, str]:
    """Return status and body of a request, 0 if there is no answer."""
    sent = urllib.request.Request(f"http://127.0.0.1:{port}{path}", image, {"Content-Type": "image/jpeg"})
    with suppress(OSError, HTTPException):
        try:
            with urllib.request.urlopen(sent, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
    return 0, ""


@contextmanager
def clients_of(server: ServerProcess, image: bytes, *, retries: bool = False) -> Iterator[Clients]:
    """Run clients during the block, and end clients and server after it."""
    clients = Clients(server.port, image, retries=retries)
    try:
        clients.wait_for(4)
        yield clients
        clients.wait_for(4)
    finally:
        clients.stop()
        server.stop()
