"""A worker: canvases, batches, order and warnings."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import Manifest, Options
from model_zoo.batch.plan import plan
from model_zoo.batch.worker import Job, Worker, count_readers, engine_options
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions
from tests.images import damaged_jpeg
from tests.model_zoo.batch.conftest import image_bytes

MakeOptions = Callable[..., Options]


class BatchingEngine:
    """An engine as on a GPU: batches of three, a canvas for wide images. It finds a box of the canvas's size."""

    def __init__(self, package: Package) -> None:
        self.card, self.max_batch, self.canvases = package.card, 3, [(64, 64), (32, 64)]
        self.batches: list[tuple[int, ...]] = []

    def run(self, feeds: Feeds) -> tuple[np.ndarray, np.ndarray]:
        images = feeds["images"]
        self.batches.append(images.shape[:3])
        rows = np.zeros((len(images), 1, 6), np.float32)
        rows[:, 0, 2:5] = (images.shape[2], images.shape[1], 0.9)
        rows[:, 0, 5] = 0
        return rows, np.ones(len(images), np.int32)

    def close(self) -> None: ...


@pytest.fixture
def job(tmp_path: Path, toy: Package, make_options: MakeOptions) -> Job:
    """A job of one shard with 7 images: wide ones and square ones in turn."""
    for i in range(7):
        (tmp_path / f"{i}.png").write_bytes(image_bytes(size=(32, 64) if i % 2 else (64, 64)))
    folder = Folder(str(tmp_path / "out"))
    options = make_options(f"{tmp_path}/*.png", shard_size=100)
    return Job(folder.uri, toy, Manifest(1, options, "cuda", "fp32", plan(folder, options)))


def test_batches_have_one_canvas_and_rows_the_order_of_the_images(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BatchingEngine(job.package)
    monkeypatch.setattr("model_zoo.batch.worker.open_engine", lambda *_: engine)
    report = Worker(job, "w").run(0)
    assert sorted(engine.batches) == [(1, 64, 64), (3, 32, 64), (3, 64, 64)]
    rows = pq.read_table(io.BytesIO(Folder(job.output).read("part-00000.parquet"))).to_pylist()
    assert [Path(row["image"]).name for row in rows] == [f"{i}.png" for i in range(7)]
    assert [row["detections"][0]["box"][3] for row in rows] == [64, 32, 64, 32, 64, 32, 64]
    assert (report.worker, report.counts.images) == ("w", 7)


def test_engines_use_one_core_of_a_cpu_and_their_own_limits_on_a_gpu(job: Job) -> None:
    assert engine_options(job.manifest) == EngineOptions(provider="cuda", compute="fp32")
    cpu = Manifest(1, job.manifest.options, "cpu", "fp32", ())
    assert engine_options(cpu) == EngineOptions(provider="cpu", compute="fp32", workers=1, threads=1)


def test_more_threads_read_from_stores_than_from_disks(job: Job, make_options: MakeOptions) -> None:
    manifests = [Manifest(1, make_options(source), "cpu", "fp32", ()) for source in ("/images", "s3://bucket/images")]
    assert [count_readers(manifest) for manifest in manifests] == [2, 16]


def test_damage_that_the_decoder_skips_is_a_warning(tmp_path: Path, toy: Package, make_options: MakeOptions) -> None:
    (tmp_path / "a.jpg").write_bytes(damaged_jpeg())
    folder, options = Folder(str(tmp_path / "out")), make_options(tmp_path / "a.jpg")
    Worker(Job(folder.uri, toy, Manifest(1, options, "cpu", "fp32", plan(folder, options))), "w").run(0)
    [row] = pq.read_table(io.BytesIO(folder.read("part-00000.parquet"))).to_pylist()
    assert row["warning"]
