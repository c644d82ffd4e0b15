"""Forms of images."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lineage.client.errors import ImageError
from lineage.client.inputs import encode_png, load, load_all
from model_zoo.contract.images import decode_image

FILE = b"\x89PNG..."
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILE)
    with path.open("rb") as file:
        loaded = [load(image) for image in (path, str(path), file)]
    assert [(image.name, image.data) for image in loaded] == [("a.png", FILE)] * 3


@pytest.mark.parametrize("image", [FILE, bytearray(FILE), memoryview(FILE), io.BytesIO(FILE)], ids=type)
def test_bytes_have_no_name(image: Any) -> None:
    assert (load(image).name, load(FILE).data) == (None, FILE)


def test_arrays_keep_every_pixel() -> None:
    assert np.array_equal(decode_image(load(PIXELS).data), PIXELS)
    mirrored = PIXELS[:, ::-1]  # not contiguous
    assert np.array_equal(decode_image(load(mirrored).data), mirrored)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pillow_images_keep_every_pixel(mode: str) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow").fromarray(PIXELS).convert(mode)
    assert np.array_equal(decode_image(load(image).data), np.asarray(image.convert("RGB")))


def test_file_that_cannot_be_read_is_an_image_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ImageError, match="File unreadable"):
            load(path)
    first, second = load_all([tmp_path / "missing.jpg", FILE])
    assert isinstance(first, ImageError)
    assert not isinstance(second, ImageError)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (7, "expected a path.*got int"),
        (None, "got NoneType"),
        (io.StringIO("x"), "binary mode"),
        (PIXELS.astype(np.float32), r"got float32 \(7, 9, 3\)"),
        (PIXELS[..., 0], r"got uint8 \(7, 9\)"),
        (PIXELS[None], "pass a list for several images"),
        (PIXELS[:0], r"got uint8 \(0, 9, 3\)"),
    ],
)
def test_other_objects_are_refused(image: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        load(image)


def test_missing_opencv_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ModuleNotFoundError, match="pip install opencv-python-headless"):
        encode_png(PIXELS)
    assert cv2 is not None
