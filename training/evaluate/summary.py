"""Summarize an evaluation as a JSON document, with latency and VOC's metrics, and write it to files."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from model_zoo.contract.pipeline import collate, make_query
from training.evaluate.coco import results
from training.evaluate.evaluation import Evaluation, EvaluationImages
from training.evaluate.source import Source
from training.evaluate.voc import Year, voc_average_precision

LATENCY_IMAGES: Final = 20
VOC_YEARS: Final[tuple[Year, ...]] = ("2007", "2010")


def evaluation_document(evaluation: Evaluation, source: Source, images: EvaluationImages) -> dict[str, Any]:
    """Return name and input size of the model, number of images, metrics and latency."""
    card = source.card
    return {
        "model": card.name if card.name != "model" else card.variant,
        "input": list(card.input_size),
        "images": len(evaluation.records),
        "metrics": _metrics(evaluation),
        "latency_ms": measure_latency(source, images),
    }


def measure_latency(source: Source, images: EvaluationImages) -> float:
    """Return the median time in milliseconds from one canvas to detections, at the card's thresholds."""
    query, times = make_query(source.card), list[float]()
    for batch in images:
        for item in batch.items[: LATENCY_IMAGES - len(times)]:
            start = time.perf_counter()
            source.run(collate([item], [query]))
            times.append(1000 * (time.perf_counter() - start))
        if len(times) >= LATENCY_IMAGES:
            break
    return round(statistics.median(times), 2)


def write_evaluation(
    folder: str | Path, evaluation: Evaluation, category_ids: Sequence[int], document: dict[str, Any]
) -> None:
    """Write evaluation.json, and the detections as COCO results in detections.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    entries = results(evaluation.records, evaluation.detections, category_ids)
    (folder / "detections.json").write_text(json.dumps(entries) + "\n", encoding="utf-8")


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    """Return COCO's metrics, with VOC's added to each class and overall."""
    metrics = asdict(evaluation.metrics)
    for year in VOC_YEARS:
        values = voc_average_precision(evaluation.records, evaluation.detections, len(metrics["classes"]), year)
        for entry, value in zip(metrics["classes"], values, strict=True):
            entry[f"voc{year}"] = float(value)
        metrics[f"voc{year}"] = float(values[values >= 0].mean()) if (values >= 0).any() else -1.0
    return metrics
