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
        """Return the line."""
        record.request = request_id.get()
        line = super().format(record)
        return line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)


def configure_logging(level: str) -> None:
    """Log to stderr at `level` and above."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its start-up messages repeat ours
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
