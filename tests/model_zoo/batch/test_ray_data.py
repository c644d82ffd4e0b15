"""Ray: the same rows as without it, and clear messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import Manifest, Options
from model_zoo.batch.plan import plan
from model_zoo.batch.ray_data import ShardActor, run_ray
from model_zoo.batch.run import run_batch
from model_zoo.batch.worker import Job
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package

MakeOptions = Callable[..., Options]


@pytest.fixture
def job(tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions) -> Job:
    folder, options = Folder(str(tmp_path / "out")), make_options(images)
    return Job(folder.uri, toy, Manifest(1, options, "cpu", "fp32", plan(folder, options)))


def test_missing_ray_is_one_message(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LineageError, match=r"--engine ray needs the package ray, .* pip install 'yolo-lineage\[ray\]'"):
        next(run_ray(job, [0], 1))


def test_actors_report_shards_and_errors(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = ShardActor(job)
    row = actor({"shard": [0]})
    assert (row["images"], row["faults"], row["error"]) == ([3], [1], [""])
    other = replace(job, manifest=replace(job.manifest, options=replace(job.manifest.options, model_sha256="0")))
    [error] = ShardActor(other)({"shard": [0]})["error"]
    assert "expected the model that the run was started with; keep the repository in a folder that all nodes" in error


def read_parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(("part-", "faults-"))}


PROGRAM = """
import pickle, sys
from model_zoo.batch.run import run_batch
output, package, options = pickle.load(sys.stdin.buffer)
summary = run_batch(output, package, options, engine="ray", workers=2)
print(summary.images, summary.faults)
"""


@pytest.mark.slow
def test_ray_writes_the_same_files(tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions) -> None:
    pytest.importorskip("ray.data", reason="Ray Data is not installed; `make test-ray` has it")
    import pickle

    options = make_options(images, shard_size=1)
    run_batch(str(tmp_path / "local"), toy, options)
    given: Any = pickle.dumps((str(tmp_path / "ray"), toy, options))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    for _ in range(3):  # a Ray that takes more than 30 s to start gives up, as on busy cores
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], input=given, env=environment, capture_output=True, check=False
        )
        if b"Ray at this machine cannot be reached" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.split() == [b"9", b"1"]
    assert read_parts(tmp_path / "ray") == read_parts(tmp_path / "local")


def test_ray_that_does_not_start_is_one_message(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = MagicMock(init=MagicMock(side_effect=Exception("The current node timed out during startup.")))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", MagicMock())
    with pytest.raises(LineageError, match=r"Ray at this machine cannot be reached \(The current node timed out"):
        next(run_ray(job, [0], 1))


def test_unreachable_clusters_are_one_message(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "ray.data"):  # refused before Ray is asked
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(LineageError, match=r"Ray at 127\.0\.0\.1:9 cannot be reached .*; check RAY_ADDRESS"):
        next(run_ray(job, [0], 1))
