"""Image sheets for reports: training batches, and ground truth beside detections."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.detections import Detections
from model_zoo.contract.drawing import draw, draw_boxes
from model_zoo.contract.images import decode_image
from training.batch import Batch
from training.data.dataset import Record

Image = NDArray[np.uint8]  # (H, W, 3) RGB
WIDTH = 480  # pixels of each image on a sheet
GAP = 6
WHITE = 255


def batch_sheet(batch: Batch, class_names: Sequence[str], max_images: int = 16, columns: int = 4) -> Image:
    """Return a sheet of the images of a training batch with their target boxes."""
    images = []
    for i, image in enumerate(batch.images[:max_images].numpy()):
        mask = (batch.targets.image_index == i).numpy()
        boxes = batch.targets.boxes.numpy()[mask].astype(np.float32)
        images.append(_draw_targets(image, boxes, batch.targets.class_ids.numpy()[mask], class_names))
    return make_sheet(images, columns)


def comparison_sheet(
    records: Sequence[Record],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    score: float,
    max_images: int = 8,
) -> Image:
    """Return a sheet with one row per image: ground truth on the left, detections of at least `score` on the right."""
    images = []
    for record, detected in list(zip(records, detections, strict=True))[:max_images]:
        image = decode_image(record.path.read_bytes())
        mask = detected.scores >= score
        confident = Detections(detected.boxes[mask], detected.scores[mask], detected.class_ids[mask])
        images.append(_draw_targets(image, record.boxes, record.class_ids, class_names))
        images.append(draw(image, confident, class_names))
    return make_sheet(images, columns=2)


def make_sheet(images: Sequence[Image], columns: int) -> Image:
    """Arrange images in rows, each scaled to the same width."""
    scaled = [_scale(image) for image in images]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    heights = [max(len(image) for image in row) for row in rows]
    canvas = np.full((sum(heights) + GAP * len(rows), columns * (WIDTH + GAP), 3), WHITE, dtype=np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            left = column * (WIDTH + GAP)
            canvas[top : top + len(image), left : left + WIDTH] = image
        top += height + GAP
    return canvas


def encode_jpeg(image: Image) -> bytes:
    """Encode an RGB image as JPEG of moderate quality."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _draw_targets(
    image: Image, boxes: NDArray[np.float32], class_ids: NDArray[np.int64], class_names: Sequence[str]
) -> Image:
    return draw_boxes(image, boxes, class_ids, [class_names[i] for i in class_ids])


def _scale(image: Image) -> Image:
    height = max(round(len(image) * WIDTH / image.shape[1]), 1)
    return np.asarray(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
