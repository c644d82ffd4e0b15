"""The official yolov5n, imported and exported, detects what the original program detects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package
from model_zoo.convert import export_weights
from model_zoo.export.options import ExportOptions
from model_zoo.export.tensorrt import PlanOptions, build_plan
from tests.exports import feeds, official_yolov5n

IMAGES = ("000000303818_320", "000000303818_640", "000000456496_640")
PARAMETERS = 1_867_405  # of the deployed form, by the published table


@pytest.fixture(scope="module")
def package(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return official_yolov5n(tmp_path_factory, shared)


@pytest.fixture(scope="module")
def model(package: Package) -> ort.InferenceSession:
    return ort.InferenceSession(package.model_path, providers=["CPUExecutionProvider"])


def reference(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (1, H, W, 3) and the reference's detections (n, 6)."""
    with np.load(shared / "weights" / f"yolov5n_{name}.npz") as data:
        return np.ascontiguousarray(data["input_u8"].transpose(1, 2, 0)[None]), data["dets"]


@pytest.mark.parametrize("name", IMAGES)
def test_detections_equal_the_original_program(model: ort.InferenceSession, shared: Path, name: str) -> None:
    images, expected = reference(shared, name)
    rows, counts = model.run(None, feeds(images, score=0.25, iou=0.45, weight=0.0))
    detections = rows[0, : counts[0]]
    assert len(detections) == len(expected)
    np.testing.assert_array_equal(detections[:, 5], expected[:, 5])
    np.testing.assert_allclose(detections[:, :4], expected[:, :4], atol=0.01)
    np.testing.assert_allclose(detections[:, 4], expected[:, 4], atol=1e-4)


@pytest.mark.parametrize("size", [2, 8, 32])
def test_detections_do_not_depend_on_the_batch(model: ort.InferenceSession, shared: Path, size: int) -> None:
    images, expected = reference(shared, "000000303818_320")
    rng = np.random.default_rng(size)
    position = int(rng.integers(size))
    batch = np.stack([np.roll(images[0], tuple(rng.integers(0, 320, 2)), (0, 1)) for _ in range(size)])
    batch[position] = images[0]
    thresholds = rng.uniform(0.001, 0.9, (3, size))
    thresholds[:, position] = 0.25, 0.45, 0.0
    rows, counts = model.run(None, feeds(batch, *thresholds))
    assert counts[position] == len(expected)
    np.testing.assert_allclose(rows[position, : counts[position]], expected, atol=0.01)


def test_package_card_describes_the_model(package: Package, model: ort.InferenceSession) -> None:
    card = package.card
    assert card == ModelCard.from_metadata(model.get_modelmeta().custom_metadata_map)
    assert (card.variant, card.input_size, card.stride, card.class_names[0]) == ("yolov5n", (640, 640), 32, "person")
    assert (card.params, round(card.gflops, 1)) == (PARAMETERS, 4.5)
    assert card.weights.origin == "yolov5n.pt"
    assert card.weights.sha256.startswith("4f180cf2")
    assert card.tools["torch"]


@pytest.mark.slow
def test_fp16_detections_equal_and_plans_build(
    package: Package, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plans are built for two GPU generations. They are not run."""
    path = tmp_path / "half.onnx"
    export_weights(shared / "weights" / "yolov5n.pt", path, ExportOptions(precision="fp16"), log=print)
    assert "agrees with the model" in capsys.readouterr().out
    assert path.stat().st_size < 0.6 * package.model_path.stat().st_size
    images, expected = reference(shared, "000000456496_640")
    half = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows, counts = half.run(None, feeds(images, score=0.25, iou=0.45, weight=0.0))
    assert counts[0] == len(expected)
    np.testing.assert_array_equal(rows[0, : counts[0], 5], expected[:, 5])
    np.testing.assert_allclose(rows[0, : counts[0], :4], expected[:, :4], atol=1)
    np.testing.assert_allclose(rows[0, : counts[0], 4], expected[:, 4], atol=0.01)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    for capability in ("7.5", "8.9"):
        options = PlanOptions(batch=(1, 4, 8), compute_capabilities=(capability,))
        assert len(build_plan(path, replace(package.card, precision="fp16"), options)) > 1_000_000
