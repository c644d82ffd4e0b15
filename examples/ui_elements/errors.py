"""What the commands of this folder make of a mistake of their user."""

from __future__ import annotations

import sys
from collections.abc import Callable

from model_zoo.contract.errors import LineageError


def told(work: Callable[[], object]) -> int:
    """Do the work of a command and return its exit code; a LineageError is told in one line."""
    try:
        work()
    except LineageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
