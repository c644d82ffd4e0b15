"""The detector that all peers share: the raw export of the model in ONNX Runtime, and NMS with OpenCV.

The graph takes a letterboxed RGB canvas of bytes. A peer decodes, resizes, runs and suppresses.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
import onnxruntime as ort

SIZE, SCORE, IOU, PAD = 640, 0.25, 0.45, 114
CORES = os.cpu_count() or 1


class Detector:
    """A session with `threads` per run, by default one per core, and what surrounds it.

    The sides of the canvas are multiples of `step`, by default SIZE: a square.
    """

    def __init__(self, threads: int = 0, step: int = SIZE) -> None:
        self._step = step
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads else "1")
        if threads:
            cv2.setNumThreads(1)
        self._session = ort.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
        self(cv2.imencode(".jpg", np.zeros((SIZE, SIZE, 3), np.uint8))[1].tobytes())  # warms up

    def __call__(self, data: bytes) -> list[list[float]]:
        """Return x1, y1, x2, y2, score and class of each detection in an encoded image."""
        return [row.tolist() for row in self.detect(np.frombuffer(data, np.uint8))]

    def detect(self, data: np.ndarray) -> np.ndarray:
        """Return a row for each detection: x1, y1, x2, y2, score and class."""
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        gain = SIZE / max(image.shape[:2])
        height, width = round(image.shape[0] * gain), round(image.shape[1] * gain)
        rows, columns = (-(-side // self._step) * self._step for side in (height, width))
        top, left = (rows - height) // 2, (columns - width) // 2
        canvas = np.full((1, rows, columns, 3), PAD, np.uint8)
        canvas[0, top : top + height, left : left + width] = cv2.resize(image, (width, height))
        boxes, scores = (output[0] for output in self._session.run(["boxes", "scores"], {"images": canvas}))
        best = scores.max(axis=1)
        above = np.flatnonzero(best > SCORE)
        boxes, best, classes = boxes[above], best[above], scores[above].argmax(axis=1)
        boxes = (boxes - [left, top, left, top]) / gain
        corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        kept = np.asarray(cv2.dnn.NMSBoxesBatched(corners, best, classes, SCORE, IOU), int).reshape(-1)
        return np.concatenate([boxes, best[:, None], classes[:, None]], axis=1)[kept].astype(np.float32)
