"""`lineage batch`: detect objects in whole data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from lineage.cli.arguments import option
from lineage.cli.detect import CARD_DEFAULT
from lineage.find import find_model
from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import plural
from model_zoo.runtime.choice import Compute, Provider
from service.inference.bundled import REPOSITORY_HELP

if TYPE_CHECKING:
    from model_zoo.batch.run import Summary

ON_CPU: Final = "(default: one a core, or one in all on a GPU)"


def batch(
    sources: Annotated[tuple[str, ...], tyro.conf.Positional, option("SOURCE [SOURCE ...]")],
    *,
    output: Annotated[str, option("FOLDER")],
    model: Annotated[str | None, option("MODEL", hint="(default: the repository's only model)")] = None,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    score: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    iou: Annotated[float | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    nms: Annotated[Literal["diou", "iou"] | None, option(hint=CARD_DEFAULT)] = None,
    classes: Annotated[str | None, option("NAMES", hint="(default: all)")] = None,
    max_detections: Annotated[int | None, option("NUMBER", hint=CARD_DEFAULT)] = None,
    exact_decode: bool = False,
    output_format: Annotated[Literal["parquet", "coco"], option(name="format")] = "parquet",
    column: Annotated[str, option("NAME")] = "image",
    limit: Annotated[int | None, option("NUMBER")] = None,
    shard_size: int = 500,
    engine: Literal["local", "ray"] = "local",
    workers: Annotated[int | None, option("NUMBER", hint=ON_CPU)] = None,
    provider: Provider = "auto",
    compute: Compute = "auto",
) -> None:
    """Detect objects in whole data sets, and write Parquet or COCO files in shards.

    The same command resumes an interrupted run: no shard is lost or processed twice. An image that cannot be read is
    listed in faults-*.jsonl with the reason, and the other images are processed.

    Args:
        sources: Paths, or URLs such as s3://bucket/images. Folders, with all folders below them. Images and quoted
            patterns. Lists of images (.txt), Parquet files, and WebDataset shards (.tar).
        output: Folder for the results: a path, or a URL such as s3://bucket/results.
        model: NAME, NAME@VERSION or NAME@ALIAS in the repository, or an .onnx file that `lineage export` wrote.
        repository: Folder of the repository.
        score: Min score of a detection, from 0 to 1.
        iou: NMS threshold, from 0 to 1. Higher values allow more overlap between boxes.
        nms: Overlap measure of NMS: IoU, or DIoU, which also considers the distance between centers.
        classes: Only these classes, by name or index, separated by commas, such as person,car.
        max_detections: Max detections per image.
        exact_decode: Decode large JPEGs at full size. Default: reduced, where the model's input needs no more.
        output_format: Format of the results.
        column: Column of Parquet files with the bytes or the paths of images.
        limit: Only the first images.
        shard_size: Max images in a result file. A WebDataset shard is always one.
        engine: local for this machine, ray for a Ray cluster, which RAY_ADDRESS names.
        workers: Number of engines. On a CPU, each uses one core.
        provider: Execution provider of ONNX Runtime. auto: the fastest on this machine.
        compute: Precision of float32 files. auto: the fastest on this machine.
    """
    from model_zoo.batch.manifest import Options
    from model_zoo.batch.results import MAX_SHARD
    from model_zoo.batch.run import run_batch
    from model_zoo.batch.stores import absolute
    from model_zoo.contract.class_filter import parse_classes
    from model_zoo.contract.files import file_sha256
    from model_zoo.contract.pipeline import DISTANCE_WEIGHTS, make_query

    _check_range("--limit", limit, None)
    _check_range("--shard-size", shard_size, MAX_SHARD)
    _check_range("--workers", workers, None)
    package = find_model(model, repository)
    query = make_query(
        package.card,
        score=score,
        iou=iou,
        distance_weight=DISTANCE_WEIGHTS[nms] if nms else None,
        classes=parse_classes(classes) if classes else None,
        max_detections=max_detections,
    )
    options = Options(
        sources=tuple(dict.fromkeys(map(absolute, sources))),
        column=column,
        limit=limit,
        shard_size=shard_size,
        format=output_format,
        model=package.name,
        model_version=package.version,
        model_sha256=file_sha256(package.model_path),
        score=query.score,
        iou=query.iou,
        distance_weight=query.distance_weight,
        classes=None if query.class_ids is None else tuple(sorted(query.class_ids)),
        max_detections=query.max_detections,
        exact_decode=exact_decode,
        provider=provider,
        compute=compute,
    )
    summary = run_batch(output, package, options, engine=engine, workers=workers or _default_workers(provider))
    print(_describe(summary, output))


def _check_range(name: str, value: int | None, most: int | None) -> None:
    """Check that an option is a positive number.

    Raises:
        LineageError: It is not.
    """
    if value is not None and not 1 <= value <= (most or value):
        expected = f"from 1 to {most:,}" if most else "at least 1"
        raise LineageError(f"{name}: expected {expected}; got {value:,}")


def _default_workers(provider: Provider) -> int:
    """Return one worker a core, or one for a GPU."""
    from loky import cpu_count

    from model_zoo.runtime import sessions

    on_gpu = provider in ("cuda", "tensorrt") or (provider == "auto" and sessions.is_available("cuda"))
    return 1 if on_gpu else int(cpu_count())


def _describe(summary: Summary, output: str) -> str:
    """Return the result in lines: counts, and the throughput of each worker."""
    resumed = f", {summary.resumed_parts:,} of them from earlier runs" if summary.resumed_parts else ""
    lines = [
        f"{output}: {plural(summary.images, 'image')}, {plural(summary.detections, 'detection')}, "
        f"{plural(summary.faults, 'fault')} in {plural(summary.parts, 'part')}{resumed}",
        *(
            f"worker {w.worker}: {plural(w.images, 'image')}, {w.images_per_second:.1f} images/s"
            for w in summary.workers
        ),
    ]
    return "\n".join(lines)
