"""`lineage import` and `lineage export`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import onnx
import tyro

from model_zoo.contract.card import ModelCard, Output, WeightsOrigin
from model_zoo.contract.manifest import CARD, MODEL
from model_zoo.contract.package import Repository
from model_zoo.detector import Detector
from model_zoo.export.calibration import MAX_PICTURES, MIN_SQNR_DB, Calibration, read_pictures
from model_zoo.export.errors import ExportError
from model_zoo.export.model_file import describe, write_model
from model_zoo.export.onnx import MAX_CANDIDATES
from model_zoo.export.parity import Report
from model_zoo.export.plan_cache import plan_for
from model_zoo.export.tensorrt import PlanOptions
from model_zoo.registry import build
from model_zoo.weights.importers import load_checkpoint

PLAN = "model.engine"
ANY_PLAN = PlanOptions()
ImageSize = tuple[int, ...]
ExportPrecision = Literal["fp32", "fp16", "int8"]
SUFFIXES = {"onnx": ".onnx", "tensorrt": ".engine"}


@dataclass(frozen=True)
class Int8Options:
    """What precision int8 is measured on.

    Attributes:
        calibration: Folder of pictures such as the model will see, for --precision int8; some hundred are enough.
        calibration_pictures: Most pictures taken of that folder, evenly spread over their names.
        min_sqnr: Layers stay float32 where int8 alone leaves them a lower ratio of signal to rounding noise, in dB.
    """

    calibration: Path | None = None
    calibration_pictures: int = MAX_PICTURES
    min_sqnr: float = MIN_SQNR_DB


NO_CALIBRATION = Int8Options()


def import_model(
    source: tyro.conf.Positional[Path],
    *,
    name: str | None = None,
    repository: Path = Path("models"),
    variant: str | None = None,
    cfg: Path | None = None,
    image_size: ImageSize = (),
    precision: ExportPrecision = "fp32",
    int8: Annotated[Int8Options, tyro.conf.arg(name="")] = NO_CALIBRATION,
    candidates: int = MAX_CANDIDATES,
    license: str = "unknown",
    explain: bool = False,
) -> None:
    """Take official weights into a repository: recognize, convert, export, compare with the model, publish.

    Args:
        source: Checkpoint of the original program (.pt, .pth, .weights) or a .safetensors file.
        name: Name in the repository; by default the file's.
        repository: Folder of the models; made where it is absent.
        variant: What the network is, where it is not recognized.
        cfg: Darknet's description of the network of a .weights file; needed where it is none of the known ones.
        image_size: Input size in pixels, one number for a square or height and width; by default the network's own.
        precision: Precision of the network inside the file; int8 needs --calibration.
        int8: What precision int8 is measured on.
        candidates: Most predictions of one image that enter NMS; a multiple of 128.
        license: License of the weights (SPDX), written into the model card.
        explain: Tell how the network was recognized, and stop there.
    """
    detector, weights = _load(source, variant, image_size, license, cfg)
    if explain:
        height, width = detector.input_spec.size
        print(f"family {detector.family}, variant {detector.variant}, input {height} x {width}; nothing was published")
        return
    card = describe(detector, name or source.stem, precision=precision, candidates=candidates, weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        _write(detector, card, Path(folder) / MODEL, int8)
        package = Repository(repository).publish(card, {file.name: file for file in Path(folder).iterdir()})
    print(f"published {package.name}@{package.version} in {package.path}")
    print(f"serve it: lineage serve --repository {repository}")


def export_model(
    source: tyro.conf.Positional[str],
    *,
    output: Path | None = None,
    format: Literal["onnx", "tensorrt"] = "onnx",
    raw: bool = False,
    precision: ExportPrecision = "fp32",
    int8: Annotated[Int8Options, tyro.conf.arg(name="")] = NO_CALIBRATION,
    variant: str | None = None,
    image_size: ImageSize = (),
    candidates: int = MAX_CANDIDATES,
    random_weights: bool = False,
    repository: Path = Path("models"),
    plan: PlanOptions = ANY_PLAN,
) -> None:
    """Write a model in another form or precision.

    Args:
        source: A weights file; with --random-weights a variant such as yolov5n; with --format tensorrt also an .onnx
            file, or a model of the repository.
        output: File to write; by default named after the source, in the current folder; for a model of the repository
            its next version, which then has the plan.
        format: ONNX, or a TensorRT plan built from it.
        raw: Stop before NMS: boxes and scores of all predictions.
        precision: Precision of the network inside the file; int8 needs --calibration.
        int8: What precision int8 is measured on.
        variant: What the network is, where it is not recognized.
        image_size: Input size in pixels, one number for a square or height and width; by default the network's own.
        candidates: Most predictions of one image that enter NMS; a multiple of 128.
        random_weights: Take `source` as a variant and leave it untrained, to measure it or to try it out.
        repository: Folder of the models.
        plan: What a TensorRT plan is built for.
    """
    path = Path(source)
    target = output or Path(path.name).with_suffix(SUFFIXES[format])
    if path.suffix == ".onnx":
        return _write_plan(_onnx_for(path, format), _card_of(path), target, plan)
    if not random_weights and not path.is_file():
        return _plan_package(Repository(repository), source, format, output, plan)
    detector, weights = _untrained(source, image_size) if random_weights else _load(path, variant, image_size)
    form: Output = "raw" if raw else "detections"
    card = describe(detector, target.stem, output=form, precision=precision, candidates=candidates, weights=weights)
    model = target.with_suffix(SUFFIXES["onnx"])
    _write(detector, card, model, int8)
    if format == "tensorrt":
        _write_plan(model, card, target, plan)
    return None


def _load(
    source: Path, variant: str | None, image_size: ImageSize, license: str = "unknown", cfg: Path | None = None
) -> tuple[Detector, WeightsOrigin]:
    found = load_checkpoint(source, variant, cfg)
    for note in found.notes:
        print(note)
    _resize(found.detector, image_size)
    return found.detector, WeightsOrigin(license, source.name, found.sha256)


def _untrained(variant: str, image_size: ImageSize) -> tuple[Detector, WeightsOrigin]:
    detector = build(variant)
    _resize(detector, image_size)
    return detector, WeightsOrigin(origin="random")


def _resize(detector: Detector, image_size: ImageSize) -> None:
    if len(image_size) > 2:
        raise ExportError(f"--image-size: expected one number, or height and width; got {image_size}")
    if image_size:
        detector.resize((image_size[0], image_size[-1]))


def _write(detector: Detector, card: ModelCard, path: Path, int8: Int8Options) -> None:
    """Write the ONNX file and tell what it is and how it was proved."""
    height, width = card.input_size
    calibration = _calibration(card, int8)
    print(f"{card.variant}: {card.params:,} parameters, {card.gflops:g} GFLOPs at {height} x {width}")
    report = write_model(detector, card, path, print, calibration)
    print(_proof(report))
    print(f"wrote {path.name}, {path.stat().st_size / 1e6:.1f} MB, {card.precision}")


def _calibration(card: ModelCard, options: Int8Options) -> Calibration | None:
    """Read the pictures for int8; a folder without int8, and int8 without a folder, are mistakes."""
    if (card.precision == "int8") != (options.calibration is not None):
        raise ExportError(
            "expected --precision int8 and --calibration FOLDER together, a folder of pictures such as the model will "
            f"see; got --precision {card.precision} and --calibration {options.calibration}"
        )
    if options.calibration is None:
        return None
    pictures = read_pictures(options.calibration, card, options.calibration_pictures)
    return Calibration(pictures, options.min_sqnr)


def _proof(report: Report) -> str:
    return (
        f"same as the model: {report.file}; {report.detections} detections as the contract's NMS gives them, "
        f"no prediction lost above score {report.lost:.1g}"
    )


def _onnx_for(path: Path, format: str) -> Path:
    if format == "onnx":
        raise ExportError(f"{path} is an ONNX file already; export again from the weights it was made of")
    if not path.is_file():
        raise ExportError(f"expected an ONNX file; there is none at {path}")
    return path


def _card_of(path: Path) -> ModelCard:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, which has no base outside protobuf
        raise ExportError(f"{path}: expected an ONNX file; it cannot be read ({error})") from error
    return ModelCard.from_metadata({entry.key: entry.value for entry in model.metadata_props})


def _write_plan(model: Path, card: ModelCard, target: Path, options: PlanOptions) -> None:
    target.write_bytes(plan_for(model, card, options, print))
    print(f"wrote {target}, {target.stat().st_size / 1e6:.1f} MB; it has not been run")


def _plan_package(
    repository: Repository, reference: str, format: str, output: Path | None, options: PlanOptions
) -> None:
    """Build a plan for a model of the repository: into a file, or into its next version."""
    if format == "onnx":
        raise ExportError(
            f"expected a weights file; there is none at {reference}; a model of the repository can be exported with "
            "--format tensorrt alone, and a variant with --random-weights"
        )
    package = repository.resolve(reference)
    package.verify()
    if output:
        return _write_plan(package.model_path, package.card, output, options)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / PLAN
        _write_plan(package.model_path, package.card, plan, options)
        files = {file.name: package.path / file.name for file in package.files if file.name != CARD}
        published = repository.publish(package.card, {**files, PLAN: plan})
    return print(f"published {published.name}@{published.version} in {published.path}")
