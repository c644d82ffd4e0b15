"""Measure training and inference on a machine with a GPU, with one command and whatever is installed there.

    python -m benchmarks.gpu --output results --data shared/data/bccd
    python -m benchmarks.gpu --output results --device cpu --quick          # try it without a GPU

Needs PyTorch, NumPy and OpenCV. Every step runs in a process of its own with a time limit. A step that lacks a package
or fails is reported with the reason, and the others run. Writes gpu.csv, outcomes.json, machine.json and a log of each
step into the output folder, and prints a table.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from benchmarks.gpu_steps.results import ROWS, Options, Row, read_rows

ROOT: Final = Path(__file__).resolve().parents[1]
LIMITS: Final = {  # seconds
    "machine": 60,
    "copies": 60,
    "training": 210,
    "torch_inference": 150,
    "onnxruntime": 120,
    "tensorrt": 240,
    "server": 60,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the steps and write the results."""
    args = parse(arguments)
    options = Options(str(args.output), args.device, args.model, args.data and str(args.data.resolve()), args.quick)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / ROWS).unlink(missing_ok=True)
    end, outcomes = time.monotonic() + 60 * args.minutes, dict[str, str]()
    for step in args.steps:
        print(f"{step} ...", flush=True)
        outcomes[step] = run_step(step, options, min(LIMITS[step], end - time.monotonic()))
        print(f"{step}: {outcomes[step]}", flush=True)
        write_results(options.folder, outcomes)
    print(table(list(read_rows(options.folder)), outcomes))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. tyro, which other benchmarks use, may be missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu-results").resolve(), help="folder of the results")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--data", type=Path, help="dataset to train on; random batches without one")
    parser.add_argument("--model", help="variant to measure; yolov5n, or yolov5-test with --quick")
    parser.add_argument("--minutes", type=float, default=10.0, help="time limit of all steps together")
    parser.add_argument("--quick", action="store_true", help="a tiny network, small canvases and few batches")
    parser.add_argument("--steps", nargs="+", choices=list(LIMITS), default=list(LIMITS), metavar="STEP")
    args = parser.parse_args(arguments)
    args.model = args.model or ("yolov5-test" if args.quick else "yolov5n")
    return args


def run_step(step: str, options: Options, seconds: float) -> str:
    """Run a step in its own process, with its output in a log, and return its outcome."""
    if seconds <= 0:
        return "could not run: the time limit of all steps was reached"
    log = options.folder / f"{step}.log"
    command = [sys.executable, "-m", "benchmarks.gpu_steps", step, json.dumps(asdict(options))]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"stopped at its limit of {seconds:.0f} s; the results up to there are kept"
        finally:
            _kill_group(process)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if process.returncode == 0 and lines else f"ended with code {process.returncode}; see {log.name}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the process with all that it started, such as a server."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write_results(folder: Path, outcomes: Mapping[str, str]) -> None:
    """Write the rows and outcomes so far."""
    (folder / "outcomes.json").write_text(json.dumps(outcomes, indent=2) + "\n", encoding="utf-8")
    with (folder / "gpu.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        out.writeheader()
        out.writerows(_rounded(row) for row in read_rows(folder))


def _rounded(row: Row) -> dict[str, object]:
    return {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in asdict(row).items()}


def table(rows: Sequence[Row], outcomes: Mapping[str, str]) -> str:
    """Return the results as text: the figures, then what could not run."""
    lines = [f"{'subject':<66} {'size':>9} {'batch':>5} {'images/s':>9} {'ms':>9}  note"]
    for row in rows:
        size = f"{row.width}x{row.height}" if row.height else ""
        figures = f"{row.images_per_second:>9.1f} {row.milliseconds:>9.2f}" if row.images_per_second else " " * 19
        lines.append(f"{f'{row.step}: {row.subject}':<66} {size:>9} {row.batch or '':>5} {figures}  {row.note}")
    return "\n".join(lines + [f"{step}: {outcome}" for step, outcome in outcomes.items() if outcome != "ok"])


if __name__ == "__main__":
    main()
