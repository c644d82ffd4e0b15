"""Workers in processes of their own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from model_zoo.batch import local
from model_zoo.batch.folder import Folder
from model_zoo.batch.local import run_local
from model_zoo.batch.manifest import Manifest, Options
from model_zoo.batch.plan import plan
from model_zoo.batch.worker import Job
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package

MakeOptions = Callable[..., Options]


@pytest.fixture
def job(tmp_path: Path, images: Path, toy: Package, make_options: MakeOptions) -> Job:
    folder, options = Folder(str(tmp_path / "out")), make_options(images, shard_size=1)
    return Job(folder.uri, toy, Manifest(1, options, "cpu", "fp32", plan(folder, options)))


@pytest.mark.slow
def test_processes_share_the_shards_and_end(job: Job) -> None:
    reports = list(run_local(job, range(10), 2))
    assert len({report.worker for report in reports}) == 2
    assert sum(report.counts.images for report in reports) == 9
    assert len(Folder(job.output).names()) == 10 + 1 + 1  # parts, the listing, a table of faults
    assert [c for c in psutil.Process().children() if str(c.pid) in {report.worker for report in reports}] == []


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_one_message(job: Job) -> None:
    reports = run_local(job, range(10), 2)
    os.kill(int(next(reports).worker), signal.SIGKILL)
    with pytest.raises(LineageError, match="a worker was killed, perhaps for lack of memory; run the same command"):
        list(reports)


def test_workers_exit_when_their_parent_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    parents, exited = iter([7, 7, 1]), threading.Event()
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(local.time, "sleep", lambda _: None)
    monkeypatch.setattr(os, "_exit", lambda code: exited.set())
    local._exit_with(7)
    assert exited.is_set()
