"""`lineage batch`: detect objects in whole data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from lineage.cli.arguments import option
from lineage.cli.query_options import MODEL_DEFAULTS, QueryOptions
from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import plural
from model_zoo.runtime.choice import Compute, Provider

if TYPE_CHECKING:
    from model_zoo.batch.run import Summary

ON_CPU: Final = "(default: one a core, or one in all on a GPU)"


def batch(
    sources: Annotated[tuple[str, ...], tyro.conf.Positional, option("SOURCE [SOURCE ...]")],
    *,
    output: Annotated[str, option("FOLDER")],
    options: Annotated[QueryOptions, option(name="")] = MODEL_DEFAULTS,
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
        options: The model, and what it reports.
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
    from model_zoo.contract.files import file_sha256

    _check_range("--limit", limit, None)
    _check_range("--shard-size", shard_size, MAX_SHARD)
    _check_range("--workers", workers, None)
    package, query = options.resolve()
    manifest = Options(
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
        exact_decode=options.exact_decode,
        provider=provider,
        compute=compute,
    )
    summary = run_batch(output, package, manifest, engine=engine, workers=workers or _default_workers(provider))
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
