"""Logs in logfmt or JSON, one line per record: time, level, logger, request id, trace id, message, fields."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, Literal

request_id: ContextVar[str] = ContextVar("request_id", default="-")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
_API_KEY: Final = re.compile(r"\blineage_[\w-]{43}")
_PLAIN_VALUE: Final = re.compile(r'[^\s"=]+')


class LogfmtFormatter(logging.Formatter):
    """Formats a record as one line, with newlines and control characters escaped."""

    layout = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s request=%(request)s %(message)s"

    def __init__(self) -> None:
        super().__init__(self.layout)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - as logging
        """Return the second of a record."""
        return _second(int(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = (f"{name}={_logfmt(value)}" for name, value in _fields(record).items())
        line = hide_keys(" ".join([self._format(record), *fields]))
        return line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)

    def _format(self, record: logging.LogRecord) -> str:
        """Format a record. One that cannot be formatted is logged with its parts unformatted."""
        record.request = request_id.get()
        try:
            return super().format(record)
        except Exception as error:
            record.msg = f"{_plain(record.msg)} {_plain(record.args)} (not formatted: {_plain(error)})"
            record.args = record.exc_info = record.exc_text = record.stack_info = None
            return super().format(record)


class JsonFormatter(LogfmtFormatter):
    """Formats a record as one line with a JSON object."""

    layout = "%(message)s"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        described = {
            "time": f"{self.formatTime(record)}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "request": request_id.get(),
            "message": self._format(record),
        }
        return hide_keys(json.dumps(described | _fields(record)))


class OncePerSecond(logging.Filter):
    """Passes one record of each message a second, with the number of those dropped since the last one.

    A record with `extra={"key": ...}` is counted under that key. With `only_keys`, all others pass.
    """

    def __init__(self, *, only_keys: bool = False) -> None:
        super().__init__()
        self._only_keys = only_keys
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        message = getattr(record, "key", None)
        if message is None and self._only_keys:
            return True
        message = message or str(record.msg)
        if self.is_repeated(message):
            return False
        _, dropped = self._last.get(message, (0.0, 0))
        self._last[message] = (time.monotonic(), 0)
        if dropped:
            record.msg = f"{record.msg} ({dropped} more times since the last such line)"
        return True

    def is_repeated(self, message: str) -> bool:
        """Return whether a record of a message or key would be dropped now, and count it then. It need not be made."""
        logged, dropped = self._last.get(message, (-math.inf, 0))
        if time.monotonic() - logged >= 1:
            return False
        self._last[message] = (logged, dropped + 1)
        return True


def configure_logging(level: str, layout: Literal["logfmt", "json"] = "logfmt") -> logging.Handler:
    """Log to stderr at `level` and above, and return the handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if layout == "json" else LogfmtFormatter())
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line has them
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its messages repeat ours
    return handler


def hide_keys(text: str) -> str:
    """Return a text without API keys. Clients send them in the wrong place, such as a path or a request id."""
    return _API_KEY.sub("lineage_...", text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the trace id and the fields that the record carries in `extra`."""
    trace = {"trace": trace_id.get()} if trace_id.get() else {}
    return trace | getattr(record, "fields", {})


@lru_cache(1)
def _second(seconds: int) -> str:
    """Return a time as in ISO 8601. Many lines of a log have the same."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _logfmt(value: object) -> str:
    """Return a value, quoted if it needs to be."""
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text)


def _escape(character: str) -> str:
    """Return the escape sequence. Codecs such as unicode_escape are modules: loading one needs a free descriptor."""
    return repr(character)[1:-1]


def _plain(value: object) -> str:
    """Return the `repr` of a value, or its type if that fails."""
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
