"""Image sheets for reports: images of training batches with their boxes.

Sheets are bounded for images of any number and shape: at most MAX_IMAGES cells of WIDTH x MAX_HEIGHT pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.drawing import draw_boxes
from model_zoo.contract.errors import LineageError
from training.batch import Batch
from training.report.text import shorten

Image = NDArray[np.uint8]  # (H, W, 3) RGB
WIDTH = 480  # max pixels of an image on a sheet
MAX_HEIGHT = 960
MAX_IMAGES = 32
GAP = 6
MAX_JPEG_SIDE = 65_500  # of the format
WHITE = 255


def batch_sheet(batch: Batch, class_names: Sequence[str], max_images: int = 16, columns: int = 4) -> Image:
    """Return a sheet of the images of a training batch with their target boxes."""

    def draw_images() -> Iterator[Image]:
        for i, image in enumerate(batch.images[:max_images].numpy()):
            mask = (batch.targets.image_index == i).numpy()
            boxes = batch.targets.boxes.numpy()[mask].astype(np.float32)
            yield draw_labeled(image, boxes, batch.targets.class_ids.numpy()[mask], class_names)

    return make_sheet(draw_images(), columns)


def draw_labeled(
    image: Image,
    boxes: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    class_names: Sequence[str],
    marks: Sequence[str] = (),
) -> Image:
    """Return an image at its size on a sheet with boxes, class names and marks after the names, if any."""
    fitted = fit(image)
    texts = [shorten(class_names[i]) for i in class_ids.tolist()]
    texts = [text + mark for text, mark in zip(texts, marks or [""] * len(texts), strict=True)]
    return draw_boxes(fitted, scale_boxes(boxes, image, fitted), class_ids, texts)


def make_sheet(images: Iterable[Image], columns: int) -> Image:
    """Arrange the first MAX_IMAGES images in rows, each as large as fits its cell. Columns are as wide as needed."""
    fitted = [fit(image) for image in islice(images, MAX_IMAGES)]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    heights = [max(len(image) for image in row) + GAP for row in rows]
    widths = [max(image.shape[1] for image in fitted[i::columns]) + GAP for i in range(min(columns, len(fitted)))]
    canvas = np.full((max(sum(heights), GAP), max(sum(widths), GAP), 3), WHITE, dtype=np.uint8)
    for row, top in zip(rows, np.cumsum([0, *heights]).tolist(), strict=False):
        for image, left in zip(row, np.cumsum([0, *widths]).tolist(), strict=False):
            canvas[top : top + len(image), left : left + image.shape[1]] = image
    return canvas


def fit(image: Image) -> Image:
    """Scale an image to the largest size that fits a cell of a sheet."""
    height, width = image.shape[:2]
    scale = min(WIDTH / width, MAX_HEIGHT / height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    if size == (width, height):
        return image
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)


def encode_jpeg(image: Image) -> bytes:
    """Encode an RGB image as JPEG of moderate quality.

    Raises:
        LineageError: The image is too large for the format.
    """
    height, width = image.shape[:2]
    if max(height, width) > MAX_JPEG_SIDE:
        raise LineageError(f"expected an image of at most {MAX_JPEG_SIDE:,} pixels a side; got {width} x {height}")
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def scale_boxes(boxes: NDArray[np.float32], image: Image, fitted: Image) -> NDArray[np.float32]:
    """Scale boxes in pixels of an image to those of its fitted form."""
    scale = [fitted.shape[1] / image.shape[1], fitted.shape[0] / image.shape[0]] * 2
    return boxes * np.asarray(scale, dtype=np.float32)
