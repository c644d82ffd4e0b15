"""Every generation goes the whole way in fp16 and int8; the command takes int8 the whole way into a package."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from benchmarks.precision import SMALLEST
from model_zoo.contract.card import Precision
from model_zoo.contract.package import Repository
from model_zoo.convert import export_random, import_weights
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration
from model_zoo.export.card import build_export_card
from model_zoo.export.errors import ExportError
from model_zoo.export.model_file import write_model
from model_zoo.export.options import ExportOptions
from model_zoo.export.parity import pictures, session
from model_zoo.export.tensorrt import PlanOptions, build_plan
from model_zoo.registry import build, families, family_of, variants
from model_zoo.weights import store
from tests.model_zoo.batch_norms import randomize
from tests.model_zoo.export.conftest import Exported, feeds


def test_the_smallest_of_every_generation_is_measured() -> None:
    assert {family_of(variant) for variant in SMALLEST} == set(families())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(pictures((60, 90), 4)):
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    return folder


def tiny(variant: str) -> Detector:
    torch.manual_seed(0)
    detector = build(variant, num_classes=3)
    randomize(detector)
    if detector.input_spec.dynamic:
        detector.resize((4 * detector.stride, 6 * detector.stride))
    return detector


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("variant", [name for name in variants() if name.endswith("-test")])
def test_tiny_variants_run_in_onnx_runtime_and_build(variant: str, precision: Precision, tmp_path: Path) -> None:
    detector, path = tiny(variant), tmp_path / "model.onnx"
    card = build_export_card(detector, variant, precision=precision)
    shown = Calibration([picture[None] for picture in pictures(card.input_size, 4)]) if precision == "int8" else None
    report = write_model(detector, card, path, calibration=shown)
    assert report.detections > 0
    model = onnx.load(path)
    kinds = Counter(initializer.data_type for initializer in model.graph.initializer)
    assert kinds[onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.INT8] > 5
    rows, counts = session(model).run(None, feeds(pictures(card.input_size, 2), score=0.0))
    assert counts.min() > 0
    assert np.isfinite(rows).all()
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    assert build_plan(path, card, PlanOptions(batch=(1, 1, 2), compute_capabilities=("8.9",)))


@pytest.mark.slow
def test_int8_is_published_with_what_it_costs(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, models = tmp_path / "tiny.safetensors", tmp_path / "models"
    store.save(tiny("yolov5-test"), weights)
    import_weights(weights, Repository(models), options=ExportOptions(precision="int8", calibration=photos), log=print)
    package = Repository(models).resolve("tiny")
    package.verify()
    assert {file.name for file in package.files} == {
        *("card.json", "model.onnx", "model.quantization.json", "model.quantization.txt")
    }
    assert (package.card.precision, package.card.output) == ("int8", "detections")
    cost = json.loads((package.path / "model.quantization.json").read_text())
    noise = [layer["sqnr_db"] for layer in cost["layers"]]
    assert cost["pictures"] == 4
    assert noise == sorted(noise)
    assert all((layer["precision"] == "int8") == (layer["sqnr_db"] >= 25) for layer in cost["layers"])
    told = capsys.readouterr().out
    assert cost["layers"][0]["layer"] in told
    assert f"{sum(ratio >= 25 for ratio in noise)} of {len(noise)} convolutions" in told


@pytest.mark.slow
def test_int8_stops_before_nms_where_it_is_asked_to(photos: Path, tmp_path: Path) -> None:
    path, options = (
        tmp_path / "raw.onnx",
        ExportOptions(precision="int8", calibration=photos, calibration_images=2, min_sqnr=0.0),
    )
    export_random("yolov5-test", path, options, raw=True)
    model = onnx.load(path)
    assert [value.name for value in model.graph.output] == ["boxes", "scores"]
    ops = Counter(node.op_type for node in model.graph.node)
    assert ops["QuantizeLinear"] > ops["Conv"] > 10
    assert json.loads(path.with_suffix(".quantization.json").read_text())["pictures"] == 2


@pytest.mark.parametrize(("precision", "folder"), [("int8", None), ("fp32", Path("photos")), ("fp16", Path("photos"))])
def test_int8_and_its_pictures_come_together(precision: Precision, folder: Path | None, tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    with pytest.raises(ExportError, match=f"together.* got --precision {precision} and --calibration {folder}"):
        export_random("yolov5-test", path, ExportOptions(precision=precision, calibration=folder))
    assert not path.exists()


def test_int8_without_a_calibration_is_refused(toy_file: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected calibration pictures for precision int8"):
        write_model(
            toy_file.detector, build_export_card(toy_file.detector, "toy", precision="int8"), tmp_path / "no.onnx"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_network_that_int8_would_ruin_is_not_written(toy_file: Exported, tmp_path: Path) -> None:
    shown = [picture[None] for picture in pictures((128, 160), 2)]
    card = build_export_card(toy_file.detector, "toy", precision="int8")
    with pytest.raises(ExportError, match=r"expected a convolution of at least 200 dB; the best has \d+\.\d"):
        write_model(toy_file.detector, card, tmp_path / "no.onnx", calibration=Calibration(shown, min_sqnr_db=200.0))
    assert not list(tmp_path.iterdir())
