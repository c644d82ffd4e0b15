"""Log lines that a thread writes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from service.telemetry import log_thread
from service.telemetry.log_thread import write_in_background
from service.telemetry.logs import LogfmtFormatter, request_id

LOG = logging.getLogger("service.x")


class SlowHandler(logging.Handler):
    """Waits for a gate before each line."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LogfmtFormatter())
        self.gate = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert self.gate.wait(30)
        self.lines.append(self.format(record))


@pytest.fixture
def slow() -> Iterator[SlowHandler]:
    root, handler = logging.getLogger(), SlowHandler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_slow_reader_does_not_delay_the_program(slow: SlowHandler) -> None:
    token = request_id.set("abc")
    with write_in_background(slow):
        LOG.info("first")
        request_id.reset(token)
        LOG.info("second\n%d", 2)
        assert slow.lines == []
        slow.gate.set()
    assert [line.split("service.x ")[1] for line in slow.lines] == ["request=abc first", "request=- second\\n2"]
    assert not [thread for thread in threading.enumerate() if thread.name == "log"]


def test_lines_beyond_the_limit_are_dropped_and_counted(slow: SlowHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_thread, "MAX_LINES", 4)
    with write_in_background(slow):
        for number in range(100):
            LOG.info("line %d", number)
        slow.gate.set()
    (count,) = [int(line.split(" log lines were dropped")[0].split()[-1]) for line in slow.lines if "dropped" in line]
    assert count == 100 - (len(slow.lines) - 1)
    assert 4 <= len(slow.lines) - 1 <= 5
