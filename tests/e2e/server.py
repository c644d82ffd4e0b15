"""A real server process on a real port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

from httpx2 import Client

from tests.conftest import ROOT

TIMEOUT = 60.0
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")


class Server:
    """Runs `lineage serve` in a folder with flags such as max_batch=32, and kills it at the end."""

    def __init__(self, repository: Path | None, folder: Path = ROOT, **flags: object) -> None:
        flags |= {"repository": repository} if repository else {}
        flags = {name.replace("_", "-"): value for name, value in flags.items()}
        options = [f"--{name}" if value is True else f"--{name}={value}" for name, value in flags.items()]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LINEAGE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lineage", "serve", "--port=0", *options],
            cwd=folder,
            env=environment | {"OMP_NUM_THREADS": "1", "LINEAGE_MEASURE": "0"},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for_log(LISTENING)[1])
        self.client = Client(base_url=f"http://127.0.0.1:{self.port}", timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def wait_for_log(self, pattern: re.Pattern[str]) -> re.Match[str]:
        end = time.monotonic() + TIMEOUT
        while not (match := pattern.search(self.log)):
            assert self.process.poll() is None, f"the server ended:\n{self.log}"
            assert time.monotonic() < end, f"no {pattern.pattern!r} in the log:\n{self.log}"
            time.sleep(0.01)
        return match

    def wait_until_ready(self) -> Self:
        end = time.monotonic() + TIMEOUT
        while (answer := self.client.get("/health/ready")).status_code != 200:
            assert time.monotonic() < end, answer.text
            time.sleep(0.01)
        return self

    def cpu_seconds(self) -> float:
        """CPU seconds the server has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident memory of the server in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def loaded_files(self) -> str:
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._lines.append(line)
