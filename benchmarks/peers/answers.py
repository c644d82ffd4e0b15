"""Whether a server finds what the exported graph finds: no server is timed that answers otherwise.

The reference is the raw graph in float32, with the exact decoder. It runs a canvas as servers do: a square of
640 x 640, or the smallest multiples of 32. A server has to find each detection of score 0.5 and more with one of them:
the same class, a box of IoU 0.9 and more, and a score within 0.05. What it reports with score 0.55 and more has to be
in the reference. Scores on the other canvas differ by more, since the image lies elsewhere on the grid. Average
precision compares canvases, not this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final

import numpy as np

from benchmarks.peers.subjects import PROGRAMS, Rows, rows
from model_zoo.contract.boxes import pairwise_iou

CLEAR: Final = 0.5
TOLERANCE: Final = 0.05
MIN_IOU: Final = 0.9
STEPS: Final = (640, 32)
"""The sides of a canvas are multiples of one of these: a square, or a rectangle."""


def reference(images: Iterable[bytes], model: str, step: int) -> list[Rows]:
    """Return the detections of the raw graph in each image, on a canvas whose sides are multiples of a step."""
    os.environ["PEER_MODEL"] = model
    sys.path.insert(0, str(PROGRAMS))
    detector = import_module("detector").Detector(threads=1, step=step)  # the program of the peers
    return [rows(detector(image)) for image in images]


def agreement(expected: Sequence[Rows], actual: Sequence[Rows]) -> tuple[int, int, int]:
    """Return how many clear detections were found, how many there are, and how many others were reported."""
    found = sum(matched(one, other, CLEAR).sum() for one, other in zip(expected, actual, strict=True))
    clear = sum(int((one[:, 4] >= CLEAR).sum()) for one in expected)
    limit = CLEAR + TOLERANCE
    others = sum((~matched(other, one, limit)).sum() for one, other in zip(expected, actual, strict=True))
    return int(found), clear, int(others)


def matched(detections: Rows, candidates: Rows, min_score: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which detections of at least a score are among the candidates."""
    clear = detections[detections[:, 4] >= min_score]
    iou = pairwise_iou(clear[:, :4], candidates[:, :4])
    near = np.abs(clear[:, None, 4] - candidates[None, :, 4]) <= TOLERANCE
    same = clear[:, None, 5] == candidates[None, :, 5]
    return np.asarray(((iou >= MIN_IOU) & near & same).any(axis=1))
