"""Pictures that people compare: what a batch looks like to the network, and predictions beside the truth."""

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

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
WIDTH = 480  # of one picture in a sheet
GAP = 6
WHITE = 255


def batch_sheet(batch: Batch, class_names: Sequence[str], most: int = 16, columns: int = 4) -> Picture:
    """Lay out the images of a training batch with the boxes that are learned."""
    pictures = []
    for i, image in enumerate(batch.images[:most].numpy()):
        mine = (batch.targets.image_index == i).numpy()
        boxes = batch.targets.boxes.numpy()[mine].astype(np.float32)
        pictures.append(_with_boxes(image, boxes, batch.targets.class_ids.numpy()[mine], class_names))
    return sheet(pictures, columns)


def comparison_sheet(
    records: Sequence[Record], detections: Sequence[Detections], class_names: Sequence[str], score: float, most: int = 8
) -> Picture:
    """Lay out, image by image, the truth on the left and the detections of at least `score` on the right."""
    pictures = []
    for record, found in list(zip(records, detections, strict=True))[:most]:
        image = decode_image(record.path.read_bytes())
        sure = found.scores >= score
        confident = Detections(found.boxes[sure], found.scores[sure], found.class_ids[sure])
        pictures.append(_with_boxes(image, record.boxes, record.class_ids, class_names))
        pictures.append(draw(image, confident, class_names))
    return sheet(pictures, columns=2)


def sheet(pictures: Sequence[Picture], columns: int) -> Picture:
    """Lay pictures out in rows, each scaled to one width."""
    scaled = [_scaled(picture) for picture in pictures]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    heights = [max(len(picture) for picture in row) for row in rows]
    canvas = np.full((sum(heights) + GAP * len(rows), columns * (WIDTH + GAP), 3), WHITE, dtype=np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            left = column * (WIDTH + GAP)
            canvas[top : top + len(picture), left : left + WIDTH] = picture
        top += height + GAP
    return canvas


def jpeg(picture: Picture) -> bytes:
    """Encode an RGB picture, small enough for a page."""
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _with_boxes(
    image: Picture, boxes: NDArray[np.float32], class_ids: NDArray[np.int64], class_names: Sequence[str]
) -> Picture:
    return draw_boxes(image, boxes, class_ids, [class_names[i] for i in class_ids])


def _scaled(picture: Picture) -> Picture:
    height = max(round(len(picture) * WIDTH / picture.shape[1]), 1)
    return np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
