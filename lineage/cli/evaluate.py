"""`lineage evaluate`: how well a model detects, measured as it is served."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no types

from model_zoo.contract.pipeline import DISTANCE_WEIGHTS, collate, make_query
from training.data.open import open_dataset
from training.evaluate.coco import results
from training.evaluate.evaluation import Evaluation, EvaluationImages, EvaluationProtocol, evaluate
from training.evaluate.source import Source, open_source
from training.evaluate.voc import voc_average_precision

TIMED = 20  # images that the latency is measured on
NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")


def evaluate_model(
    source: tyro.conf.Positional[str],
    *,
    data: Path,
    split: str = "val",
    image_size: tuple[int, ...] = (),
    score: float = 0.001,
    iou: float = 0.6,
    nms: Literal["iou", "diou"] = "iou",
    batch: int = 16,
    repository: Path = Path("models"),
    output: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure how well a model detects: COCO's metrics, those of every class, VOC's, and the time per image.

    Images go through the code that serves them. What COCO's evaluation wants is the default: low scores, plain IoU-NMS.

    Args:
        source: A run's folder, a weights file, an .onnx file, or NAME[@VERSION] of the repository.
        data: Dataset: a folder, a data.yaml or a COCO .json file.
        split: Part of the dataset.
        image_size: Input size in pixels, one number for a square or height and width; by default the model's own.
        score: Lowest score that counts.
        iou: Overlap over which NMS suppresses.
        nms: Measure of NMS.
        batch: Images that run together; exported models run as in the server instead.
        repository: Folder of the models.
        output: Folder to write evaluation.json, detections.json (COCO results) and plots to.
        as_json: Print JSON instead of tables.
    """
    dataset = open_dataset(data)
    opened = open_source(source, repository, image_size)
    images = EvaluationImages(dataset.split(split).records, opened.card, batch)
    with tqdm(total=len(images.records), unit="image", desc="evaluate", leave=False, disable=None) as bar:
        protocol = EvaluationProtocol(score, iou, DISTANCE_WEIGHTS[nms])
        evaluation = evaluate(opened.card, opened.run, dataset, images, protocol, bar.update)
    document = _document(evaluation, opened, images)
    document |= {"source": source, "data": str(data), "split": split, "protocol": asdict(protocol)}
    print(json.dumps(document, indent=2) if as_json else _tables(document))
    if output:
        _write(output, evaluation, dataset.category_ids, document)


def _document(evaluation: Evaluation, opened: Source, images: EvaluationImages) -> dict[str, Any]:
    numbers = asdict(evaluation.metrics)
    labels = [entry["label"] for entry in numbers["classes"]]
    for year in ("2007", "2010"):
        values = voc_average_precision(evaluation.records, evaluation.detections, len(labels), year)
        for entry, value in zip(numbers["classes"], values, strict=True):
            entry[f"voc{year}"] = float(value)
        numbers[f"voc{year}"] = float(values[values >= 0].mean()) if (values >= 0).any() else -1.0
    height, width = opened.card.input_size
    return {
        "model": opened.card.name if opened.card.name != "model" else opened.card.variant,
        "input": [height, width],
        "images": len(evaluation.records),
        "metrics": numbers,
        "latency_ms": _latency(opened, images),
    }


def _latency(opened: Source, images: EvaluationImages) -> float:
    """Return the median time of one image alone, canvas to detections, at the score of a request, in milliseconds."""
    query, times = make_query(opened.card), list[float]()
    for items in images:
        for item in items[: TIMED - len(times)]:
            began = time.perf_counter()
            opened.run(collate([item], [query]))
            times.append(1000 * (time.perf_counter() - began))
        if len(times) >= TIMED:
            break
    return round(statistics.median(times), 2)


def _tables(document: dict[str, Any]) -> str:
    numbers = document["metrics"]
    height, width = document["input"]
    head = f"{document['model']} at {height} x {width} on {document['images']} images of {document['split']}"
    overall = "   ".join(f"{name} {numbers[name]:.4f}" for name in (*NUMBERS[:3], "voc2007", "voc2010"))
    sizes = "   ".join(f"{name} {numbers[name]:.4f}" for name in NUMBERS[3:])
    width = max(len("class"), *(len(entry["label"]) for entry in numbers["classes"]))
    rows = [f"{'class':<{width}}  objects      ap    ap50  voc2007"]
    for entry in numbers["classes"]:
        values = "  ".join(f"{entry[name]:>6.3f}" for name in ("ap", "ap50", "voc2007"))
        rows.append(f"{entry['label']:<{width}}  {entry['objects']:>7}  {values}")
    time_line = f"{document['latency_ms']:.1f} ms per image alone, without decoding the file"
    return "\n".join([head, overall, sizes, "", *rows, "", time_line])


def _write(folder: Path, evaluation: Evaluation, category_ids: Sequence[int], document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    entries = results(evaluation.records, evaluation.detections, category_ids)
    (folder / "detections.json").write_text(json.dumps(entries) + "\n", encoding="utf-8")
    print(f"wrote {folder}/evaluation.json and detections.json")
