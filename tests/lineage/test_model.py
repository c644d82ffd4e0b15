"""Detection in this process."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import lineage
from lineage.model import Model
from model_zoo.contract.errors import ImageError, LineageError, PackageError, QueryError
from model_zoo.contract.package import Package
from tests.conftest import ROOT
from tests.images import damaged_jpeg
from tests.service.app_client import png
from tests.service.conftest import flat, toy_package
from tests.service.deploy.wire import listening
from tests.videos import frame_of, read_video, write_video

__all__ = ["toy_package"]

GREEN = flat(0, 200, 0)


@pytest.fixture(scope="module")
def root(toy_package: Package) -> Path:
    return toy_package.path.parents[1]


@pytest.fixture(scope="module")
def model(root: Path) -> Iterator[Model]:
    with lineage.load(root) as loaded:
        yield loaded


def test_every_form_of_an_image_gives_the_same_result(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    path.write_bytes(png(GREEN))
    with path.open("rb") as file:
        forms: list[Any] = [path, str(path), path.read_bytes(), file, GREEN]
        results = [model.detect(form) for form in forms]
    assert [result.to_dict()["detections"] for result in results] == [results[0].to_dict()["detections"]] * 5
    assert [result.file for result in results] == ["green.png", "green.png", None, "green.png", None]
    assert results[0].labels, "the toy model must find something"
    assert set(results[0].timing_ms) == {"decode", "infer"}


def test_results_are_those_of_the_client(model: Model, toy_package: Package, root: Path) -> None:
    from model_zoo.contract.repository import Repository

    images = [png(flat(200, 100, 0)), b"none", png(GREEN)]
    options: dict[str, Any] = {"score": 0.1, "iou": 0.6, "nms": "iou", "classes": ["green", "red"], "max_detections": 2}
    with listening(Repository(root)) as port, lineage.Client(f"http://localhost:{port}") as client:
        remote = client.detect(images, **options)
    local = model.detect(images, **options)
    assert [type(result) is lineage.ImageResult for result in remote] == [True, False, True]
    for ours, theirs in zip(local, remote, strict=True):
        if isinstance(theirs, lineage.ImageResult):
            assert isinstance(ours, lineage.ImageResult)
            assert ours.to_dict() == theirs.to_dict()
            assert np.array_equal(ours.plot(), theirs.plot())
        else:
            assert isinstance(ours, lineage.ImageError)
            assert isinstance(theirs, lineage.ImageError)


def test_many_images_are_taken_as_needed(model: Model) -> None:
    taken = []

    def images() -> Iterator[bytes]:
        for i in range(100):
            taken.append(i)
            yield png(flat(i, 200, 0))

    results = model.detect_many(images())
    first = next(results)
    assert isinstance(first, lineage.ImageResult)
    assert len(taken) < 10
    assert len(list(results)) == 99


def test_drawn_images(model: Model, tmp_path: Path) -> None:
    result = model.detect(GREEN)
    assert result.plot().shape == GREEN.shape
    assert not np.array_equal(result.plot(), GREEN)
    saved = result.save(tmp_path / "new" / "drawn.png")
    assert np.array_equal(cv2.imread(str(saved))[..., ::-1], result.plot())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score": 2}, QueryError, "score: expected a number from"),
        ({"classes": ["dog"]}, QueryError, "dog"),
        ({"nms": "soft"}, ValueError, "nms: expected diou or iou; got 'soft'"),
        ({"threshold": 0.3}, TypeError, "threshold"),
    ],
)
def test_bad_option_is_refused(model: Model, options: dict[str, Any], error: type[Exception], message: str) -> None:
    for call in (model.detect, model.detect_many):
        with pytest.raises(error, match=message):
            call([GREEN], **options)


def test_bad_images_are_refused(model: Model, tmp_path: Path) -> None:
    for image in (tmp_path / "missing.jpg", b"none", tmp_path):
        with pytest.raises(ImageError, match="expected"):
            model.detect(image)
    with pytest.raises(TypeError, match="pass a list for several images"):
        model.detect(GREEN[None])
    with pytest.raises(TypeError, match="expected several"):
        model.detect_many("photo.jpg")


def test_damage_is_a_warning(model: Model) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.detect(damaged_jpeg())
    assert ["the JPEG is damaged" in str(warning.message) for warning in caught] == [True]


def test_models_are_found(toy_package: Package, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(*arguments: Any) -> str:
        with lineage.load(*arguments) as model:
            return model.reference

    name, expected = toy_package.name, toy_package.reference
    assert {reference(root), reference(root, name), reference(str(root), expected)} == {expected}
    assert reference(toy_package.model_path) == f"{name}@0"
    monkeypatch.chdir(tmp_path)
    assert reference() == "ui-elements@1"
    (tmp_path / "models").symlink_to(root)
    assert {reference(), reference(name)} == {expected}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.onnx",), "no such file"),
        (("missing",), "missing"),
        (("missing", "toy"), "no such folder; expected a model repository"),
        ((".",), "the model repository . is empty"),
        ((ROOT / "README.md",), "expected an ONNX file"),
    ],
)
def test_missing_models_are_explained(
    arguments: tuple[Any, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PackageError, match=message):
        lineage.load(*arguments)
    assert issubclass(PackageError, LineageError)


def test_engine_needs_no_client() -> None:
    heavy = ["fastapi", "httpx2", "starlette", "torch", "tyro", "uvicorn"]
    program = f"import sys; sys.modules.update(dict.fromkeys({heavy})); import lineage; print(lineage.load)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stream_yields_every_frame_of_a_video(model: Model, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", map(frame_of, range(6)))
    results = list(model.detect_stream(path, score=0.1))
    assert [result.frame for result in results] == list(range(6))
    assert [result.time for result in results] == pytest.approx([i / 10 for i in range(6)])
    expected = [model.detect(pixels, score=0.1) for pixels in read_video(path)]
    assert [result.to_dict()["detections"] for result in results] == [r.to_dict()["detections"] for r in expected]
    assert results[1].to_dict()["file"] == str(path)
    assert results[1].to_dict()["frame"] == 1
    drawn = lineage.save_video(tmp_path / "drawn.mp4", results)
    assert [frame.shape for frame in read_video(drawn)] == [(64, 64, 3)] * 6


def test_stream_can_be_tracked(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("trackers", reason="tracking needs trackers")
    path = write_video(tmp_path / "clip.mp4", map(frame_of, [9] * 3))
    results = list(model.detect_stream(path, track=True, score=0.1))
    assert 1 in results[2].detections.tracks()
    assert next(model.detect_stream(path)).detections.track_ids is None


def test_video_needs_a_result(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need the extra `video`")
    with pytest.raises(ValueError, match="expected at least one result"):
        lineage.save_video(tmp_path / "a.mp4", [])
