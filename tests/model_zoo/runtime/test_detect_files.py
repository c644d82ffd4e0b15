from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images.files import write_image
from model_zoo.contract.pipeline import make_query
from model_zoo.contract.repository import Repository
from model_zoo.runtime.detect_files import FileError, FileResult, detect_files, plan_copies, results_document
from model_zoo.runtime.model_file import open_model_file
from model_zoo.runtime.open import open_engine
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
    copies = plan_copies(paths, tmp_path / "out")
    results = list(detect_files(engine, make_query(package.card), paths, copies))
    engine.close()
    first, error, last = results
    assert isinstance(first, FileResult)
    assert isinstance(last, FileResult)
    assert error == FileError(paths[1], "No such file or directory")
    assert (first.path, first.size, last.path) == (paths[0], (32, 64), paths[2])
    assert len(first.detections) > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}

    document = results_document(package, results, 2.0)
    assert document["model"] == {"name": "toy", "version": 1}
    assert document["results"][1] == {"file": str(paths[1]), "error": {"detail": "No such file or directory"}}
    assert document["results"][0]["image"] == {"width": 64, "height": 32}
    assert document["timing_ms"]["total"] == 2000


def test_files_are_read_as_by_the_server(tmp_path: Path) -> None:
    """At a reduced size, the red columns are averaged."""
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    (tmp_path / "wide.jpg").write_bytes(striped_jpeg(512, 200))
    engine, query = open_engine(open_model_file(tmp_path / "toy.onnx")), make_query(toy_card(), score=0.001)
    scores: dict[bool, float] = {}
    for exact in (False, True):
        (result,) = detect_files(engine, query, [tmp_path / "wide.jpg"], exact=exact)
        assert isinstance(result, FileResult)
        assert result.size == (512, 512)
        scores[exact] = float(result.detections.scores.max())
    engine.close()
    assert scores[True] == pytest.approx(200 / 255, abs=0.03)
    assert scores[False] == pytest.approx(50 / 255, abs=0.03)


def test_copies_of_equal_names_are_numbered(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one/a.jpg", "two/a.jpg", "two/A.png", "two/A.JPG", "two/b.gif")]
    copies = plan_copies(paths, Path("out"))
    assert [str(copy) for copy in copies.values()] == [
        "out/a.jpg", "out/a-2.jpg", "out/A.png", "out/A-3.JPG", "out/b.gif.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_copies_never_overwrite_an_image(link: object, tmp_path: Path) -> None:
    image = save_image(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    link(image, tmp_path / "out" / "a.png")
    for folder in ("in", "out"):
        with pytest.raises(LineageError, match="choose another folder"):
            plan_copies([image], tmp_path / folder)
