"""JSON lines and CSV: images, frames, tracks, and records that are there at once."""

from __future__ import annotations

import io
import json

import numpy as np

from model_zoo.contract.detections import UNTRACKED, Detections
from model_zoo.contract.frames import Frame
from model_zoo.outputs.records import write_records
from model_zoo.runtime.detect_frames import FrameError, FrameResult, Result

FOUND = Detections(
    np.asarray([[1, 2, 3, 4], [5, 6, 7, 8.5]], np.float32),
    np.asarray([0.5, 0.25], np.float32),
    np.asarray([0, 1]),
    np.asarray([7, UNTRACKED]),
)
RESULTS: list[Result] = [
    FrameResult(Frame("clip, é.mp4", lambda: b"", 12, 0.4800004), (10, 20), FOUND, 0, 0),
    FrameError(Frame("bad.png", lambda: b""), "damaged"),
]


def test_lines_have_frames_tracks_and_errors() -> None:
    file = io.StringIO()
    assert list(write_records(RESULTS, ("red", "green"), "json-lines", file)) == RESULTS
    first, second = map(json.loads, file.getvalue().splitlines())
    assert first == {
        "source": "clip, é.mp4", "frame": 12, "time": 0.48, "image": {"width": 20, "height": 10},
        "detections": [
            {"box": [1, 2, 3, 4], "score": 0.5, "class_id": 0, "label": "red", "track_id": 7},
            {"box": [5, 6, 7, 8.5], "score": 0.25, "class_id": 1, "label": "green"},
        ],
    }  # fmt: skip
    assert second == {"source": "bad.png", "error": {"detail": "damaged"}}


def test_rows_have_numbers_in_plain_columns() -> None:
    file = io.StringIO()
    assert list(write_records(RESULTS, ("red", "green"), "csv", file)) == RESULTS
    assert file.getvalue() == (
        "source,frame,time,width,height,label,class_id,score,x1,y1,x2,y2,track_id\n"
        '"clip, é.mp4",12,0.48,20,10,red,0,0.5,1.0,2.0,3.0,4.0,7\n'
        '"clip, é.mp4",12,0.48,20,10,green,1,0.25,5.0,6.0,7.0,8.5,\n'
    )


def test_a_record_is_written_before_the_next_result() -> None:
    file = io.StringIO()
    next(write_records(RESULTS, ("red", "green"), "json-lines", file))
    assert file.getvalue().count("\n") == 1
