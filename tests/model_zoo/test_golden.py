"""Golden images of exported models: small, reproducible, and right on every runtime of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from model_zoo.contract.errors import ImageError
from model_zoo.contract.golden import read
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.golden import write_golden
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.golden import check_golden
from model_zoo.runtime.open import open_engine
from model_zoo.runtime.select import has_openvino
from tests.cpu.features import cannot_hide, run_module
from tests.exports import ExportedModel, official_yolov5n, tiny_export

MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return tiny_export(tmp_path_factory)


@pytest.fixture
def package(tiny: ExportedModel, tmp_path: Path) -> Package:
    files = write_golden(tiny.path, tiny.card, tmp_path)
    return Repository(tmp_path / "models").publish(tiny.card, {"model.onnx": tiny.path, **files})


def test_images_are_small_and_have_some_tens_of_detections(package: Package) -> None:
    golden = read(package)
    assert golden
    assert {case.image for case in golden.cases} == {"1.png", "2.png", "3.png"}
    assert {case.canvas for case in golden.cases} > {package.card.input_size}
    assert all(8 <= len(case.detections) <= 120 for case in golden.cases)
    assert sum(file.size for file in package.files if file.name.startswith("golden/")) < MAX_BYTES


def test_images_are_reproducible(package: Package, tiny: ExportedModel, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    again = write_golden(tiny.path, tiny.card, tmp_path / "again")
    assert {name: path.read_bytes() for name, path in again.items()} == {
        name: (package.path / name).read_bytes() for name in again
    }


@pytest.mark.parametrize("shapes", ["square", "buckets"])
@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_engines_agree(package: Package, provider: str, shapes: str) -> None:
    if provider == "openvino" and not has_openvino():
        pytest.skip("OpenVINO is not installed")
    assert check_golden(package, open_engine(package, EngineOptions(provider=provider, shapes=shapes))) == 3


def test_images_of_a_user_are_made_smaller(tiny: ExportedModel, tmp_path: Path) -> None:
    for i in range(5):
        noise = np.random.default_rng(i).integers(0, 256, (700, 900, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), noise)
    (tmp_path / "out").mkdir()
    files = write_golden(tiny.path, tiny.card, tmp_path / "out", tmp_path)
    assert set(files) == {"golden/1.jpg", "golden/2.jpg", "golden/3.jpg", "golden/expected.json"}
    assert cv2.imread(str(files["golden/1.jpg"])).shape == (249, 320, 3)


@pytest.mark.parametrize("contents", [None, b"no image"])
def test_unusable_image_of_a_user_is_named(tiny: ExportedModel, tmp_path: Path, contents: bytes | None) -> None:
    if contents:
        (tmp_path / "bad.png").write_bytes(contents)
    with pytest.raises(ImageError, match=r"--golden: .*(bad\.png|no images in this folder)"):
        write_golden(tiny.path, tiny.card, tmp_path / "out", tmp_path)


def test_raw_export_has_no_golden_images(tiny: ExportedModel, tmp_path: Path) -> None:
    assert write_golden(tiny.path, replace(tiny.card, output="raw"), tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("max_weight_step", [64, 127])
def test_saturating_int8_kernels_are_refused(shared: Path, tmp_path: Path, max_weight_step: int) -> None:
    """Full-range weights saturate in the kernels of CPUs with AVX2 alone, and only there."""
    if reason := cannot_hide():
        pytest.skip(reason)
    repository = str(tmp_path / "models")
    run_module("tests.model_zoo.int8_import", str(max_weight_step), str(shared), repository)
    assert main(["models", "verify", "--repository", repository]) == 0
    module, hidden = "tests.model_zoo.int8_import", tmp_path
    refused = run_module(module, "verify", repository, hidden_features=hidden).splitlines()[-1]
    assert json.loads(refused) == (max_weight_step == 127)


@pytest.mark.slow
def test_official_weights_agree_on_every_runtime(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> None:
    package = official_yolov5n(tmp_path_factory, shared)
    for provider in ("cpu", "openvino"):
        for shapes in ("square", "buckets"):
            engine = open_engine(package, EngineOptions(provider=provider, shapes=shapes))
            assert check_golden(package, engine) == 3
            engine.close()
