"""Every generation is written, verified and built as a TensorRT plan in every precision."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from model_zoo.contract.card import Precision
from model_zoo.contract.repository import Repository
from model_zoo.convert import export_random, import_weights
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration
from model_zoo.export.card import build_export_card
from model_zoo.export.errors import ExportError
from model_zoo.export.options import ExportOptions
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.export.tensorrt import PlanOptions, build_plan
from model_zoo.export.write_model import write_model
from model_zoo.registry import build, variants
from model_zoo.weights import store
from tests.cpu.features import cannot_hide, run_module
from tests.exports import ExportedModel, feeds
from tests.model_zoo.batch_norms import randomize
from tests.model_zoo.export.int8_digest import digests

TEST_VARIANTS = [name for name in variants() if name.endswith("-test")]
PLAN = PlanOptions(batch=(1, 1, 2), compute_capabilities=("8.9",))
INITIALIZER_TYPES = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(synthetic_images((60, 90), 4)):
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


def build_test_variant(variant: str) -> Detector:
    torch.manual_seed(0)
    detector = build(variant, num_classes=3).eval()
    if detector.input_spec.dynamic:
        detector.resize((4 * detector.stride, 6 * detector.stride))
    return detector


def build_randomized(variant: str) -> Detector:
    detector = build_test_variant(variant)
    randomize(detector)
    return detector


def calibration_images(size: tuple[int, int], count: int) -> list[ImageBatch]:
    return [image[None] for image in synthetic_images(size, count)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", TEST_VARIANTS)
def test_every_family_exports_and_builds_in_fp32(variant: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    detector = build_test_variant(variant)
    card = build_export_card(detector, variant)
    report = write_model(detector, card, tmp_path / "model.onnx")
    assert report.detections > 0
    assert build_plan(tmp_path / "model.onnx", card, PLAN)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("variant", TEST_VARIANTS)
def test_every_family_runs_and_builds_in_low_precision(variant: str, precision: Precision, tmp_path: Path) -> None:
    detector, path = build_randomized(variant), tmp_path / "model.onnx"
    card = build_export_card(detector, variant, precision=precision)
    calibration = Calibration(calibration_images(card.input_size, 4)) if precision == "int8" else None
    report = write_model(detector, card, path, calibration=calibration)
    assert report.detections > 0
    model = onnx.load(path)
    types = Counter(initializer.data_type for initializer in model.graph.initializer)
    assert types[INITIALIZER_TYPES[precision]] > 5
    rows, counts = open_model(model).run(None, feeds(synthetic_images(card.input_size, 2), score=0.0))
    assert counts.min() > 0
    assert np.isfinite(rows).all()
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    assert build_plan(path, card, PLAN)


@pytest.mark.slow
def test_int8_package_contains_the_quantization_report(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, models = tmp_path / "tiny.safetensors", tmp_path / "models"
    store.save(build_randomized("yolov5-test"), weights)
    options = ExportOptions(precision="int8", calibration=image_folder)
    import_weights(weights, Repository(models), options=options, log=print)
    package = Repository(models).resolve("tiny")
    package.verify()
    names = {file.name for file in package.files}
    assert {name for name in names if not name.startswith("golden/")} == {
        *("card.json", "model.onnx", "model.quantization.json", "model.quantization.txt")
    }
    assert "golden/expected.json" in names
    assert (package.card.precision, package.card.output) == ("int8", "detections")
    report = json.loads((package.path / "model.quantization.json").read_text())
    ratios = [layer["sqnr_db"] for layer in report["layers"]]
    assert report["images"] == 4
    assert ratios == sorted(ratios)
    assert all((layer["precision"] == "int8") == (layer["sqnr_db"] >= 25) for layer in report["layers"])
    printed = capsys.readouterr().out
    assert report["layers"][0]["layer"] in printed
    assert f"{sum(ratio >= 25 for ratio in ratios)} of {len(ratios)} convolutions" in printed


@pytest.mark.slow
def test_raw_int8_export_ends_before_nms(image_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw.onnx"
    options = ExportOptions(precision="int8", calibration=image_folder, calibration_images=2, min_sqnr=0.0)
    export_random("yolov5-test", path, options, raw=True)
    model = onnx.load(path)
    assert [value.name for value in model.graph.output] == ["boxes", "scores"]
    ops = Counter(node.op_type for node in model.graph.node)
    assert ops["QuantizeLinear"] > ops["Conv"] > 10
    assert json.loads(path.with_suffix(".quantization.json").read_text())["images"] == 2


@pytest.mark.parametrize(("precision", "folder"), [("int8", None), ("fp32", Path("images")), ("fp16", Path("images"))])
def test_int8_and_calibration_require_each_other(precision: Precision, folder: Path | None, tmp_path: Path) -> None:
    path, given = tmp_path / "no.onnx", f"--calibration {folder}" if folder else "no --calibration"
    with pytest.raises(ExportError, match=f"together.* got --precision {precision} and {given}"):
        export_random("yolov5-test", path, ExportOptions(precision=precision, calibration=folder))
    assert not path.exists()


def test_int8_without_a_calibration_is_refused(tiny: ExportedModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected calibration images for precision int8"):
        write_model(tiny.detector, build_export_card(tiny.detector, "tiny", precision="int8"), tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_without_accurate_layers_is_refused(tiny: ExportedModel, tmp_path: Path) -> None:
    calibration = Calibration(calibration_images((128, 160), 2), min_sqnr_db=200.0)
    card = build_export_card(tiny.detector, "tiny", precision="int8")
    with pytest.raises(ExportError, match=r"expected a convolution .* at least 200 dB; the best has \d+\.\d"):
        write_model(tiny.detector, card, tmp_path / "no.onnx", calibration=calibration)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_files_do_not_depend_on_process_threads_or_kernels(tmp_path: Path) -> None:
    """The other process has AVX2 kernels only, if the CPU's other features can be hidden."""
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    other.mkdir()
    options = {"hidden_features": None if cannot_hide() else tmp_path, "PYTHONHASHSEED": "1"}
    printed = run_module("tests.model_zoo.export.int8_digest", str(other), "2", "0", **options)
    expected = digests(here)
    assert set(expected) == {"tiny.onnx", "tiny.quantization.json", "tiny.quantization.txt"}
    assert json.loads(printed) == expected
