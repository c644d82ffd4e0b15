"""Progress without a terminal: at most one line a minute, with rate and time left."""

from __future__ import annotations

import pytest

from model_zoo import progress
from model_zoo.progress import LineTimer, Progress, track


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_line_is_due_every_minute() -> None:
    clock = Clock()
    timer = LineTimer(clock)
    due = []
    for clock.now in (1.0, 59.0, 60.0, 61.0, 119.0, 121.0, 500.0, 501.0):
        due.append(timer.due())
    assert due == [False, False, True, False, False, True, True, False]


def test_status_has_rate_and_time_left() -> None:
    clock = Clock()
    timer = LineTimer(clock)
    assert timer.status(0, 10, "images") == "0 of 10 images, 0 images/s, time left unknown"
    clock.now = 100.0
    assert timer.status(1250, 5000, "images") == "1,250 of 5,000 images, 12.5 images/s, 0:05:00 left"
    assert timer.status(1250, None, "frames") == "1,250 frames, 12.5 frames/s"


def test_lines_are_printed_to_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "LineTimer", lambda: LineTimer(clock))
    with Progress("evaluate", 400) as bar:
        for clock.now in (10.0, 70.0, 80.0, 140.0):
            bar.update(100)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "evaluate: 200 of 400 images, 2.86 images/s, 0:01:10 left",
        "evaluate: 400 of 400 images, 2.86 images/s, 0:00:00 left",
    ]


def test_tracked_items_are_yielded_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    assert list(track(iter("abc"), "read", 3, "file")) == ["a", "b", "c"]
    assert [line.split(", ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "read: 1 of 3 files",
        "read: 2 of 3 files",
        "read: 3 of 3 files",
    ]


def test_quick_task_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("evaluate", 2) as bar:
        bar.update(2)
    assert capsys.readouterr() == ("", "")
