"""Log lines in logfmt."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from service.telemetry.logs import (
    JsonFormatter,
    LogfmtFormatter,
    OncePerSecond,
    configure_logging,
    request_id,
    trace_id,
)


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
    configure_logging("warning")
    logging.getLogger("service.x").info("hidden")
    logging.getLogger("service.x").warning("shown")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING service.x request=- shown")


def test_record_is_logged_without_free_descriptors() -> None:
    """Python loads some codecs, such as unicode_escape, as modules from files when they are first used."""
    code = """
import logging, resource
from service.telemetry.logs import configure_logging
configure_logging("info")
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    open("/dev/null")
except OSError as error:
    logging.getLogger("x").error("line\\nwith \\x1b \\ud800 \\u2028", exc_info=error)
"""
    logged = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    (line,) = logged.splitlines()
    assert "ERROR x request=- line\\nwith \\x1b \\ud800 \\u2028\\nTraceback" in line
    assert "Too many open files" in line


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


@pytest.mark.parametrize("arguments", [("x",), (1, 2), (Unprintable(),)])
def test_record_that_cannot_be_formatted_is_one_line(arguments: tuple[object, ...]) -> None:
    line = LogfmtFormatter().format(record("%d files", args=arguments))
    assert line.isprintable()
    assert "INFO service.x request=- %d files" in line


def test_repeated_records_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("service.telemetry.logs.time.monotonic", lambda: now)
    once = OncePerSecond()
    passed = [once.filter(record("full: %d", args=(n,))) for n in range(5)]
    assert passed == [True, False, False, False, False]
    assert once.filter(record("another message"))
    now = 1.0
    last = record("full: %d", args=(5,))
    assert once.filter(last)
    assert last.getMessage() == "full: 5 (4 more times since the last such line)"


def test_records_with_a_key_are_counted_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.logs.time.monotonic", lambda: 0.0)
    once = OncePerSecond(only_keys=True)
    keys = ["a", "a", "b", None, None]
    assert [once.filter(record("same", **({"key": key} if key else {}))) for key in keys] == [
        True, False, True, True, True
    ]  # fmt: skip


def test_record_can_be_counted_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("service.telemetry.logs.time.monotonic", lambda: now)
    once = OncePerSecond(only_keys=True)
    assert not once.is_repeated("a")
    assert once.filter(record("full", key="a"))
    assert once.is_repeated("a")
    assert once.is_repeated("a")
    assert not once.is_repeated("b")
    now = 1.0
    assert not once.is_repeated("a")
    last = record("full", key="a")
    assert once.filter(last)
    assert last.getMessage() == "full (2 more times since the last such line)"


FIELDS = {"status": 200, "client": 'a "b" c', "path": "x=y"}


def test_fields_are_logfmt() -> None:
    token = trace_id.set("abc")
    try:
        line = LogfmtFormatter().format(record("GET /a", fields=FIELDS))
    finally:
        trace_id.reset(token)
    assert line.endswith(r'request=- GET /a trace=abc status=200 client="a \"b\" c" path="x=y"')


def test_json_has_the_same_fields() -> None:
    line = json.loads(JsonFormatter().format(record("GET /a\n%s", args=("\u2028",), fields=FIELDS)))
    assert line == {
        "time": "1970-01-01T00:00:00.007Z",
        "level": "INFO",
        "logger": "service.x",
        "request": "-",
        "message": "GET /a\n\u2028",
        **FIELDS,
    }


def test_json_record_that_cannot_be_formatted_is_one_line() -> None:
    line = JsonFormatter().format(record("%d files", args=(Unprintable(),)))
    assert "%d files" in json.loads(line)["message"]
    assert "\n" not in line
