"""Publish the best weights of a run as a package that the server can serve.

package = publish_run(Path("runs/yolov5n"), Repository(Path("models")), log=print)
"""

from __future__ import annotations

import datetime
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, Literal

from model_zoo.contract.card import Metric, ModelCard, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.contract.licenses import UNDECLARED, UNKNOWN, binding_terms, checked_license
from model_zoo.contract.manifest import MODEL
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_folder_target, check_name, name_from
from model_zoo.contract.terms import describe_parents
from model_zoo.detector import Detector
from model_zoo.export.card import build_card, build_export_card
from model_zoo.export.log import Log, silent
from model_zoo.export.options import MAX_CANDIDATES, check_golden_folder
from model_zoo.export.write_model import write_model
from model_zoo.golden import describe_golden, write_golden
from model_zoo.progress import Progress
from model_zoo.weights import store
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.coco import Metrics
from training.evaluate.evaluation import EvaluationImages, evaluate, evaluate_detector
from training.evaluate.source import open_source
from training.run.run_folder import read_config, weights_in

EVALUATION: Final = "evaluation.json"
MAX_AP_DROP: Final = 0.005


def publish_run(
    folder: str | Path,
    repository: Repository,
    name: str | None = None,
    *,
    precision: Literal["fp32", "fp16"] = "fp32",
    candidates: int = MAX_CANDIDATES,
    largest_drop: float = MAX_AP_DROP,
    data: str | Path | None = None,
    license: str | None = None,
    golden: Path | None = None,
    log: Log = silent,
) -> Package:
    """Export the best weights of a run, evaluate the file, and publish it as the next version of `name`.

    Args:
        folder: Folder of the run.
        repository: Repository to publish in. Its folder is created if needed.
        name: Name of the model. If omitted, the folder's name.
        precision: Precision of the network inside the file.
        candidates: Max predictions per image that enter NMS, a multiple of 64.
        largest_drop: Max difference by which the file's AP may be lower than the model's.
        data: Dataset to evaluate on. If omitted, the run's.
        license: License of the weights (SPDX), recorded in the model card. If omitted, that of its parents.
        golden: Folder of images for the golden images of the package. If omitted, synthetic ones.
        log: Called with progress messages.

    Raises:
        LineageError: There is no run in the folder, its dataset is missing, or the file's AP is too low.
        ExportError: The exported file disagrees with the model.
    """
    check_name(name)
    check_folder_target(repository.root)
    check_golden_folder(golden)
    config, _ = read_config(folder)
    weights = weights_in(folder)
    detector = store.load(weights)
    dataset = open_dataset(data or _existing(config.data, folder))
    images = EvaluationImages(dataset.split(config.val_split).records, build_card(detector))
    log(f"evaluating {weights.name} on {config.val_split}")
    with Progress("evaluate", len(images.records)) as progress:
        model_metrics = evaluate_detector(detector, dataset, images, progress=progress.update).metrics
    card = build_export_card(
        detector,
        name or name_from(folder),
        precision=precision,
        candidates=candidates,
        weights=_origin(detector, weights, license, log),
    )
    card = replace(card, metrics=_card_metrics(model_metrics, dataset, config.val_split))
    with tempfile.TemporaryDirectory() as temporary:
        model, report = Path(temporary) / MODEL, Path(temporary) / EVALUATION
        file_metrics = _export_and_evaluate(detector, card, model, dataset, images, log)
        _require_small_drop(model_metrics, file_metrics, largest_drop, log)
        report.write_text(json.dumps(asdict(file_metrics), indent=2) + "\n", encoding="utf-8")
        files = write_golden(model, card, Path(temporary), golden)
        log(describe_golden(files))
        return repository.publish(card, {MODEL: model, EVALUATION: report, **files})


def _origin(detector: Detector, weights: Path, license: str | None, log: Log) -> WeightsOrigin:
    """Return the origin of a run's weights for the card, and log what was not given or contradicts the parents."""
    trained = detector.weights
    chosen = trained.license if license is None else checked_license(license)
    if trained.parents:
        log(describe_parents(trained))
    if license is None and chosen in (UNDECLARED, UNKNOWN):
        log(f"warning: no license was given, so the card says {chosen}. Set it with lineage export --license")
    elif license is not None and binding_terms(trained.license) and trained.license != chosen:
        log(
            f"warning: the card says {chosen}, as given, but the weights were trained from weights of {trained.license}"
        )
    return WeightsOrigin(chosen, f"run {weights.resolve().parent.name}", file_sha256(weights), trained.parents)


def _existing(data: Path | None, run: str | Path) -> Path:
    if data is None or not data.exists():
        raise LineageError(f"{run}: the run's dataset, {data}, does not exist; give its path with --data")
    return data


def _card_metrics(metrics: Metrics, dataset: Dataset, split: str) -> tuple[Metric, ...]:
    name, today = f"{dataset.root.name} {split}", datetime.date.today().isoformat()
    return (Metric("AP", round(metrics.ap, 4), name, today), Metric("AP50", round(metrics.ap50, 4), name, today))


def _export_and_evaluate(
    detector: Detector, card: ModelCard, model: Path, dataset: Dataset, images: EvaluationImages, log: Log
) -> Metrics:
    write_model(detector, card, model, log)
    log("evaluating the exported file")
    exported = open_source(str(model), model.parent)
    with Progress("evaluate the file", len(images.records)) as progress:
        return evaluate(exported.card, exported.run, dataset, images, progress=progress.update).metrics


def _require_small_drop(model: Metrics, file: Metrics, largest_drop: float, log: Log) -> None:
    log(f"AP {model.ap:.4f} of the model, {file.ap:.4f} of the file; AP50 {model.ap50:.4f}, {file.ap50:.4f}")
    if model.ap - file.ap > largest_drop:
        raise LineageError(
            f"expected the file's AP within {largest_drop:g} of the model's {model.ap:.4f}; got {file.ap:.4f}. "
            "Nothing was published. Export in a higher precision, or allow more with --largest-drop"
        )
