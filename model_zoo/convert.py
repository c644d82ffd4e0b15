"""Convert weights: import them into a repository, export them to a file, build TensorRT plans.

package = import_weights(Path("yolov5n.pt"), Repository(Path("models")), log=print)
export_weights(Path("yolov5n.pt"), Path("yolov5n.onnx"), ExportOptions(precision="fp16"))
publish_plan(Repository(Path("models")), "yolov5n", PlanOptions())
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import onnx

from model_zoo.contract.card import ModelCard, Output
from model_zoo.contract.file_kind import describe
from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size, parse_size
from model_zoo.contract.licenses import checked_license
from model_zoo.contract.manifest import CARD, MODEL, PLAN
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_file_target, check_folder_target, check_name, name_from
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration, read_calibration_images
from model_zoo.export.card import build_export_card
from model_zoo.export.errors import ExportError
from model_zoo.export.log import Log, silent
from model_zoo.export.options import DEFAULT_EXPORT, ExportOptions, check_export_options
from model_zoo.export.plan_cache import build_or_load_plan
from model_zoo.export.tensorrt import PlanOptions, check_servable
from model_zoo.export.write_model import write_model
from model_zoo.golden import describe_golden, write_golden
from model_zoo.registry import build
from model_zoo.weights.importers import load_checkpoint


def import_weights(
    source: str | Path,
    repository: Repository,
    name: str | None = None,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    cfg: str | Path | None = None,
    names: str | Path | None = None,
    license: str | None = None,
    log: Log = silent,
) -> Package:
    """Export a checkpoint, check the file against the model, and publish it as the next version of `name`.

    Args:
        source: Checkpoint of the original program (.pt, .pth, .weights) or a .safetensors file.
        repository: Repository to publish in. Its folder is created if needed.
        name: Name of the model. If omitted, it is derived from the file name.
        options: Input size, precision and candidate limit.
        variant: Variant of the network. If omitted, it is identified from the weights.
        cfg: Darknet cfg that describes the network of a .weights file.
        names: File of class names, one a line, or a data.yaml. If omitted, those of the file.
        license: License of the weights (SPDX), recorded in the model card. If omitted, it is recognized if possible.
        log: Called with progress messages.

    Raises:
        LineageError: The file cannot be read, or fits no variant.
        ExportError: The exported file disagrees with the model.
    """
    check_name(name)
    check_export_options(options)
    check_folder_target(repository.root)
    detector = load_weights(source, options, variant=variant, cfg=cfg, names=names, license=license, log=log)
    card = _card(detector, name or name_from(source), options)
    with tempfile.TemporaryDirectory() as folder:
        _write(detector, card, Path(folder) / MODEL, options, log)
        files = {file.name: file for file in Path(folder).iterdir()}
        golden = write_golden(files[MODEL], card, Path(folder), options.golden)
        log(describe_golden(golden))
        return repository.publish(card, {**files, **golden})


def load_weights(
    source: str | Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    cfg: str | Path | None = None,
    names: str | Path | None = None,
    license: str | None = None,
    log: Log = silent,
) -> Detector:
    """Load a checkpoint at the input size of `options`, and log how its variant and license were identified."""
    license = license if license is None else checked_license(license)
    model = load_checkpoint(source, variant, cfg, names, license)
    for note in model.notes:
        log(note)
    _configure(model.detector, options)
    return model.detector


def export_weights(
    source: str | Path,
    target: str | Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    names: str | Path | None = None,
    license: str | None = None,
    raw: bool = False,
    log: Log = silent,
) -> ModelCard:
    """Export a checkpoint to an ONNX file and return its card. With `raw`, the graph ends before NMS.

    Raises:
        LineageError: The target cannot be written, or the source cannot be read. The target is checked first.
        ExportError: The exported file disagrees with the model.
    """
    _check_export(source, target, options)
    detector = load_weights(source, options, variant=variant, names=names, license=license, log=log)
    return _export(detector, Path(target), options, raw, log)


def export_random(
    variant: str,
    target: str | Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    raw: bool = False,
    log: Log = silent,
) -> ModelCard:
    """Export a variant with random weights, to measure its speed."""
    check_export_options(options)
    check_file_target(target)
    detector = build(variant)
    _configure(detector, options)
    return _export(detector, Path(target), options, raw, log)


def export_plan(model: str | Path, target: str | Path, options: PlanOptions, log: Log = silent) -> None:
    """Build a TensorRT plan for an exported ONNX file."""
    _check_export(model, target, DEFAULT_EXPORT)
    _write_plan(Path(model), _read_card(Path(model)), Path(target), options, log)


def publish_plan(repository: Repository, reference: str, options: PlanOptions, log: Log = silent) -> Package:
    """Build a plan for a published model, and publish both as the model's next version.

    Raises:
        ExportError: `lineage serve` cannot run such a plan.
    """
    check_servable(options)
    check_folder_target(repository.root)
    package = repository.resolve(reference)
    package.verify()
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / PLAN
        _write_plan(package.model_path, package.card, plan, options, log)
        files = {file.name: package.path / file.name for file in package.files if file.name != CARD}
        return repository.publish(package.card, {**files, PLAN: plan})


def _check_export(source: str | Path, target: str | Path, options: ExportOptions) -> None:
    """Raise LineageError if the options are unusable, or the target cannot be written or is the source."""
    check_export_options(options)
    check_file_target(target)
    if options.golden:
        raise ExportError("--golden: expected with a package; for a file, give it to lineage publish")
    if Path(source).resolve() == Path(target).resolve():
        raise ExportError(f"{target}: expected another file to write than the one to export")


def _configure(detector: Detector, options: ExportOptions) -> None:
    """Set the input size and the canvases."""
    if size := parse_size(options.image_size):
        detector.resize(size)
    if options.shapes != "auto":
        detector.input_spec = replace(detector.input_spec, shapes=options.shapes)


def _card(detector: Detector, name: str, options: ExportOptions, output: Output = "detections") -> ModelCard:
    return build_export_card(detector, name, output=output, precision=options.precision, candidates=options.candidates)


def _export(detector: Detector, target: Path, options: ExportOptions, raw: bool, log: Log) -> ModelCard:
    card = _card(detector, name_from(target), options, output="raw" if raw else "detections")
    _write(detector, card, target, options, log)
    return card


def _write(detector: Detector, card: ModelCard, path: Path, options: ExportOptions, log: Log) -> None:
    """Write the ONNX file of a card, and log its size and how far it agrees with the model."""
    calibration = _calibration(card, options)
    log(f"{card.variant}: {card.params:,} parameters, {card.gflops:g} GFLOPs at {format_size(card.input_size)}")
    report = write_model(detector, card, path, log, calibration)
    log(
        f"agrees with the model: {report.file}; {report.detections} detections equal to those of the reference NMS, "
        f"no prediction dropped above score {report.dropped_score:.1g}"
    )
    log(f"wrote {path.name}, {path.stat().st_size / 1e6:.1f} MB, {card.precision}")


def _calibration(card: ModelCard, options: ExportOptions) -> Calibration | None:
    """Read the calibration images of an int8 export."""
    if options.calibration is None:
        return None
    images = read_calibration_images(options.calibration, card, options.calibration_images)
    return Calibration(images, options.min_sqnr)


def _read_card(path: Path) -> ModelCard:
    if not path.is_file():
        raise ExportError(f"expected an ONNX file; {path} does not exist")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors have no base class that onnx exports
        raise ExportError(f"{path}: expected an ONNX file; got {describe(path)} ({error})") from error
    return ModelCard.from_metadata({entry.key: entry.value for entry in model.metadata_props})


def _write_plan(model: Path, card: ModelCard, target: Path, options: PlanOptions, log: Log) -> None:
    write_atomic(target, build_or_load_plan(model, card, options, log))
    log(f"wrote {target}, {target.stat().st_size / 1e6:.1f} MB; the plan has not been run")
