"""`lineage evaluate`: measure how well a model detects."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.nms import DISTANCE_WEIGHTS, OverlapMeasure
from model_zoo.contract.plural import plural
from model_zoo.runtime.base import Compute, Provider
from service.inference.bundled import REPOSITORY_HELP, repository_of

COCO_METRICS: Final = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")


def evaluate(
    source: Annotated[str, tyro.conf.Positional, option("MODEL")],
    *,
    data: Annotated[Path, option("DATASET")],
    split: Annotated[str, option("NAME")] = "val",
    image_size: tuple[int, ...] = (),
    score: float = 0.001,
    iou: float = 0.6,
    nms: OverlapMeasure = "iou",
    batch: int = 16,
    exact_decode: bool = False,
    ignore_case: bool = False,
    provider: Provider = "auto",
    compute: Compute = "auto",
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    output: Annotated[Path | None, option("FOLDER")] = None,
    report: bool = False,
    as_json: Annotated[bool, option(name="json")] = False,
) -> None:
    """Measure how well a model detects: COCO's metrics overall and per class, VOC's metrics, and latency.

    Images run through the same code as in the server. The defaults are those of COCO's evaluation. Classes that only
    the model or only the dataset has are listed on stderr.

    Args:
        source: Folder of a run, a weights file, an .onnx file, or NAME[@VERSION] in the repository.
        data: Dataset: a folder, a data.yaml, a Darknet .data file or a COCO .json file.
        split: Split to evaluate on.
        image_size: Input size in pixels: one number for a square, or height and width. If omitted, the model's own.
        score: Min score of a detection.
        iou: NMS threshold: boxes that overlap more are suppressed.
        nms: Overlap measure of NMS.
        batch: Images per batch.
        exact_decode: Decode large JPEGs at full size. Default: reduced, as in the server.
        ignore_case: Match class names of model and dataset that differ in case, blanks, hyphens or underscores.
        provider: Execution provider of ONNX Runtime. auto: as in the server.
        compute: Precision of float32 files: auto, fp32 or bf16, as for lineage serve.
        repository: Folder of the repository.
        output: Write report.html, evaluation.json and detections.json (COCO results) to this folder.
        report: With the folder of a run: write its report.html again.
        as_json: Print JSON instead of tables.
    """
    from model_zoo.contract.targets import check_folder_target
    from model_zoo.progress import Progress
    from training.data.open import open_dataset
    from training.evaluate.class_names import compare_classes
    from training.evaluate.evaluation import EvaluationImages, EvaluationProtocol
    from training.evaluate.evaluation import evaluate as evaluate_model
    from training.evaluate.source import open_source
    from training.evaluate.summary import evaluation_document, write_evaluation
    from training.report.evaluation import write_evaluation_report
    from training.report.run import read_history, write_report

    if output:
        check_folder_target(output)
    if batch < 1:
        raise LineageError(f"--batch: expected at least 1; got {batch}")
    if report:
        read_history(Path(source))  # refuses other folders before the evaluation
    dataset = open_dataset(data)
    records = dataset.split(split).records
    model = open_source(source, repository_of(repository).root, image_size, provider=provider, compute=compute)
    classes = compare_classes(model.card.class_names, dataset.class_names, records, ignore_case)
    print(*classes.lines(), sep="\n", end="\n" * bool(classes.lines()), file=sys.stderr)
    images = EvaluationImages(records, model.card, batch, canvases=model.canvases, exact=exact_decode)
    protocol = EvaluationProtocol(score, iou, DISTANCE_WEIGHTS[nms], ignore_case)
    with Progress("evaluate", len(images.records)) as progress:
        evaluation = evaluate_model(model.card, model.run, dataset, images, protocol, progress.update)
    document = evaluation_document(evaluation, model, images) | {
        "device": model.device,
        "source": source,
        "data": str(data),
        "split": split,
        "protocol": asdict(protocol),
        "unmatched_classes": classes.to_dict(),
    }
    print(json.dumps(document, indent=2) if as_json else _tables(document))
    if output:
        write_evaluation(output, evaluation, dataset.category_ids, document)
        write_evaluation_report(output, dataset, evaluation, document)
        print(f"wrote {output}/report.html, evaluation.json and detections.json")
    if report:
        print(f"report: {write_report(Path(source), dataset, evaluation)}", file=sys.stderr)


def _tables(document: dict[str, Any]) -> str:
    metrics = document["metrics"]
    size = format_size(document["input"])
    head = f"{document['model']} at {size} on {plural(document['images'], 'image')} of {document['split']}"
    overall = "   ".join(f"{name} {metrics[name]:.4f}" for name in (*COCO_METRICS[:3], "voc2007", "voc2010"))
    by_size = "   ".join(f"{name} {metrics[name]:.4f}" for name in COCO_METRICS[3:])
    label_width = max(len("class"), *(len(entry["label"]) for entry in metrics["classes"]))
    rows = [f"{'class':<{label_width}}  objects      ap    ap50  voc2007"]
    for entry in metrics["classes"]:
        values = "  ".join(f"{entry[name]:>6.3f}" for name in ("ap", "ap50", "voc2007"))
        rows.append(f"{entry['label']:<{label_width}}  {entry['objects']:>7}  {values}")
    latency = f"{document['latency_ms']:.1f} ms for one image on {document['device']}, without decoding the file"
    return "\n".join([head, overall, by_size, "", *rows, "", latency])
