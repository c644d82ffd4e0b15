"""Error handling of the commands in this folder."""

from __future__ import annotations

import sys
from collections.abc import Callable

from model_zoo.contract.errors import LineageError


def run_main(work: Callable[[], object]) -> int:
    """Run a command and return its exit code. A LineageError is printed as one line."""
    try:
        work()
    except LineageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
