"""Logs in logfmt, one line per record: time, level, logger, request id, message."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class LogfmtFormatter(logging.Formatter):
    """Formats a record as one line, with newlines and control characters escaped."""

    converter = staticmethod(time.gmtime)
    layout = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s request=%(request)s %(message)s"

    def __init__(self) -> None:
        super().__init__(self.layout, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. A record that cannot be formatted is logged with its parts unformatted."""
        record.request = request_id.get()
        try:
            line = super().format(record)
        except Exception as error:
            record.msg = f"{_plain(record.msg)} {_plain(record.args)} (not formatted: {_plain(error)})"
            record.args = record.exc_info = record.exc_text = record.stack_info = None
            line = super().format(record)
        return line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)


class OncePerSecond(logging.Filter):
    """Passes one record of each message a second, with the number of those dropped since the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        now, message = time.monotonic(), str(record.msg)
        logged, dropped = self._last.get(message, (now - 1, 0))
        if now - logged < 1:
            self._last[message] = (logged, dropped + 1)
            return False
        self._last[message] = (now, 0)
        if dropped:
            record.msg = f"{message} ({dropped} more times since the last such line)"
        return True


def configure_logging(level: str) -> None:
    """Log to stderr at `level` and above."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its messages repeat ours


def _escape(character: str) -> str:
    """Return the escape sequence. Codecs such as unicode_escape are modules: loading one needs a free descriptor."""
    return repr(character)[1:-1]


def _plain(value: object) -> str:
    """Return the `repr` of a value, or its type if that fails."""
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
