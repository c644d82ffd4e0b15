"""Convert weights: import them into a repository, export them to a file, build TensorRT plans.

package = import_weights(Path("yolov5n.pt"), Repository(Path("models")), log=print)
export_weights(Path("yolov5n.pt"), Path("yolov5n.onnx"), ExportOptions(precision="fp16"))
publish_plan(Repository(Path("models")), "yolov5n", PlanOptions())
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from model_zoo.contract.card import ModelCard, Output, WeightsOrigin
from model_zoo.contract.image_size import format_size, parse_size
from model_zoo.contract.manifest import CARD, MODEL
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration, read_calibration_images
from model_zoo.export.card import build_export_card
from model_zoo.export.errors import ExportError
from model_zoo.export.log import Log, silent
from model_zoo.export.options import DEFAULT_EXPORT, ExportOptions
from model_zoo.export.plan_cache import build_or_load_plan
from model_zoo.export.tensorrt import PlanOptions
from model_zoo.export.write_model import write_model
from model_zoo.registry import build
from model_zoo.weights.importers import load_checkpoint

PLAN = "model.engine"


def import_weights(
    source: Path,
    repository: Repository,
    name: str | None = None,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    cfg: Path | None = None,
    license: str = "unknown",
    log: Log = silent,
) -> Package:
    """Export a checkpoint, check the file against the model, and publish it as the next version of `name`.

    Args:
        source: Checkpoint of the original program (.pt, .pth, .weights) or a .safetensors file.
        repository: Repository to publish in. Its folder is created if needed.
        name: Name of the model. If omitted, the stem of the file name.
        options: Input size, precision and candidate limit.
        variant: Variant of the network. If omitted, it is identified from the weights.
        cfg: Darknet cfg that describes the network of a .weights file.
        license: License of the weights (SPDX), recorded in the model card.
        log: Called with progress messages.

    Raises:
        LineageError: The file cannot be read, or fits no variant.
        ExportError: The exported file disagrees with the model.
    """
    detector, origin = load_weights(source, options, variant=variant, cfg=cfg, license=license, log=log)
    card = _card(detector, name or source.stem, options, weights=origin)
    with tempfile.TemporaryDirectory() as folder:
        _write(detector, card, Path(folder) / MODEL, options, log)
        return repository.publish(card, {file.name: file for file in Path(folder).iterdir()})


def load_weights(
    source: Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    cfg: Path | None = None,
    license: str = "unknown",
    log: Log = silent,
) -> tuple[Detector, WeightsOrigin]:
    """Load a checkpoint at the input size of `options`, and log how its variant was identified."""
    model = load_checkpoint(source, variant, cfg)
    for note in model.notes:
        log(note)
    _resize(model.detector, options)
    return model.detector, WeightsOrigin(license, source.name, model.sha256)


def export_weights(
    source: Path,
    target: Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    variant: str | None = None,
    raw: bool = False,
    log: Log = silent,
) -> ModelCard:
    """Export a checkpoint to an ONNX file and return its card. With `raw`, the graph ends before NMS."""
    detector, origin = load_weights(source, options, variant=variant, log=log)
    return _export(detector, origin, target, options, raw, log)


def export_random(
    variant: str,
    target: Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    raw: bool = False,
    log: Log = silent,
) -> ModelCard:
    """Export a variant with random weights, to measure its speed."""
    detector = build(variant)
    _resize(detector, options)
    return _export(detector, WeightsOrigin(origin="random"), target, options, raw, log)


def export_plan(model: Path, target: Path, options: PlanOptions, log: Log = silent) -> None:
    """Build a TensorRT plan for an exported ONNX file."""
    _write_plan(model, _read_card(model), target, options, log)


def publish_plan(repository: Repository, reference: str, options: PlanOptions, log: Log = silent) -> Package:
    """Build a plan for a published model, and publish both as the model's next version."""
    package = repository.resolve(reference)
    package.verify()
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / PLAN
        _write_plan(package.model_path, package.card, plan, options, log)
        files = {file.name: package.path / file.name for file in package.files if file.name != CARD}
        return repository.publish(package.card, {**files, PLAN: plan})


def _resize(detector: Detector, options: ExportOptions) -> None:
    if size := parse_size(options.image_size):
        detector.resize(size)


def _card(
    detector: Detector, name: str, options: ExportOptions, *, weights: WeightsOrigin, output: Output = "detections"
) -> ModelCard:
    return build_export_card(
        detector, name, output=output, precision=options.precision, candidates=options.candidates, weights=weights
    )


def _export(
    detector: Detector, origin: WeightsOrigin, target: Path, options: ExportOptions, raw: bool, log: Log
) -> ModelCard:
    card = _card(detector, target.stem, options, weights=origin, output="raw" if raw else "detections")
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
    """Read the calibration images of an int8 export.

    Raises:
        ExportError: Only one of --precision int8 and --calibration is given.
    """
    if (card.precision == "int8") != (options.calibration is not None):
        raise ExportError(
            "expected --precision int8 and --calibration FOLDER together, with a folder of images similar to those "
            f"the model will see; got --precision {card.precision} and --calibration {options.calibration}"
        )
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
        raise ExportError(f"{path}: expected an ONNX file; it cannot be parsed ({error})") from error
    return ModelCard.from_metadata({entry.key: entry.value for entry in model.metadata_props})


def _write_plan(model: Path, card: ModelCard, target: Path, options: PlanOptions, log: Log) -> None:
    target.write_bytes(build_or_load_plan(model, card, options, log))
    log(f"wrote {target}, {target.stat().st_size / 1e6:.1f} MB; the plan has not been run")
