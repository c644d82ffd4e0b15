"""Track numbers of objects whose paths are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo import tracking
from model_zoo.contract.detections import UNTRACKED, Detections
from model_zoo.contract.errors import LineageError
from model_zoo.contract.frames import Frame
from model_zoo.runtime.detect_frames import FrameError, FrameResult
from model_zoo.tracking import Tracker, track_frames

pytest.importorskip("trackers", reason="tracking needs trackers")
benchmark = pytest.importorskip("benchmarks.tracking", reason="tracking needs the extra `track`")

SIZE = (720, 1280)


def make(boxes: Sequence[Sequence[float]] | NDArray[np.float64], scores: object, class_ids: object) -> Detections:
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Detections(corners, np.asarray(scores, np.float32), np.asarray(class_ids, np.int64))


def test_crossing_and_hidden_objects_keep_their_numbers() -> None:
    assert benchmark.measure(objects=10, seed=0)[0] >= 0.95


def test_metric_knows_perfect_and_swapped_numbers() -> None:
    rng = np.random.default_rng(0)
    scene = benchmark.make_scene(4, rng)
    for swapped, expected in ((False, 1.0), (True, 0.5)):
        tracked = []
        for n, (boxes, visible) in enumerate(zip(scene.boxes, scene.visible, strict=True)):
            ids = np.flatnonzero(visible)
            shift = 100 if swapped and n % 2 else 0
            found = make(boxes[visible], np.ones(len(ids)), ids)
            tracked.append(Detections(found.boxes, found.scores, found.class_ids, ids + 1 + shift))
        assert benchmark.idf1(scene, tracked) == pytest.approx(expected, abs=0.02)


def test_numbers_begin_with_1_at_the_second_frame_and_keep_the_order() -> None:
    tracker = Tracker()
    found = make([[0, 0, 10, 10], [50, 50, 90, 90], [200, 0, 220, 20]], [0.9, 0.3, 0.8], [0, 0, 0])
    assert tracker.update(found).tracks() == [None, None, None]
    again = tracker.update(found)
    assert (again.tracks(), again.boxes.tolist()) == ([1, None, 2], found.boxes.tolist())
    reversed_boxes = make(found.boxes[::-1], found.scores[::-1], found.class_ids)
    assert tracker.update(reversed_boxes).tracks() == [2, None, 1]
    assert tracker.update(make([], [], [])).tracks() == []
    assert tracker.update(found).tracks() == [1, None, 2]


def test_weak_detection_of_a_known_object_keeps_its_number() -> None:
    tracker = Tracker()
    for score in (0.9, 0.9, 0.2):
        found = tracker.update(make([[10, 10, 60, 60]], [score], [0]))
    assert found.tracks() == [1]


def test_classes_never_share_a_number() -> None:
    tracker = Tracker()
    for class_id in (0, 0, 79, 79):
        found = tracker.update(make([[10, 10, 60, 60]], [0.9], [class_id]))
    assert found.tracks() == [2]


@pytest.mark.parametrize(("seconds", "number"), [(0.9, 1), (2.0, None)])
def test_lost_object_keeps_its_number_for_a_second_at_any_frame_rate(seconds: float, number: int | None) -> None:
    tracker, box = Tracker(), make([[10, 10, 60, 60]], [0.9], [0])
    for time in (0.0, 0.2, 0.4):
        tracker.update(box, time)
    assert tracker.update(make([], [], []), 0.5).tracks() == []
    assert tracker.update(box, 0.4 + seconds).tracks() == [number]


def result(source: str, index: int | None, found: Detections) -> FrameResult:
    frame = Frame(source, lambda: b"", index, None if index is None else index / 30)
    return FrameResult(frame, SIZE, found, 0.0, 0.0)


def test_videos_begin_anew_and_images_have_no_numbers() -> None:
    found = make([[10, 10, 60, 60]], [0.9], [0])
    error = FrameError(Frame("a.mp4", lambda: b"", 2, 0.1), "damaged")
    frames = [result("a.mp4", 0, found), result("a.mp4", 1, found), error, result("a.mp4", 3, found)]
    frames += [result("photo.jpg", None, found), result("b.mp4", 0, found), result("b.mp4", 1, found)]
    tracked = list(track_frames(frames))
    assert tracked[2] is error
    numbers = [one.detections.tracks() for one in tracked if isinstance(one, FrameResult)]
    assert numbers == [[None], [1], [1], [None], [None], [1]]
    assert tracked[4].detections.track_ids is None
    assert tracked[0].detections.track_ids.tolist() == [UNTRACKED]


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "trackers" else name)
    with pytest.raises(LineageError, match="tracking needs trackers; install with: pip install"):
        track_frames([])
