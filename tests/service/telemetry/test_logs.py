"""Log lines in logfmt."""

from __future__ import annotations

import logging

import pytest

from service.telemetry.logs import LogfmtFormatter, configure_logging, request_id


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "service.x", "levelname": "INFO", "msg": message, "created": 0, "msecs": 7, **extra}
    )


def test_line_has_time_level_logger_and_request() -> None:
    token = request_id.set("abc")
    try:
        assert LogfmtFormatter().format(record("hello")) == "1970-01-01T00:00:00.007Z INFO service.x request=abc hello"
    finally:
        request_id.reset(token)


def test_control_characters_are_escaped() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    line = LogfmtFormatter().format(record("GET /a\r\nfake line \x1b[31m", exc_info=exc_info))
    assert line.isprintable()
    assert "ValueError: first\\nsecond" in line


def test_logs_go_to_stderr_at_the_configured_level(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("warning")
        logging.getLogger("service.x").info("hidden")
        logging.getLogger("service.x").warning("shown")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING service.x request=- shown")
