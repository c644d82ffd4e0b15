"""`lineage export RUN --name NAME`: a trained model becomes a package that the server serves."""

from __future__ import annotations

import datetime
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import tyro

from model_zoo.contract.card import Metric, ModelCard, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.contract.manifest import MODEL
from model_zoo.contract.package import Repository
from model_zoo.detector import Detector
from model_zoo.export.card import build_card, build_export_card
from model_zoo.export.model_file import write_model
from model_zoo.export.options import MAX_CANDIDATES
from model_zoo.weights import store
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.coco import Metrics
from training.evaluate.detector import EvaluationImages, evaluate, evaluate_detector
from training.evaluate.source import open_source
from training.run.run_folder import read_config, weights_in

EVALUATION = "evaluation.json"


def publish_run(
    source: tyro.conf.Positional[Path],
    *,
    name: str,
    repository: Path = Path("models"),
    precision: Literal["fp32", "fp16"] = "fp32",
    candidates: int = MAX_CANDIDATES,
    largest_drop: float = 0.005,
    data: Path | None = None,
    license: str = "unknown",
) -> None:
    """Publish the best weights of a run: export, compare with the model, evaluate the file, add it to a repository.

    A running server of that repository takes the new version up. Nothing is published where the graph disagrees with
    the model, or finds less on the run's validation images than the model does.

    Args:
        source: Folder of the run.
        name: Name in the repository; an existing one gets a new version.
        repository: Folder of the models; made where it is absent.
        precision: Precision of the network inside the file.
        candidates: Most predictions of one image that enter NMS; a multiple of 128.
        largest_drop: Most that the file's AP may be below the model's.
        data: Dataset to evaluate on; by default the run's.
        license: License of the weights (SPDX), written into the model card.
    """
    config, _ = read_config(source)
    weights = weights_in(source)
    detector = store.load(weights)
    dataset = open_dataset(data or _data_of(config.data, source))
    print(f"evaluating {weights.name} on {config.val_split}")
    images = EvaluationImages(dataset.split(config.val_split).records, build_card(detector))
    trained = evaluate_detector(detector, dataset, images).metrics
    origin = WeightsOrigin(license, f"run {source.name}", file_sha256(weights))
    card = build_export_card(detector, name, precision=precision, candidates=candidates, weights=origin)
    card = replace(card, metrics=_metrics(trained, dataset, config.val_split))
    with tempfile.TemporaryDirectory() as folder:
        model, report = Path(folder) / MODEL, Path(folder) / EVALUATION
        exported = _export(detector, card, model, dataset, images)
        _require(trained, exported, largest_drop)
        report.write_text(json.dumps(asdict(exported), indent=2) + "\n", encoding="utf-8")
        package = Repository(repository).publish(card, {MODEL: model, EVALUATION: report})
    print(f"published {package.name}@{package.version} in {package.path}")
    print(f"serve it: lineage serve --repository {repository}")


def _data_of(data: Path | None, run: Path) -> Path:
    if data is None or not data.exists():
        raise LineageError(f"{run}: its dataset, {data}, is not there; name it with --data")
    return data


def _metrics(measured: Metrics, dataset: Dataset, split: str) -> tuple[Metric, ...]:
    what, day = f"{dataset.root.name} {split}", datetime.date.today().isoformat()
    return tuple(Metric(n, round(v, 4), what, day) for n, v in (("AP", measured.ap), ("AP50", measured.ap50)))


def _export(detector: Detector, card: ModelCard, model: Path, dataset: Dataset, images: EvaluationImages) -> Metrics:
    write_model(detector, card, model, print)
    print("evaluating the exported file")
    exported = open_source(str(model), model.parent)
    return evaluate(exported.card, exported.run, dataset, images).metrics


def _require(trained: Metrics, exported: Metrics, largest_drop: float) -> None:
    print(
        f"AP {trained.ap:.4f} of the model, {exported.ap:.4f} of the file; AP50 {trained.ap50:.4f}, {exported.ap50:.4f}"
    )
    if trained.ap - exported.ap > largest_drop:
        raise LineageError(
            f"expected the file's AP within {largest_drop:g} of the model's {trained.ap:.4f}; got {exported.ap:.4f}; "
            "nothing was published; export it in a higher precision, or allow more with --largest-drop"
        )
