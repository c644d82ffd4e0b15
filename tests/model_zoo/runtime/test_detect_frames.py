from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.images.files import write_image
from model_zoo.contract.pipeline import make_query
from model_zoo.contract.repository import Repository
from model_zoo.runtime.detect_frames import FrameError, FrameResult, detect_frames, results_document
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
from model_zoo.sources.open import open_sources
from tests.images import striped_jpeg
from tests.tiny_onnx import toy_card, toy_onnx


def save_image(path: Path) -> Path:
    write_image(path, np.full((32, 64, 3), (250, 100, 20), dtype=np.uint8))
    return path


def test_results_come_in_order_with_errors_among_them(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card("toy")))
    package = Repository(tmp_path / "models").publish(toy_card("toy"), {"model.onnx": tmp_path / "toy.onnx"})
    paths = [save_image(tmp_path / "a.png"), tmp_path / "gone.png", save_image(tmp_path / "b.png")]
    engine = open_engine(package)
    results = list(detect_frames(engine, make_query(package.card), open_sources(paths)))
    engine.close()
    first, error, last = results
    assert isinstance(first, FrameResult)
    assert isinstance(last, FrameResult)
    assert isinstance(error, FrameError)
    assert error.reason == "No such file or directory"
    assert [result.frame.source for result in results] == list(map(str, paths))
    assert first.size == (32, 64)
    assert len(first.detections) > 0

    document = results_document(package, results)
    assert document["model"] == {"name": "toy", "version": 1}
    assert document["results"][1] == {"file": str(paths[1]), "error": {"detail": "No such file or directory"}}
    assert document["results"][0]["image"] == {"width": 64, "height": 32}
    assert set(document["timing_ms"]) == {"decode", "queue", "infer", "total"}


def test_files_are_read_as_by_the_server(tmp_path: Path) -> None:
    """At a reduced size, the red columns are averaged."""
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    (tmp_path / "wide.jpg").write_bytes(striped_jpeg(512, 200))
    engine, query = open_engine(open_model_file(tmp_path / "toy.onnx")), make_query(toy_card(), score=0.001)
    scores: dict[bool, float] = {}
    for exact in (False, True):
        (result,) = detect_frames(engine, query, open_sources([tmp_path / "wide.jpg"]), exact=exact)
        assert isinstance(result, FrameResult)
        assert result.size == (512, 512)
        scores[exact] = float(result.detections.scores.max())
    engine.close()
    assert scores[True] == pytest.approx(200 / 255, abs=0.03)
    assert scores[False] == pytest.approx(50 / 255, abs=0.03)
