"""Open thousands of connections that send nothing, and measure how fast a new client is answered meanwhile.

The server runs with a low limit of open files. One row per kind of idle client, as CSV:

    python -m benchmarks.idle_connections --connections 10000 --descriptors 1024
"""

from __future__ import annotations

import argparse
import csv
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

HEADER_TIMEOUT: Final = 3.0
KINDS: Final = {
    "nothing": b"",
    "half a head": b"POST /detect HTTP/1.1\r\nHost: x\r\n",
    "one request": b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a body": b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nx",
}


def main() -> None:
    """Parse the arguments and print a row per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--descriptors", type=int, default=1024)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (arguments.connections + 1000,) * 2)
    table = csv.writer(sys.stdout)
    table.writerow(("sent", "connections", "descriptors", "seconds_while_opening", "seconds_after_limit", "log_lines"))
    for kind, sent in KINDS.items():
        row = measure(sent, arguments.connections, arguments.descriptors)
        table.writerow((kind, arguments.connections, arguments.descriptors, *row))


def measure(sent: bytes, connections: int, descriptors: int) -> tuple[str, str, int]:
    """Return the slowest answer while connections open, the answer after their time limit, and the lines of the log."""
    with serving(descriptors) as (port, log), ExitStack() as opened:
        slowest = 0.0
        for n in range(connections):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            connection.sendall(sent)
            if n % 500 == 499:
                slowest = max(slowest, answer_seconds(port))
        time.sleep(HEADER_TIMEOUT + 1)
        after = answer_seconds(port)
        return f"{slowest:.3f}", f"{after:.3f}", len(log.read_text().splitlines())


def answer_seconds(port: int) -> float:
    """Return the seconds that a new client waits for an answer, which may be a refusal (503)."""
    started = time.perf_counter()
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=60):
        pass
    return time.perf_counter() - started


@contextmanager
def serving(descriptors: int) -> Iterator[tuple[int, Path]]:
    """Run a server of the bundled model with a limit of open files, and yield its port and log."""
    command = [sys.executable, "-m", "lineage", "serve", "--port=0", f"--header-timeout={HEADER_TIMEOUT}"]
    command += [f"--timeout={HEADER_TIMEOUT}"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        limited = ["bash", "-c", f'ulimit -n {descriptors}; exec "$@"', "bash", *command]
        with log.open("w") as stderr, subprocess.Popen(limited, stderr=stderr) as process:
            try:
                while not (found := re.search(r"listening on http://[\d.]+:(\d+)[^\0]*loaded ", log.read_text())):
                    time.sleep(0.1)
                yield int(found[1]), log
            finally:
                process.kill()


if __name__ == "__main__":
    main()
