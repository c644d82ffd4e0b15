from __future__ import annotations

import errno

import pytest

from model_zoo.contract.errors import LineageError
from training.run.optional_step import optional_step

ERRORS = [
    (LineageError("expected a\n  report"), "expected a report"),
    (
        OSError(errno.ENOSPC, "No space left on device", "runs/x/report.html"),
        "runs/x/report.html: No space left on device",
    ),
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    (AttributeError("'tuple' object has no attribute 'tobytes'"), "AttributeError: 'tuple' object has no attribute"),
    (MemoryError(), "MemoryError"),
    (ImportError("No module named 'matplotlib'"), "ImportError: No module named 'matplotlib'"),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_failure_is_one_warning_with_advice(error: Exception, reason: str) -> None:
    messages: list[str] = []
    with optional_step("report", "To repeat it: do x", messages.append):
        raise error
    assert len(messages) == 1
    assert messages[0].startswith(f"warning: report failed ({reason}")
    assert messages[0].endswith("). To repeat it: do x")
    assert "\n" not in messages[0]


def test_interruption_is_not_caught() -> None:
    with pytest.raises(KeyboardInterrupt), optional_step("report", "", print):
        raise KeyboardInterrupt
