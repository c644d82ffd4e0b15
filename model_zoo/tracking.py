"""Track objects across the frames of videos: the same number for the same object, by ByteTrack (arXiv:2110.06864).

for result in track_frames(detect_frames(engine, query, open_sources(["clip.mp4"]))):
    print(result.detections.tracks())

Needs the extra `track` and trackers without its dependencies: it requires opencv-python, which would overwrite
opencv-python-headless and needs a desktop's libraries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from model_zoo.contract.detections import UNTRACKED, Detections
from model_zoo.contract.errors import LineageError
from model_zoo.runtime.detect_frames import FrameResult, Result

NEEDED: Final = ("deprecate", "requests", "rich", "scipy", "supervision", "trackers")
INSTALL: Final = "pip install 'yolo-lineage[track]' && pip install --no-deps 'trackers>=2.6,<3'"
CONFIDENT: Final = 0.4
"""Score from which a detection is matched first, and may begin a track."""
MIN_FRAMES: Final = 2
"""Consecutive frames with an object before it has a number."""
LOST_SECONDS: Final = 1.0
"""Seconds in which an object that is not detected keeps its number."""
FRAME_RATE: Final = 30.0
"""Frames per second before times are known."""
CLASS_OFFSET: Final = 1e5
"""Pixels between the boxes of two classes for the tracker, which knows no classes. No image is that large."""


def check_installed() -> None:
    """Check that the tracker is installed.

    Raises:
        LineageError: it is not.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise LineageError(f"tracking needs {' and '.join(missing)}; install with: {INSTALL}")


class Tracker:
    """Numbers the objects of one video from 1. Objects of different classes never share a number."""

    def __init__(self) -> None:
        """Start without tracks.

        Raises:
            LineageError: the tracker is not installed.
        """
        check_installed()
        from trackers import ByteTrackTracker

        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(LOST_SECONDS * FRAME_RATE),
            frame_rate=FRAME_RATE,
            track_activation_threshold=CONFIDENT,
            minimum_consecutive_frames=MIN_FRAMES,
            high_conf_det_threshold=CONFIDENT,
        )

    def update(self, detections: Detections, time: float | None = None) -> Detections:
        """Return the detections of the next frame with the numbers of their objects.

        `time` is in seconds and grows. None means a constant frame rate.
        """
        from supervision import Detections as TrackerInput

        boxes = detections.boxes + CLASS_OFFSET * detections.class_ids[:, None]
        rows: dict[str, Any] = {"row": np.arange(len(boxes))}
        tracked = self._tracker.update(TrackerInput(boxes, confidence=detections.scores, data=rows), timestamp=time)
        track_ids = np.full(len(boxes), UNTRACKED, np.int64)
        if len(tracked):  # in another order
            numbers = np.asarray(tracked.tracker_id)
            track_ids[tracked.data["row"]] = np.where(numbers == UNTRACKED, UNTRACKED, numbers + 1)
        return replace(detections, track_ids=track_ids)


def track_frames(results: Iterable[Result]) -> Iterator[Result]:
    """Add track numbers to the results of videos. Those of images stay as they are. Each video starts again with 1.

    Raises:
        LineageError: the tracker is not installed.
    """
    check_installed()
    return _track_frames(results)


def _track_frames(results: Iterable[Result]) -> Iterator[Result]:
    source, tracker = "", Tracker()
    for result in results:
        frame = result.frame
        if isinstance(result, FrameResult) and frame.index is not None:
            if frame.source != source or frame.index == 0:
                source, tracker = frame.source, Tracker()
            result = replace(result, detections=tracker.update(result.detections, frame.time))
        yield result
