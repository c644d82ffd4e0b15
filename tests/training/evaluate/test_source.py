"""Models to evaluate: packages run as in the server, files and folders open or are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime import int8, sessions
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine
from tests.http_evaluation import average_precision_through_http
from tests.service.app_client import serving
from tests.tiny_onnx import toy_card, toy_onnx
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.evaluation import EvaluationImages, evaluate
from training.evaluate.source import engine_run, open_source

FORMS = pytest.mark.parametrize("is_x86", [True, False], ids=["uint8 activations", "int8 activations"])


@FORMS
def test_int8_package_scores_the_same_through_http(
    int8_package: Package, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, is_x86: bool
) -> None:
    monkeypatch.setattr(int8, "_is_x86", lambda: is_x86)
    evaluated, served = evaluate_both_ways(int8_package, dataset)
    assert 0.2 < evaluated < 0.99  # int8 finds most objects of the float32 network but not all
    assert served == pytest.approx(evaluated, abs=1e-6)


@pytest.mark.slow
@FORMS
def test_official_int8_package_scores_the_same_through_http(
    int8_yolov5n: Package, shared: Path, monkeypatch: pytest.MonkeyPatch, is_x86: bool
) -> None:
    monkeypatch.setattr(int8, "_is_x86", lambda: is_x86)
    dataset = open_dataset(shared / "data" / "coco_mini")
    evaluated, served = evaluate_both_ways(int8_yolov5n, dataset)
    assert evaluated > 0.2
    assert served == pytest.approx(evaluated, abs=1e-6)


def test_evaluation_and_service_create_the_same_sessions(
    int8_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[dict[str, object]] = []
    make_session = sessions.make_session
    monkeypatch.setattr(
        sessions, "make_session", lambda *args, **options: created.append(options) or make_session(*args, **options)
    )
    repository = int8_package.path.parents[1]
    open_source("tiny", repository)
    evaluated, created[:] = created.copy(), []
    with serving(Repository(repository)):
        pass
    assert len(evaluated) >= 1
    assert sorted(map(str, evaluated)) == sorted(map(str, created))


def evaluate_both_ways(package: Package, dataset: Dataset) -> tuple[float, float]:
    """Return the AP of the first split by evaluation and through HTTP."""
    repository, split = package.path.parents[1], next(iter(dataset.splits))
    source = open_source(package.name, repository)
    images = EvaluationImages(dataset.split(split).records, source.card, batch=5, canvases=source.canvases)
    evaluated = evaluate(source.card, source.run, dataset, images).metrics.ap
    with serving(Repository(repository)) as client:
        return evaluated, average_precision_through_http(client, dataset, package.name, split)


def test_batches_are_split_for_the_engine(int8_package: Package) -> None:
    engine = open_engine(int8_package, EngineOptions(provider="cpu", workers=2))
    images = np.random.default_rng(0).integers(0, 256, (5, *engine.card.input_size, 3), dtype=np.uint8)
    query = pipeline.make_query(engine.card)
    items = [pipeline.preprocess(engine.card, image) for image in images]
    rows, counts = engine_run(engine)(pipeline.collate(items, [query] * 5))
    assert engine.max_batch == 1
    for item, image_rows, count in zip(items, rows, counts, strict=True):
        (single_rows,), (single_count,) = engine.run(pipeline.collate([item], [query]))
        assert count == single_count
        np.testing.assert_array_equal(image_rows, single_rows)


def test_onnx_file_runs_at_another_size(int8_package: Package) -> None:
    source = open_source(str(int8_package.model_path), Path("unused"), image_size=(192, 224))
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    item = pipeline.preprocess(source.card, image)
    assert item.pixels.shape == (192, 224, 3)
    rows, _ = source.run(pipeline.collate([item], [pipeline.make_query(source.card)]))
    assert rows.shape[::2] == (1, 6)


def test_other_size_is_refused_for_a_fixed_input_size(repository: Repository, tmp_path: Path) -> None:
    card = toy_card(dynamic_size=False)
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(card))
    with pytest.raises(LineageError, match="toy: expected the fixed input size 64 x 64; got 96 x 96"):
        open_source(str(tmp_path / "toy.onnx"), repository.root, image_size=(96,))


def test_damaged_package_is_refused(toy: Package, repository: Repository) -> None:
    contents = toy.model_path.read_bytes()
    toy.model_path.write_bytes(contents[:-1] + b"!")
    with pytest.raises(PackageError, match=r"toy@1: model\.onnx is damaged"):
        open_source("toy", repository.root)


def test_missing_sources_are_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=r"expected a training run folder with best\.safetensors"):
        open_source(str(tmp_path), repository.root)
    with pytest.raises(LineageError, match=r"none\.onnx: no such file"):
        open_source(str(tmp_path / "none.onnx"), repository.root)
    with pytest.raises(LineageError, match="no model 'none'"):
        open_source("none", repository.root)
