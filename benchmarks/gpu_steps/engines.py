"""Measure an engine: batches of every size, from one caller and from several at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.gpu_steps.results import Options, Row, seconds_per_run, write_row
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, Outputs, blank_feeds


def measure_engine(options: Options, step: str, name: str, engine: Engine, reference: Engine | None = None) -> None:
    """Time every canvas and batch size that the engine supports, and compare its scores with another engine's."""
    for size in engine.canvases:
        for batch in options.batches:
            if batch <= engine.max_batch:
                _measure(options, step, name, engine, size, batch, reference)


def _measure(
    options: Options, step: str, name: str, engine: Engine, size: Size, batch: int, reference: Engine | None
) -> None:
    feeds = noise_feeds(size, batch)
    with ThreadPoolExecutor(engine.workers) as threads:

        def run_all() -> None:
            list(threads.map(engine.run, [feeds] * engine.workers))

        seconds = seconds_per_run(run_all, options.seconds) / engine.workers
    every = {**feeds, "score_threshold": np.zeros(batch, np.float32)}  # random weights score low
    note = compare(engine.run(every), reference.run(every)) if reference and batch == 1 else ""
    subject = f"{name}, workers: {engine.workers}"
    write_row(options, Row(step, subject, *size, batch, batch / seconds, 1e3 * seconds, note))


def noise_feeds(size: Size, batch: int) -> Feeds:
    """Return the inputs for a batch of noise images."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    return {**blank_feeds(size, batch), "images": images}


def compare(actual: Outputs, expected: Outputs) -> str:
    """Return how detections differ: their number, and the scores in descending order."""
    (rows, count), (other_rows, other_count) = actual, expected
    apart = float(np.abs(rows[..., 4] - other_rows[..., 4]).max())
    return f"{int(count.sum())} detections ({int(other_count.sum())} on the CPU), scores differ by {apart:.1e}"
