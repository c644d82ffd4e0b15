"""Several generations on one dataset: trained under one budget, published, measured side by side."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from model_zoo import registry
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.contract.package import Package, Repository
from model_zoo.contract.pipeline import Run, collate, make_query, preprocess
from training.data.dataset import Dataset
from training.evaluate.detector import EvaluationImages, Protocol, evaluate
from training.evaluate.source import open_source
from training.report.run import HISTORY, read_history
from training.run.publish import EVALUATION, publish_run
from training.run.run_folder import BEST, CHECKPOINT

INTERRUPTED = 130
ROUNDS = 15  # in which every model takes its turn, so that the noise of a shared machine falls on all alike


@dataclass(frozen=True)
class Budget:
    """What every model is given: epochs, batch ("auto" or a number), image size where its network takes it, seed.

    training: more flags of `lineage train`.
    """

    epochs: int
    batch: str
    image_size: tuple[int, ...]
    seed: int
    training: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Entry:
    """One model of a comparison. metrics: COCO's numbers by name. history: of its run, empty where it was not trained.

    latency_ms: median time of one image alone on one thread, canvas to detections.
    """

    name: str
    card: ModelCard
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    latency_ms: float = field(default=float("nan"))

    @property
    def images_per_second(self) -> float:
        """Speed of training, median over the epochs, without evaluation."""
        return statistics.median(row["images_per_second"] for row in self.history) if self.history else float("nan")


def train_and_publish(model: str, data: Path, budget: Budget, output: Path) -> Package:
    """Train a variant, or go on with its training, and publish it in the comparison's repository.

    What is done already stays as it is. LineageError if it cannot be trained or published.
    """
    run = output / "runs" / model
    if not _is_done(run, budget.epochs):
        _train(model, data, budget, run)
    repository = Repository(output / "models")
    weights = run / BEST
    if model in repository.names() and repository.resolve(model).card.weights.sha256 == file_sha256(weights):
        return repository.resolve(model)
    publish_run(run, name=model, repository=repository.root)
    return repository.resolve(model)


def _is_done(run: Path, epochs: int) -> bool:
    return (run / BEST).is_file() and (run / HISTORY).is_file() and len(read_history(run)) >= epochs


def _train(model: str, data: Path, budget: Budget, run: Path) -> None:
    """Train in a process of its own: what goes wrong there ends neither the comparison nor its memory."""
    command = [sys.executable, "-m", "lineage", "train"]
    if (run / CHECKPOINT).is_file():
        command += ["--resume", str(run)]
    else:
        shutil.rmtree(run, ignore_errors=True)  # begun, and nothing learned yet
        command += ["--model", model, "--data", str(data), "--runs", str(run.parent), "--name", run.name]
        command += ["--epochs", str(budget.epochs), "--batch", budget.batch, "--seed", str(budget.seed)]
        command += ["--patience", "0", *_size_options(model, budget.image_size), *budget.training]
    code = subprocess.run(command, check=False).returncode
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise LineageError(f"{model}: its training ended with exit code {code}; the reason is above")


def _size_options(model: str, image_size: Sequence[int]) -> list[str]:
    with torch.device("meta"):
        dynamic = registry.build(model).input_spec.dynamic
    return ["--image-size", *map(str, image_size)] if image_size and dynamic else []


def trained(package: Package, output: Path) -> Entry:
    """Return the entry of a model that the comparison trained, as it was evaluated when it was published."""
    metrics = json.loads((package.path / EVALUATION).read_text(encoding="utf-8"))
    return Entry(package.name, package.card, metrics, read_history(output / "runs" / package.name))


def evaluated(source: str, repository: Path, dataset: Dataset, split: str) -> Entry:
    """Evaluate a model that exists already: a run, a weights file, an .onnx file or one of a repository."""
    opened = open_source(source, repository)
    images = EvaluationImages(dataset.split(split).records, opened.card)
    metrics = evaluate(opened.card, opened.run, dataset, images, Protocol()).metrics
    return Entry(source, opened.card, vars(metrics))


def timed(entries: Sequence[Entry], runs: Sequence[Run]) -> list[Entry]:
    """Measure the latency of all, in turns, each on a gray image of its own size."""
    feeds = []
    for entry in entries:
        height, width = entry.card.input_size
        gray = torch.full((height, width, 3), 114, dtype=torch.uint8).numpy()
        feeds.append(collate([preprocess(entry.card, gray)], [make_query(entry.card)]))
    times: list[list[float]] = [[] for _ in entries]
    for _ in range(ROUNDS):
        for run, feed, mine in zip(runs, feeds, times, strict=True):
            began = time.perf_counter()
            run(feed)
            mine.append(1000 * (time.perf_counter() - began))
    return [replace(e, latency_ms=statistics.median(mine[1:])) for e, mine in zip(entries, times, strict=True)]


def note_of(family: str) -> str:
    """Return what a generation is and what changed with it, in the words of its page."""
    page = importlib.import_module(f"model_zoo.families.{family}").__doc__ or ""
    changed = re.search(r"Changed since.*?(?=\n\n|\Z)", page, re.DOTALL)
    return " ".join([page.partition("\n")[0], *(changed[0].split() if changed else ())])
