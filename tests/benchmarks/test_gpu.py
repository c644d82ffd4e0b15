"""The benchmark for machines with a GPU: it runs to its end without one, and without most packages."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_steps import machine, results
from benchmarks.gpu_steps.__main__ import outcome_of
from benchmarks.gpu_steps.results import Options, Row, read_rows, seconds_per_run, write_row
from tests.model_zoo.runtime.fake_cuda import install_cuda

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "import sys; sys.modules.update(dict.fromkeys({packages!r})); from runpy import run_module; {run}"
OPTIONAL = ("loky", "pydantic", "tyro", "fastapi", "uvicorn", "defusedxml", "onnx", "onnxscript", "onnxruntime")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(str(tmp_path), device="cpu", model="yolov5-test", quick=True)


def test_rows_are_kept_as_they_are_measured(options: Options) -> None:
    rows = [Row("training", "epoch 1", 320, 320, 16, 123.456, 7.0, "equal"), Row("machine", "NVIDIA H200")]
    for row in rows:
        write_row(options, row)
    assert list(read_rows(options.folder)) == rows
    gpu.write_results(options.folder, {"training": "ok"})
    with (options.folder / "gpu.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["images_per_second"], first["note"], second["subject"]) == ("123.5", "equal", "NVIDIA H200")
    assert json.loads((options.folder / "outcomes.json").read_text()) == {"training": "ok"}


def test_table_ends_with_what_could_not_run() -> None:
    text = gpu.table(
        [Row("server", "8 connections", batch=1, images_per_second=9.0)], {"a": "ok", "b": "could not run: c"}
    )
    assert text.splitlines()[1].split() == ["server:", "8", "connections", "1", "9.0", "0.00"]
    assert text.endswith("\nb: could not run: c")


def test_time_of_a_run_is_the_median_of_chunks_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(results.time, "perf_counter", lambda: clock[0])
    seconds = iter([1.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.0])  # warm-up, one run, five chunks

    def wait() -> None:
        clock[0] += next(seconds, 0.0)

    assert seconds_per_run(lambda: None, 1.0, wait) == 1.0


def test_missing_package_is_the_outcome(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(machine, "run", lambda _: __import__("onnx"))
    assert outcome_of("machine", options) == "could not run: the package onnx is missing"


def test_error_of_a_library_is_the_outcome(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("CUDA error:\n  no kernel image")

    monkeypatch.setattr(machine, "run", fail)
    assert outcome_of("machine", options) == "could not run: RuntimeError: CUDA error: no kernel image"


def test_step_is_stopped_at_its_limit(options: Options) -> None:
    assert gpu.run_step("training", options, 0.01) == ("stopped at its limit of 0 s; the results up to there are kept")
    assert gpu.run_step("training", options, -1).startswith("could not run: the time limit of all steps")


def test_copies_are_timed_and_checked(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in for CUDA."""
    cuda = install_cuda(monkeypatch)
    on_gpu = dataclasses.replace(options, device="cuda")
    assert outcome_of("copies", on_gpu) == "ok"
    assert [row.subject.partition(",")[0] for row in read_rows(options.folder)] == ["upload"] * 2 + ["download"] * 2
    monkeypatch.setattr(cuda, "cudaGraphLaunch", lambda *_: (0,))
    assert outcome_of("copies", on_gpu).endswith("the images differ after the copies")
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.cuda")


@pytest.mark.slow
def test_every_step_runs_on_a_cpu(tmp_path: Path) -> None:
    gpu.main(["--device", "cpu", "--quick", "--output", str(tmp_path)])
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    gpu_only = {"copies": "could not run: copies need a GPU", "tensorrt": "could not run: TensorRT needs a GPU"}
    assert outcomes == dict.fromkeys(gpu.LIMITS, "ok") | gpu_only
    rows = list(read_rows(tmp_path))
    assert {row.step for row in rows} == {*gpu.LIMITS} - {*gpu_only}
    assert all(row.images_per_second > 0 for row in rows if row.step in ("torch_inference", "onnxruntime", "server"))
    (losses,) = [row.note for row in rows if row.subject.endswith("first losses")]
    assert "bfloat16 on cpu: equal" in losses


@pytest.mark.slow
@pytest.mark.parametrize(("step", "outcome"), [("training", "ok"), ("torch_inference", "ok")])
def test_step_needs_pytorch_numpy_and_opencv_only(step: str, outcome: str, options: Options) -> None:
    run = f"sys.argv = ['', {step!r}, {json.dumps(dataclasses.asdict(options))!r}]; "
    run += "run_module('benchmarks.gpu_steps', run_name='__main__')"
    command = [sys.executable, "-c", BLOCK.format(packages=OPTIONAL, run=run)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == outcome
