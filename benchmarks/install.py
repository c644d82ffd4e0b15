"""Install the wheel in an empty environment, serve the bundled model from an empty folder, and ask it once.

    make dist
    python -m benchmarks.install

Packages come from the package index, without a cache, so the seconds depend on its connection. Writes
benchmarks/results/install.csv.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import tyro

from benchmarks.cpu import describe_cpu
from benchmarks.running_server import ROOT, serving

RESULTS: Final = ROOT / "benchmarks" / "results" / "install.csv"
SAMPLE: Final = ROOT / "service/web/static/playground/samples/wizard.jpg"
UV: Final = ROOT / "build" / "dist" / "bin" / "uv"
# How an environment is made in a folder, and how packages are installed into it.
TOOLS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "pip": ((sys.executable, "-m", "venv", "."), ("bin/pip", "install", "--quiet", "--no-cache-dir")),
    "uv": ((str(UV), "venv", "--quiet", "."), (str(UV), "pip", "install", "--quiet", "--no-cache", "--python", ".")),
}


def main(dist: Path = ROOT / "dist") -> int:
    """Measure with pip and uv, and write the results.

    Args:
        dist: Folder of the wheel.
    """
    [wheel] = dist.resolve().glob("*.whl")
    rows = []
    for tool in TOOLS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"tool": tool, **measure(wheel, Path(folder), tool), "cpu": describe_cpu()})
        print(rows[-1])
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


def measure(wheel: Path, folder: Path, tool: str) -> dict[str, float]:
    """Return seconds of each step, MB of the environment, and the number of detections of the first answer."""
    create, install = TOOLS[tool]
    home, empty = folder / "environment", folder / "empty"
    home.mkdir()
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LINEAGE_", "PYTHON"))}

    def run(*command: str) -> object:
        return subprocess.run(command, cwd=home, env=environment, check=True)

    seconds = {
        "environment_s": timed(lambda: run(*create)),
        "install_s": timed(lambda: run(*install, f"{wheel}[cpu]")),
    }
    size = sum(path.lstat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    started = time.perf_counter()
    with serving([str(home / "bin" / "lineage"), "serve", "--port=0"], empty) as (port, _):
        seconds["ready_s"] = time.perf_counter() - started
        answer: dict[str, Any] = {}
        seconds["answer_s"] = timed(lambda: answer.update(detect(port)))
    found = len(answer["results"][0]["detections"])
    return {**{name: round(value, 2) for name, value in seconds.items()}, "mb": round(size / 1e6), "detections": found}


def detect(port: int) -> dict[str, Any]:
    """Return the answer of a server to the sample."""
    files = {"file": SAMPLE.read_bytes()}
    answer = httpx2.post(f"http://127.0.0.1:{port}/detect", files=files, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def timed(action: Callable[[], object]) -> float:
    """Return the seconds of an action."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
