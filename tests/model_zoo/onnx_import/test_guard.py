from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.onnx_import.guard import run_guarded


def test_result_and_error_of_the_child_reach_the_caller() -> None:
    assert run_guarded(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        run_guarded(divmod, 7, 0)


def test_crash_is_an_error_of_the_user() -> None:
    with pytest.raises(LineageError, match="crashed or ran out of memory"):
        run_guarded(os.abort)


def test_time_is_limited() -> None:
    start = time.monotonic()
    with pytest.raises(LineageError, match=r"within 0\.5 s"):
        run_guarded(time.sleep, 60, seconds=0.5)
    assert time.monotonic() - start < 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process reliably")
def test_memory_is_limited() -> None:
    with pytest.raises(LineageError, match=r"with 1\.0 GiB of memory"):
        run_guarded(np.ones, 2**29, memory=2**30)
