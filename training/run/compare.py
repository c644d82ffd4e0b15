"""Compare generations on one dataset: train them under one budget, publish them, and measure all side by side.

comparison = compare(["yolov5n", "yolox-nano"], Path("data/bccd"), Budget(epochs=100), output=Path("comparison"))
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from model_zoo import registry
from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Run, collate, detect_inputs, make_query, preprocess, read_input
from model_zoo.contract.repository import Repository
from model_zoo.contract.suggest import did_you_mean
from model_zoo.convert import export_weights
from model_zoo.export.log import Log, silent
from model_zoo.progress import Progress
from training.config import TrainConfig, check_config
from training.data.dataset import Dataset, Record
from training.data.open import open_dataset
from training.evaluate.class_names import compare_classes, match_classes
from training.evaluate.evaluation import EvaluationImages, evaluate
from training.evaluate.source import WEIGHTS, Source, open_source
from training.report.run import read_history
from training.run.optional_step import describe
from training.run.publish import EVALUATION, publish_run
from training.run.run_folder import BEST, CHECKPOINT, HISTORY
from training.run.run_lock import lock_folder

INTERRUPTED: Final = 130
LATENCY_ROUNDS: Final = 15  # each round times every model once, so that machine noise affects all models alike
FILL: Final = 114  # gray


@dataclass(frozen=True)
class Budget:
    """Training options that all compared models share."""

    epochs: int
    """Passes over the training images."""
    batch: str = "auto"
    """Images per batch, or auto."""
    image_size: tuple[int, ...] = ()
    """Input size of all networks that accept any size: one number, or height and width."""
    seed: int = 0
    """Seed of initial weights, augmentation and image order."""
    training: tuple[str, ...] = ()
    """More flags of `lineage train`."""


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """A model of a comparison and its measurements."""

    name: str
    """Variant, or the source as given."""
    card: ModelCard
    """Card of the model."""
    metrics: Mapping[str, Any]
    """COCO's metrics by name."""
    history: Sequence[Mapping[str, Any]] = ()
    """Rows of the run's epochs, empty if the comparison did not train the model."""
    latency_ms: float = field(default=float("nan"))
    """Median time of one image on one thread, from canvas to detections."""
    sample: Detections | None = None
    """Detections on the comparison's sample, at the model's own thresholds, in the dataset's class ids."""

    @property
    def images_per_second(self) -> float:
        """Training speed: median over the epochs, without evaluation."""
        return statistics.median(row["images_per_second"] for row in self.history) if self.history else float("nan")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of a comparison."""

    dataset: Dataset
    """Dataset that all models were evaluated on."""
    models: Sequence[ComparedModel]
    """Models that could be measured."""
    failures: Sequence[str]
    """Error messages of the models that could not be measured."""
    sample: Record | None = None
    """An image that all models looked at, None if the split has no objects."""


def compare(
    models: Sequence[str],
    data: str | Path,
    budget: Budget,
    *,
    output: str | Path,
    repository: str | Path = "models",
    val_split: str = "val",
    log: Log = silent,
) -> Comparison:
    """Train and publish variants, evaluate other models, and measure the latency of all.

    Work that is already done is not repeated: the same call resumes an interrupted comparison.

    Args:
        models: Variants to train. Other names are runs, files or models of `repository`, which are only evaluated.
        data: Dataset: a folder, a data.yaml or a COCO .json file.
        budget: Training options.
        output: Folder of runs and packages.
        repository: Folder of existing models.
        val_split: Split to evaluate on.
        log: Called with progress messages.

    Raises:
        LineageError: No model could be measured, the budget is invalid, or another process uses the output.
    """
    data, output = Path(data), Path(output)
    check_config(TrainConfig("any", data, budget.epochs, budget.batch, seed=budget.seed))  # type: ignore[arg-type]
    dataset = open_dataset(data)
    output.mkdir(parents=True, exist_ok=True)

    def measure(name: str) -> ComparedModel:
        if name in registry.variants():
            return trained_model(train_and_publish(name, data, budget, output, log), output)
        source = with_exported_weights(name, output / "exports", log)
        return replace(evaluated_model(source, repository, dataset, val_split, log), name=name)

    with lock_folder(output):
        compared, failures = _measured(models, measure, log)
        if not compared:
            raise LineageError("nothing to compare: no model could be trained or evaluated")
        sources = [_open(model, output, repository) for model in compared]
        measured = with_latency(compared, [source.run for source in sources])
        sample = choose_sample(dataset.split(val_split).records)
        if sample:
            pairs = zip(measured, sources, strict=True)
            measured = [replace(m, sample=detect_sample(source, dataset, sample)) for m, source in pairs]
        return Comparison(dataset, measured, failures, sample)


def _open(model: ComparedModel, output: Path, repository: str | Path) -> Source:
    """Open a measured model on one thread."""
    if model.history:
        return open_source(model.name, output / "models", threads=1)
    return open_source(with_exported_weights(model.name, output / "exports"), repository, threads=1)


def _measured(
    models: Sequence[str], measure: Callable[[str], ComparedModel], log: Log
) -> tuple[list[ComparedModel], list[str]]:
    """Return the measured models, and the error messages of the others."""
    compared, failures, variants = list[ComparedModel](), list[str](), registry.variants()
    for name in models:
        try:
            compared.append(measure(name))
        except Exception as error:  # any: a failed export of one model must not cost the others their results
            hint = "" if name in variants else did_you_mean(name, variants)
            failures.append("; ".join(filter(None, [_with_name(name, error), hint])))
            log(f"skipped {failures[-1]}")
    return compared, failures


def _with_name(name: str, error: Exception) -> str:
    """Return an error in one line that begins with the name of its model."""
    text = describe(error)
    return text if text.startswith(f"{name}:") else f"{name}: {text}"


def train_and_publish(model: str, data: Path, budget: Budget, output: Path, log: Log = silent) -> Package:
    """Train a variant or resume its run, and publish it in the comparison's repository, unless that is done.

    Raises:
        LineageError: The variant cannot be trained or published.
    """
    run = output / "runs" / model
    if not _is_done(run, budget.epochs):
        _train(model, data, budget, run)
    repository = Repository(output / "models")
    if model in repository.names() and repository.resolve(model).card.weights.sha256 == file_sha256(run / BEST):
        return repository.resolve(model)
    package = publish_run(run, repository, model, log=log)
    log(f"published {package.name}@{package.version} in {package.path}")
    return package


def _is_done(run: Path, epochs: int) -> bool:
    return (run / BEST).is_file() and (run / HISTORY).is_file() and len(read_history(run)) >= epochs


def _train(model: str, data: Path, budget: Budget, run: Path) -> None:
    """Train in a separate process, so that a crash or a memory leak does not affect the comparison."""
    command = [sys.executable, "-m", "lineage", "train"]
    if (run / CHECKPOINT).is_file():
        command += ["--resume", str(run)]
    else:
        if run.is_dir():
            with lock_folder(run):  # refuses a run that another process trains
                shutil.rmtree(run)  # a run that stopped before its first checkpoint
        command += ["--model", model, "--data", str(data), "--runs", str(run.parent), "--name", run.name]
        command += ["--epochs", str(budget.epochs), "--batch", budget.batch, "--seed", str(budget.seed)]
        command += ["--patience", "0", *_size_options(model, budget.image_size), *budget.training]
    code = subprocess.run(command, check=False).returncode
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise LineageError(f"{model}: training failed with exit code {code}; its output is above")


def _size_options(model: str, image_size: Sequence[int]) -> list[str]:
    with torch.device("meta"):
        dynamic = registry.build(model).input_spec.dynamic
    return ["--image-size", *map(str, image_size)] if image_size and dynamic else []


def trained_model(package: Package, output: Path) -> ComparedModel:
    """Return a model that the comparison trained, with the metrics of its package."""
    metrics = json.loads((package.path / EVALUATION).read_text(encoding="utf-8"))
    return ComparedModel(package.name, package.card, metrics, read_history(output / "runs" / package.name))


def with_exported_weights(source: str, folder: Path, log: Log = silent) -> str:
    """Return a source, or for a run or a weights file, the ONNX file of its weights.

    In torch, its latency could not be compared with that of served models. A file that is in the folder is used again.
    """
    weights = Path(source) / BEST if Path(source).is_dir() else Path(source)
    if weights.suffix not in WEIGHTS or not weights.is_file():
        return source
    target = folder / f"{file_sha256(weights)}.onnx"
    if not target.is_file():
        log(f"exporting {source}")
        folder.mkdir(exist_ok=True)
        export_weights(weights, target, log=log)
    return str(target)


def evaluated_model(
    source: str, repository: str | Path, dataset: Dataset, split: str, log: Log = silent
) -> ComparedModel:
    """Evaluate an existing model: a run, a weights file, an .onnx file or a model of a repository."""
    model = open_source(source, repository)
    records = dataset.split(split).records
    for line in compare_classes(model.card.class_names, dataset.class_names, records).lines():
        log(f"{source}: {line}")
    images = EvaluationImages(records, model.card, canvases=model.canvases)
    with Progress(f"evaluate {source}", len(images.records)) as progress:
        metrics = evaluate(model.card, model.run, dataset, images, progress=progress.update).metrics
    return ComparedModel(source, model.card, vars(metrics))


def choose_sample(records: Sequence[Record]) -> Record | None:
    """Return the first image with at least as many objects as three quarters of the images, None without objects."""
    counts = np.asarray([len(record.boxes) for record in records])
    if not counts.any():
        return None
    return next(r for r in records if len(r.boxes) >= max(np.quantile(counts, 0.75), 1))


def detect_sample(source: Source, dataset: Dataset, record: Record) -> Detections:
    """Return the detections of a model on one image, as it is served, in the dataset's class ids."""
    item = read_input(source.card, record.path.read_bytes(), source.canvases)
    [found] = detect_inputs(source.run, [item], make_query(source.card))
    return found.map_classes(match_classes(source.card.class_names, dataset.class_names))


def with_latency(models: Sequence[ComparedModel], runs: Sequence[Run]) -> list[ComparedModel]:
    """Return the models with their latency, measured in rounds on a gray image of each model's input size."""
    feeds = []
    for model in models:
        height, width = model.card.input_size
        gray = torch.full((height, width, 3), FILL, dtype=torch.uint8).numpy()
        feeds.append(collate([preprocess(model.card, gray)], [make_query(model.card)]))
    times: list[list[float]] = [[] for _ in models]
    for _ in range(LATENCY_ROUNDS):
        for run, feed, model_times in zip(runs, feeds, times, strict=True):
            start = time.perf_counter()
            run(feed)
            model_times.append(1000 * (time.perf_counter() - start))
    return [replace(m, latency_ms=statistics.median(t[1:])) for m, t in zip(models, times, strict=True)]
