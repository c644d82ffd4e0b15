"""Results as drawn images and in the forms of other libraries."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.results import ImageResult, save_video, with_image
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import decode_image
from tests.videos import read_video

BOXES = np.array([[1.5, 2, 30.25, 40], [0, 0, 10, 10]], np.float32)
FOUND = Detections(BOXES, np.array([0.875, 0.5], np.float32), np.array([1, 0]))
RESULT = ImageResult((48, 64), FOUND, ["green", "red"], "toy@1", "a.png")
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
EMPTY = ImageResult((48, 64), NOTHING, [], "toy@1")


def test_dict_has_the_form_of_the_service() -> None:
    assert len(RESULT) == 2
    assert json.loads(json.dumps(RESULT.to_dict())) == {
        "model": "toy@1",
        "file": "a.png",
        "image": {"width": 64, "height": 48},
        "detections": [
            {"box": [1.5, 2.0, 30.25, 40.0], "score": 0.875, "class_id": 1, "label": "green"},
            {"box": [0.0, 0.0, 10.0, 10.0], "score": 0.5, "class_id": 0, "label": "red"},
        ],
    }
    assert [detection["label"] for detection in RESULT] == ["green", "red"]
    assert EMPTY.to_dict()["detections"] == []


def test_coco_has_boxes_as_width_and_height() -> None:
    first, _ = RESULT.to_coco(7)
    assert first == {"image_id": 7, "category_id": 1, "bbox": [1.5, 2.0, 28.75, 38.0], "score": 0.875}
    assert [entry["category_id"] for entry in RESULT.to_coco(7, {0: 18, 1: 44})] == [44, 18]
    assert EMPTY.to_coco(7) == []


@pytest.mark.slow  # supervision takes long to import
def test_supervision_has_class_names() -> None:
    pytest.importorskip("supervision", reason="needs supervision")
    found = RESULT.to_supervision()
    assert np.array_equal(found.xyxy, BOXES)
    assert found.confidence.tolist() == [0.875, 0.5]
    assert found.class_id.tolist() == [1, 0]
    assert found["class_name"].tolist() == ["green", "red"]
    assert found[found["class_name"] == "red"].xyxy.tolist() == [[0, 0, 10, 10]]
    assert len(EMPTY.to_supervision()) == 0


@pytest.mark.slow  # so does pandas
def test_pandas_has_a_row_for_each_detection() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = RESULT.to_pandas()
    assert list(frame.columns) == ["file", "x1", "y1", "x2", "y2", "score", "class_id", "label"]
    assert frame.iloc[0].tolist() == ["a.png", 1.5, 2.0, 30.25, 40.0, 0.875, 1, "green"]
    assert len(pandas.concat([frame, EMPTY.to_pandas()])) == 2


@pytest.mark.parametrize("package", ["supervision", "pandas"])
def test_missing_package_is_explained(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"to_{package} needs {package}; run: pip install {package}"):
        getattr(RESULT, f"to_{package}")()


def test_text_counts_the_objects() -> None:
    assert repr(RESULT) == "<ImageResult a.png 64x48, toy@1: 1 green, 1 red>"
    assert repr(EMPTY) == "<ImageResult image 64x48, toy@1: no objects>"


def test_drawing_needs_the_same_image(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    drawn = with_image(RESULT, pixels).plot()
    assert np.array_equal(drawn, RESULT.plot(pixels))
    assert np.array_equal(drawn, RESULT.plot(Image.fromarray(pixels)))
    with pytest.raises(ValueError, match=r"pass it: plot\(image\)"):
        with_image(RESULT, io.BytesIO()).plot()
    with pytest.raises(ValueError, match="expected 64 x 48 pixels, as when detected; got 48 x 64"):
        RESULT.plot(pixels.swapaxes(0, 1))
    with pytest.raises(ImageError, match=r"ends in one of \.jpg .*got '\.gif'"):
        RESULT.save(tmp_path / "a.gif", pixels)


def test_notebooks_show_the_image() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    shown = with_image(RESULT, pixels)
    assert np.array_equal(decode_image(shown._repr_png_() or b""), shown.plot())
    assert RESULT._repr_png_() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, LineageError])
def test_video_of_results_that_end_with_an_error_is_kept(error: type[BaseException], tmp_path: Path) -> None:
    def results() -> Iterator[ImageResult]:
        for number in range(3):
            yield replace(EMPTY, image=np.zeros((48, 64, 3), np.uint8), frame=number, time=number / 10)
        raise error

    pytest.importorskip("av", reason="videos need the extra `video`")
    with pytest.raises(error):
        save_video(tmp_path / "a.mp4", results())
    assert len(read_video(tmp_path / "a.mp4")) == 3


def test_name_of_a_video_ends_in_mp4(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.avi: expected a path that ends in \.mp4"):
        save_video(tmp_path / "a.avi", [])
