"""`lineage export`: write weights to a file, or publish a run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from lineage.cli.arguments import option
from lineage.cli.published import print_published
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_file_target, name_from
from model_zoo.export.errors import ExportError
from model_zoo.export.options import DEFAULT_EXPORT, ExportOptions
from model_zoo.export.tensorrt import PlanOptions

RUN_CONFIG = "config.json"  # the file that makes a folder a run
SUFFIXES = {"onnx": ".onnx", "tensorrt": ".engine"}


@dataclass(frozen=True)
class FileOptions:
    """Options of an export to a file."""

    output: Annotated[Path | None, option("FILE")] = None
    """File to write. If omitted, the source's name in the current folder. A plan of a repository model is published."""
    format: Literal["onnx", "tensorrt"] = "onnx"
    """Format of the file: ONNX, or a TensorRT plan built from it."""
    raw: bool = False
    """End the graph before NMS: boxes and scores of all predictions."""
    variant: Annotated[str | None, option("VARIANT")] = None
    """Variant of the network, if it cannot be identified."""
    names: Annotated[Path | None, option("FILE")] = None
    """Class names: a .names file with one a line, or a data.yaml. If omitted, those of the weights file."""
    random_weights: bool = False
    """Treat the source as the name of a variant, and export it untrained, to measure its speed."""


@dataclass(frozen=True)
class RunOptions:
    """Options of publishing a run."""

    name: Annotated[str | None, option("NAME")] = None
    """Runs only: name in the repository. If omitted, the run's. An existing name gets a new version."""
    data: Annotated[Path | None, option("DATASET")] = None
    """Runs only: dataset to evaluate on. If omitted, the run's."""
    largest_drop: float = 0.005
    """Runs only: max difference by which the exported file's AP may be lower than the model's."""


@dataclass(frozen=True)
class CardOptions:
    """Options of the model card."""

    license: Annotated[str | None, option("SPDX")] = None
    """License of the weights, recorded in the model card. If omitted, it is recognized, or that of a run's parents."""


FILE, RUN, PLAN, ANY_CARD = FileOptions(), RunOptions(), PlanOptions(), CardOptions()


def export(
    source: Annotated[str, tyro.conf.Positional, option("SOURCE")],
    *,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    options: Annotated[ExportOptions, option(name="")] = DEFAULT_EXPORT,
    file: Annotated[FileOptions, option(name="")] = FILE,
    run: Annotated[RunOptions, option(name="")] = RUN,
    card: Annotated[CardOptions, option(name="")] = ANY_CARD,
    plan: PlanOptions = PLAN,
) -> None:
    """Export weights to a file, or publish a trained run.

    The folder of a run is published: its best weights are exported, checked and evaluated, and added to a repository. A
    weights file is exported to a file in the current folder. With --format tensorrt, an .onnx file or a model of the
    repository gets a TensorRT plan.

    Args:
        source: Folder of a run, a weights file, an .onnx file, a model of the repository, or a variant.
        repository: Folder of the repository, created if needed.
        options: Options of the exported network.
        file: Options of an export to a file.
        run: Options of publishing a run.
        card: Options of the model card.
        plan: Options of a TensorRT plan.
    """
    if (Path(source) / RUN_CONFIG).is_file():
        _reject(_changed(file, FILE) + _changed(plan, PLAN, "plan."), f"{source} is the folder of a run")
        _publish(Path(source), repository, options, run, card.license)
        return
    _reject(_changed(run, RUN), _no_run(source))
    if source.endswith(".onnx") or not (file.random_weights or Path(source).is_file()):
        _reject(_changed(card, ANY_CARD), "a plan has the card of its model")
        _plan(source, repository, file, plan)
    else:
        _export(source, options, file, plan, card.license)


def _publish(folder: Path, repository: Path, options: ExportOptions, run: RunOptions, license: str | None) -> None:
    from training.run.publish import publish_run

    supported = replace(
        DEFAULT_EXPORT, precision=options.precision, candidates=options.candidates, golden=options.golden
    )
    _reject(_changed(options, supported), f"{folder} is the folder of a run")
    if options.precision == "int8":
        raise LineageError("--precision: expected fp32 or fp16 for a run; for int8, import its best.safetensors")
    package = publish_run(
        folder,
        Repository(repository),
        run.name,
        precision=options.precision,
        candidates=options.candidates,
        largest_drop=run.largest_drop,
        data=run.data,
        license=license,
        golden=options.golden,
        log=print,
    )
    print_published(package, repository)


def _export(source: str, options: ExportOptions, file: FileOptions, plan: PlanOptions, license: str | None) -> None:
    target = _target(source, file)
    if file.format == "onnx":
        _export_onnx(source, target, options, file, license)
        return
    from model_zoo.convert import export_plan

    check_file_target(target)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{name_from(target)}.onnx"
        _export_onnx(source, model, options, file, license)
        export_plan(model, target, plan, print)


def _export_onnx(source: str, target: Path, options: ExportOptions, file: FileOptions, license: str | None) -> None:
    from model_zoo.convert import export_random, export_weights

    if file.random_weights:
        _reject(["--license"] * bool(license) + ["--names"] * bool(file.names), "random weights have neither")
        export_random(source, target, options, raw=file.raw, log=print)
    else:
        export_weights(
            Path(source),
            target,
            options,
            variant=file.variant,
            names=file.names,
            license=license,
            raw=file.raw,
            log=print,
        )


def _plan(source: str, repository: Path, file: FileOptions, plan: PlanOptions) -> None:
    """Build a plan for an .onnx file or a model of the repository."""
    from model_zoo.convert import export_plan, publish_plan

    is_file = source.endswith(".onnx")
    if file.format == "onnx":
        raise ExportError(
            f"{source} is an ONNX file already; export again from its weights, or give --format tensorrt"
            if is_file
            else f"expected a weights file or the folder of a run; {source} is neither. A model of the repository "
            "can be exported with --format tensorrt only, and a variant with --random-weights"
        )
    if is_file:
        export_plan(Path(source), _target(source, file), plan, print)
    elif file.output:
        package = Repository(repository).resolve(source)
        package.verify()
        export_plan(package.model_path, file.output, plan, print)
    else:
        package = publish_plan(Repository(repository), source, plan, print)
        print(f"published {package.name}@{package.version} in {package.path}")


def _target(source: str, file: FileOptions) -> Path:
    return file.output or Path(Path(source).stem + SUFFIXES[file.format])


def _changed(options: Any, defaults: Any, prefix: str = "") -> list[str]:
    """List the flags whose values differ from the defaults."""
    names = [f.name for f in fields(options) if getattr(options, f.name) != getattr(defaults, f.name)]
    return [f"--{prefix}{name.replace('_', '-')}" for name in names]


def _no_run(source: str) -> str:
    if Path(source).exists():
        return f"{source} is not the folder of a run (no {RUN_CONFIG} in it)"
    return f"it needs the folder of a run, and {source} does not exist"


def _reject(flags: list[str], reason: str) -> None:
    if flags:
        raise LineageError(f"{', '.join(flags)}: not supported here, because {reason}")
