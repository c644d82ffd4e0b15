"""Publish a finished model file or package in a repository, after checking that this machine can run it.

publish_model(Path("yolov5n.onnx"), Repository(Path("models")), "cars")
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from model_zoo.contract import manifest
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.package import Package, open_package
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_name
from model_zoo.export.options import check_golden_folder
from model_zoo.golden import write_golden
from model_zoo.runtime import sessions
from model_zoo.runtime.base import EngineOptions, Runtime, Shapes, blank_feeds, check_card
from model_zoo.runtime.golden import check_golden
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine

RUN_CONFIG: Final = "config.json"
EXPECTED: Final = "expected an .onnx file that `lineage export --output` has written, or the folder of a package"
WEIGHTS: Final = (".pt", ".pth", ".weights", ".safetensors")
PLANS: Final = (".engine", ".plan", ".trt")
ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz")
REPORTS: Final = (".quantization.txt", ".quantization.json")
INPUTS: Final = {
    "images": ("tensor(uint8)", 4),
    "score_threshold": ("tensor(float)", 1),
    "iou_threshold": ("tensor(float)", 1),
    "distance_weight": ("tensor(float)", 1),
}
OUTPUTS: Final = {"detections": ("tensor(float)", 3), "count": ("tensor(int32)", 1)}


def publish_model(
    source: str | Path,
    repository: Repository,
    name: str | None = None,
    *,
    shapes: Shapes = "auto",
    golden: Path | None = None,
) -> Package:
    """Publish an ONNX file of this project, or the folder of a package, as the next version of `name`.

    Args:
        source: File written by an export, or folder with manifest.json.
        repository: Repository to publish in. Its folder is created if needed.
        name: Name of the model. If omitted, the name in the card.
        shapes: Canvases to record in the card. auto: as it is.
        golden: Folder of images for the golden images. If omitted, those of the package, or synthetic ones.

    Raises:
        PackageError: the file is not one of this project, is damaged, or cannot be run on this machine.
        CardError: the file has no card.
        LineageError: the name is invalid.
    """
    check_name(name)
    check_golden_folder(golden)
    package = _open(Path(source))
    card = replace(package.card, name=package.card.name if name is None else name)
    if shapes != "auto":
        card = replace(card, shapes=shapes)
    _check_runs(package, str(source), card.shapes)
    files = _files(package)
    with tempfile.TemporaryDirectory() as folder:
        if card != package.card:
            files[manifest.MODEL] = Path(folder) / manifest.MODEL
            write_card(package.model_path, card, files[manifest.MODEL])
        if golden or manifest.EXPECTED not in files:
            files = {name: path for name, path in files.items() if not name.startswith(manifest.GOLDEN)}
            files |= write_golden(package.model_path, package.card, Path(folder), golden)
        return repository.publish(card, files)


def _open(source: Path) -> Package:
    """Open and verify the source as a package."""
    if (source / manifest.MANIFEST).is_file():
        package = open_package(
            source, source.parent.name or source.name, int(source.name) if source.name.isdigit() else 0
        )
        package.verify()
        return package
    if not source.is_file() or source.suffix.lower() in (*WEIGHTS, *PLANS, *ARCHIVES):
        raise PackageError(f"{source}: {EXPECTED}; {_reason(source)}")
    try:
        return open_model_file(source)
    except LineageError as error:
        raise PackageError(f"{source}: {EXPECTED}; {str(error).removeprefix(f'{source}: ')}") from error


def _files(package: Package) -> dict[str, Path]:
    """Return the files to publish by name, with the reports that an export writes next to a model file."""
    stem = package.model_path.with_suffix("")
    reports = {f"model{suffix}": stem.with_name(stem.name + suffix) for suffix in REPORTS}
    files = {file.name: package.path / file.name for file in package.files if file.name != manifest.CARD}
    return (
        {name: path for name, path in reports.items() if path.is_file()} | files | {manifest.MODEL: package.model_path}
    )


def _reason(source: Path) -> str:
    """Return what an unsuitable source is, and the command for it."""
    suffix = source.suffix.lower()
    if not source.exists():
        return "it does not exist"
    if (source / RUN_CONFIG).is_file():
        return f"this is the folder of a run: lineage export {source} --name NAME"
    if source.is_dir():
        return f"the folder has no {manifest.MANIFEST}{_packages_below(source)}"
    if suffix in WEIGHTS:
        return f"these are weights: lineage import {source} --name NAME"
    if suffix in PLANS:
        return "a plan needs the package of its model"
    return "unpack the archive first" if suffix in ARCHIVES else "it is no regular file"


def _packages_below(folder: Path) -> str:
    """Return a hint with the newest packages of a model or a repository."""
    found = [path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{manifest.MANIFEST}")]
    newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:3]
    return f"; did you mean {' or '.join(map(str, newest))}?" if newest else ""


def _check_runs(package: Package, label: str, shapes: Shapes) -> None:
    """Check inputs and outputs of the graph, and run it on a black image.

    The file is loaded from memory, so that one that keeps its weights in other files is refused.
    """
    check_card(package, sessions.read_card(package.model_path))
    session = sessions.make_session(package.model_path.read_bytes(), label=label, precision=package.card.precision)
    for kind, tensors, expected in (
        ("inputs", session.get_inputs(), INPUTS),
        ("outputs", session.get_outputs(), OUTPUTS),
    ):
        actual = {tensor.name: (tensor.type, len(tensor.shape)) for tensor in tensors}
        if actual != expected:
            raise PackageError(f"{label}: expected the {kind} {_describe(expected)}; got {_describe(actual)}")
    try:
        rows, count = session.run(list(OUTPUTS), blank_feeds(package.card.input_size, 1))
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise PackageError(f"{label}: ONNX Runtime cannot run it on a black image: {error}") from error
    if rows.shape[0] != 1 or rows.shape[2] != 6 or count.shape != (1,) or not np.isfinite(rows).all():
        raise PackageError(f"{label}: expected detections (1, K, 6) and count (1,); got {rows.shape} and {count.shape}")
    names = {file.name for file in package.files}
    if manifest.EXPECTED in names:
        _check_engine(package, "onnxruntime", shapes)
    if manifest.PLAN in names:
        _check_plan(package)


def _check_engine(package: Package, runtime: Runtime, shapes: Shapes = "auto") -> None:
    """Open a package as the server does, and run its golden images."""
    engine = open_engine(package, EngineOptions(runtime=runtime, shapes=shapes))
    try:
        check_golden(package, engine)
    finally:
        engine.close()


def _check_plan(package: Package) -> None:
    try:
        _check_engine(package, "tensorrt")
    except (LineageError, RuntimeError) as error:
        raise PackageError(
            f"{package.path / manifest.PLAN}: this machine cannot run the plan, so it must not become the newest "
            f"version ({error}); publish its {manifest.MODEL} alone, or build a plan here with "
            "lineage export --format tensorrt"
        ) from error


def write_card(source: Path, card: ModelCard, target: Path) -> None:
    """Copy an ONNX file with another card inside."""
    import onnx  # needed only for another card

    model = onnx.load(source, load_external_data=False)
    others = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, others | card.to_metadata())
    onnx.save(model, target)


def _describe(tensors: dict[str, tuple[str, int]]) -> str:
    return ", ".join(f"{name} {kind} with {rank} dimensions" for name, (kind, rank) in tensors.items()) or "none"
