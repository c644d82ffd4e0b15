"""Steps that a finished run can do without: a failure is logged and does not cost the run its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model_zoo.contract.errors import LineageError
from model_zoo.export.log import Log


@contextmanager
def optional_step(name: str, advice: str, log: Log) -> Iterator[None]:
    """Log any failure of a step as one warning, instead of raising it.

    Args:
        name: Name of the step, as in "report".
        advice: How to repeat the step, or how the run goes on without it.
        log: Receives the warning.
    """
    try:
        yield
    except Exception as error:  # any: a bug in a plot must not cost a run of days its result
        log(f"warning: {name} failed ({describe(error)}). {advice}")


def describe(error: Exception) -> str:
    """Return an error in one line, with its type unless its message is for the user."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return text if isinstance(error, LineageError) else ": ".join(filter(None, [type(error).__name__, text]))
