"""The main job on real weights and real photos: official yolov5n in, one file out, the reference's detections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package, Repository
from model_zoo.convert import export_weights, import_weights
from model_zoo.export.options import ExportOptions
from model_zoo.export.tensorrt import PlanOptions, build_plan
from tests.model_zoo.export.conftest import feeds

PHOTOS = ("000000303818_320", "000000303818_640", "000000456496_640")
PARAMETERS = 1_867_405  # of the deployed form, by the published table


@pytest.fixture(scope="module")
def package(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The official checkpoint, imported as a user does."""
    return import_weights(shared / "weights" / "yolov5n.pt", Repository(tmp_path_factory.mktemp("models")), "yolov5n")


@pytest.fixture(scope="module")
def model(package: Package) -> ort.InferenceSession:
    return ort.InferenceSession(package.model_path, providers=["CPUExecutionProvider"])


def photo(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (1, H, W, 3) and the reference's detections (n, 6)."""
    with np.load(shared / "weights" / f"yolov5n_{name}.npz") as reference:
        return np.ascontiguousarray(reference["input_u8"].transpose(1, 2, 0)[None]), reference["dets"]


@pytest.mark.parametrize("name", PHOTOS)
def test_detections_are_the_references(model: ort.InferenceSession, shared: Path, name: str) -> None:
    images, wanted = photo(shared, name)
    rows, counts = model.run(None, feeds(images, score=0.25, iou=0.45, weight=0.0))
    found = rows[0, : counts[0]]
    assert len(found) == len(wanted)
    np.testing.assert_array_equal(found[:, 5], wanted[:, 5])
    np.testing.assert_allclose(found[:, :4], wanted[:, :4], atol=0.01)
    np.testing.assert_allclose(found[:, 4], wanted[:, 4], atol=1e-4)


@pytest.mark.parametrize("size", [2, 8, 32])
def test_a_photo_is_answered_in_any_batch_as_alone(model: ort.InferenceSession, shared: Path, size: int) -> None:
    images, wanted = photo(shared, "000000303818_320")
    rng = np.random.default_rng(size)
    place = int(rng.integers(size))
    batch = np.stack([np.roll(images[0], tuple(rng.integers(0, 320, 2)), (0, 1)) for _ in range(size)])
    batch[place] = images[0]
    asked = rng.uniform(0.001, 0.9, (3, size))
    asked[:, place] = 0.25, 0.45, 0.0
    rows, counts = model.run(None, feeds(batch, *asked))
    assert counts[place] == len(wanted)
    np.testing.assert_allclose(rows[place, : counts[place]], wanted, atol=0.01)


def test_the_package_says_what_it_is(package: Package, model: ort.InferenceSession) -> None:
    card = package.card
    assert card == ModelCard.from_metadata(model.get_modelmeta().custom_metadata_map)
    assert (card.variant, card.input_size, card.stride, card.class_names[0]) == ("yolov5n", (640, 640), 32, "person")
    assert (card.params, round(card.gflops, 1)) == (PARAMETERS, 4.5)
    assert card.weights.origin == "yolov5n.pt"
    assert card.weights.sha256.startswith("4f180cf2")
    assert card.tools["torch"]


def test_half_precision_says_the_same_and_becomes_a_plan(
    package: Package, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plans are built for two generations of GPU; there is none here, so whether they are right is not shown."""
    path = tmp_path / "half.onnx"
    export_weights(shared / "weights" / "yolov5n.pt", path, ExportOptions(precision="fp16"), log=print)
    assert "agrees with the model" in capsys.readouterr().out
    assert path.stat().st_size < 0.6 * package.model_path.stat().st_size
    images, wanted = photo(shared, "000000456496_640")
    half = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows, counts = half.run(None, feeds(images, score=0.25, iou=0.45, weight=0.0))
    assert counts[0] == len(wanted)
    np.testing.assert_array_equal(rows[0, : counts[0], 5], wanted[:, 5])
    np.testing.assert_allclose(rows[0, : counts[0], :4], wanted[:, :4], atol=1)
    np.testing.assert_allclose(rows[0, : counts[0], 4], wanted[:, 4], atol=0.01)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    for capability in ("7.5", "8.9"):
        options = PlanOptions(batch=(1, 4, 8), compute_capabilities=(capability,))
        assert len(build_plan(path, replace(package.card, precision="fp16"), options)) > 1_000_000
