"""Open anything that can be evaluated: a training run, a weights file, an ONNX file or a model of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import parse_size
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds, Run
from model_zoo.contract.repository import Repository
from model_zoo.export.card import build_export_card
from model_zoo.runtime.base import Compute, Engine, EngineOptions, Outputs, Provider
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
from model_zoo.weights.importers import load_checkpoint
from training.evaluate.network import network_run

BEST = "best.safetensors"
WEIGHTS = (".pt", ".pth", ".weights", ".safetensors")


class Source(NamedTuple):
    """A model to evaluate."""

    card: ModelCard
    """Card of the model, at the input size it is evaluated at."""
    run: Run
    """Function that runs a batch: an engine of the server's, or the network in torch."""
    canvases: Sequence[Size]
    """Canvas sizes that it runs, as in the server."""
    device: str = "torch"
    """Provider and precision that run it."""


def open_source(
    source: str | Path,
    repository: str | Path,
    image_size: Sequence[int] = (),
    threads: int | None = None,
    provider: Provider = "auto",
    compute: Compute = "auto",
) -> Source:
    """Open the model that `source` names.

    Packages and ONNX files run in the same engine and with the same options as in the server.

    Args:
        source: A training run folder, a weights file, an ONNX file, or NAME[@VERSION] in the repository.
        repository: Folder of the models.
        image_size: Input size instead of the model's own: (height, width), or one number.
        threads: CPU threads of each engine run; by default as in the server.
        provider: Execution provider of ONNX Runtime, for packages and ONNX files.
        compute: Precision of float32 files.

    Raises:
        LineageError: no model is found there, or it cannot run.
    """
    path = Path(source)
    options = EngineOptions(provider=provider, compute=compute, threads=threads, image_size=parse_size(image_size))
    if path.is_dir() and not (path / BEST).is_file():
        raise LineageError(f"{path}: expected a training run folder with {BEST}; the file does not exist (yet)")
    if path.is_dir() or path.suffix in WEIGHTS:
        return _open_weights(path / BEST if path.is_dir() else path, image_size)
    if path.suffix == ".onnx":
        return _open_package(open_model_file(path), options)
    if path.name != str(source):
        raise LineageError(f"{path}: no such run or file; expected one, or the name of a model in the repository")
    package = Repository(repository).resolve(str(source))
    package.verify()
    return _open_package(package, options)


def engine_run(engine: Engine) -> Run:
    """Return a function that runs batches of any size on an engine, with all of its workers."""

    def run(feeds: Feeds) -> Outputs:
        parts = _split(feeds, engine.max_batch)
        if len(parts) == 1:
            return engine.run(feeds)
        with ThreadPoolExecutor(engine.workers) as pool:
            rows, counts = zip(*pool.map(engine.run, parts), strict=True)
        return np.concatenate(rows), np.concatenate(counts)

    return run


def _open_weights(path: Path, image_size: Sequence[int]) -> Source:
    detector = load_checkpoint(path).detector
    if size := parse_size(image_size):
        detector.resize(size)
    card = build_export_card(detector, "model")  # with parameters and GFLOPs, for comparisons
    return Source(card, network_run(detector, card), EngineOptions().canvases(card))


def _open_package(package: Package, options: EngineOptions) -> Source:
    engine = open_engine(package, options)
    return Source(engine.card, engine_run(engine), engine.canvases, engine.device)


def _split(feeds: Feeds, size: int) -> list[Feeds]:
    starts = range(0, len(feeds["images"]), size)
    return [{name: value[start : start + size] for name, value in feeds.items()} for start in starts]
