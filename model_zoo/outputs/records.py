"""Results as text, one record after the other: JSON lines and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TextIO

from model_zoo.runtime.detect_frames import FrameError, FrameResult, Result, result_entry

RecordFormat = Literal["json-lines", "csv"]
COLUMNS: Final = (
    "source", "frame", "time", "width", "height", "label", "class_id", "score", "x1", "y1", "x2", "y2", "track_id",
)  # fmt: skip
TIME_DECIMALS: Final = 6


def write_records(
    results: Iterable[Result], class_names: Sequence[str], record_format: RecordFormat, file: TextIO
) -> Iterator[Result]:
    """Yield the results while their records are written. Each one is in the file when its result is yielded.

    Args:
        results: Results of `detect_frames`.
        class_names: Class names.
        record_format: json-lines has a line for each frame, errors too. csv has a line for each detection.
        file: Open file.
    """
    write = _lines(file, class_names) if record_format == "json-lines" else _rows(file, class_names)
    for result in results:
        write(result)
        file.flush()
        yield result


def _lines(file: TextIO, class_names: Sequence[str]) -> Callable[[Result], object]:
    is_ascii = (file.encoding or "utf-8").lower() != "utf-8"  # other characters would become what is no JSON

    def write(result: Result) -> None:
        record = _place(result) | result_entry(result, class_names)
        file.write(json.dumps(record, ensure_ascii=is_ascii) + "\n")

    return write


def _rows(file: TextIO, class_names: Sequence[str]) -> Callable[[Result], object]:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)

    def write(result: Result) -> None:
        if isinstance(result, FrameError):
            return
        head, (height, width) = _place(result), result.size
        for entry in result.detections.to_dict(class_names):
            found = [entry["label"], entry["class_id"], entry["score"], *entry["box"], entry.get("track_id")]
            table.writerow([head["source"], head.get("frame"), head.get("time"), width, height, *found])

    return write


def _place(result: FrameResult | FrameError) -> dict[str, Any]:
    """Return the source, and the number and time of a frame of a video."""
    frame = result.frame
    if frame.index is None or frame.time is None:
        return {"source": frame.source}
    return {"source": frame.source, "frame": frame.index, "time": round(frame.time, TIME_DECIMALS)}
