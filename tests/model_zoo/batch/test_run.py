"""Whole batches: sources to results, resuming after kill -9, refusals."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from model_zoo.batch import run as batch_run
from model_zoo.batch.manifest import Options
from model_zoo.batch.run import run_batch
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from tests.conftest import ROOT
from tests.model_zoo.batch.conftest import image_bytes

MakeOptions = Callable[..., Options]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def read_faults(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for file in sorted(folder.glob("faults-*.jsonl")) for line in file.read_text().splitlines()
    ]


def test_rows_are_those_of_detect_in_the_order_of_the_images(
    tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions
) -> None:
    summary = run_batch(str(tmp_path / "out"), toy, make_options(images))
    rows = read_rows(tmp_path / "out")
    assert [Path(row["image"]).name for row in rows] == [f"{i}.png" for i in range(10) if i != 3]
    assert {(row["width"], row["height"], row["model"], row["model_version"]) for row in rows} == {(64, 32, "toy", 1)}
    assert rows[0]["detections"][0]["label"] == "green"
    [fault] = read_faults(tmp_path / "out")
    assert (fault["image"], fault["bytes"]) == (str(images / "a/3.png"), 4)
    assert fault["reason"].startswith("the file: expected a JPEG, PNG, WebP, TIFF or BMP image; got text")
    assert (summary.images, summary.faults, summary.detections, summary.parts) == (9, 1, 27, 3)
    assert json.loads((tmp_path / "out/summary.json").read_text())["images"] == 9
    assert [(worker.images, worker.worker) for worker in summary.workers] == [(10, "1")]


def test_object_stores_hold_images_and_results(
    images: Path, memory: Any, toy: Package, make_options: MakeOptions
) -> None:
    memory.put(str(images), "/bucket/images", recursive=True)
    options = make_options("memory://bucket/images", format="coco")
    assert run_batch("memory://bucket/out", toy, options).images == 9
    names = sorted(name.rpartition("/")[2] for name in memory.ls("/bucket/out", detail=False))
    assert names == [
        "faults-00000.jsonl", "images.parquet", "manifest.json", "part-00000.json", "part-00001.json",
        "part-00002.json", "summary.json",
    ]  # fmt: skip
    part = json.loads(memory.cat("/bucket/out/part-00000.json"))
    assert part["images"][0]["file_name"] == "memory:///bucket/images/a/0.png"


def test_finished_runs_are_left_as_they_are(
    tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_batch(str(tmp_path / "out"), toy, make_options(images))
    monkeypatch.setattr(batch_run, "RUNS", {})
    assert run_batch(str(tmp_path / "out"), toy, make_options(images)) == first


def test_missing_parts_alone_are_processed(
    tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions
) -> None:
    out = tmp_path / "out"
    whole = run_batch(str(out), toy, make_options(images))
    before = {path.name: path.read_bytes() for path in out.glob("part-*")}
    (out / "part-00001.parquet").unlink()
    (out / "summary.json").unlink()
    again = run_batch(str(out), toy, make_options(images))
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == before
    assert again.resumed_parts == 2
    assert sum(worker.images for worker in again.workers) == 4
    fields = {"images", "faults", "detections", "parts"}
    assert {name: getattr(again, name) for name in fields} == {name: getattr(whole, name) for name in fields}


def test_stores_that_fail_stop_the_run_without_a_part(
    tmp_path: Path, images: Path, memory: Any, toy: Package, make_options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault for every image would look like a finished run."""
    memory.put(str(images), "/bucket/images", recursive=True)

    def fail(*_: object, **__: object) -> bytes:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(type(memory), "cat_file", fail)
    out = tmp_path / "out"
    with pytest.raises(LineageError, match=r"the store failed .*reset by peer"):
        run_batch(str(out), toy, make_options("memory://bucket/images"))
    assert list(out.glob("part-*")) == list(out.glob("faults-*")) == []


PROGRAM = """
import os, pickle, signal, sys
from model_zoo.batch.run import run_batch
output, package, options, after = pickle.load(sys.stdin.buffer)
written = 0
def fsync(_):  # the file is written and has no name yet
    global written
    written += 1
    if written == after:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
run_batch(output, package, options)
"""


def test_killed_runs_resume_to_the_same_rows(tmp_path: Path, toy: Package, make_options: MakeOptions) -> None:
    for i in range(30):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / f"images/{i:02}.png").write_bytes(image_bytes(90 + i) if i % 10 else b"text")
    options = make_options(tmp_path / "images", shard_size=5)
    whole = run_batch(str(tmp_path / "whole"), toy, options)
    out = tmp_path / "killed"
    files = 2 + 3  # listing, manifest, then faults and part of the first shard and part of the second
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=pickle.dumps((str(out), toy, options, files)), cwd=ROOT, check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert sorted(path.name for path in out.glob("part-*")) == ["part-00000.parquet"]
    assert len([path for path in out.iterdir() if len(path.name) == 33]) == 1  # half-written, under another name
    resumed = run_batch(str(out), toy, options)
    assert (resumed.images, resumed.faults, resumed.resumed_parts) == (whole.images, whole.faults, 1) == (27, 3, 1)
    assert read_rows(out) == read_rows(tmp_path / "whole")
    assert read_faults(out) == read_faults(tmp_path / "whole")
    assert [path for path in out.iterdir() if len(path.name) == 33] == []


def test_other_options_do_not_resume(tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions) -> None:
    run_batch(str(tmp_path / "out"), toy, make_options(images))
    with pytest.raises(LineageError, match="was started with shard_size 4; got 5; resume it with the same options"):
        run_batch(str(tmp_path / "out"), toy, make_options(images, shard_size=5))
