"""Load of other programs: counted without this process and its children, and reported once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from training.loop.contention import (
    WINDOW,
    ContentionWarning,
    CoreTimes,
    OtherLoad,
    describe_contention,
    read_times,
    usable_cores,
)


def test_time_of_this_process_does_not_count() -> None:
    times = iter([CoreTimes(0, 100, 10), CoreTimes(10, 118, 25), CoreTimes(20, 121, 28)])
    load = OtherLoad(lambda: next(times))
    assert load.cores() == pytest.approx(0.3)
    assert load.cores() == 0


def test_time_of_children_is_this_process_s_own() -> None:
    before = read_times()
    child = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        after = read_times()
        process.communicate(b"\n")
    assert after.own - before.own >= 0.2  # the system counts in hundredths of a second
    assert after.wall > before.wall


def test_busy_time_grows_with_work_on_these_cores() -> None:
    before, start = read_times(), time.process_time()
    while time.process_time() - start < 0.2:
        pass
    assert read_times().busy - before.busy >= 0.1
    assert usable_cores()


@pytest.mark.parametrize(
    ("others", "cores", "warned"), [(0.3, 2, False), (0.5, 2, True), (1.5, 8, False), (4, 8, True)]
)
def test_load_above_a_fifth_of_the_cores_is_reported(others: float, cores: int, warned: bool) -> None:
    text = describe_contention(others, cores, threads=2)
    assert bool(text) == warned
    assert f"{others:.1f} of {cores} cores" in text or not warned
    assert "--threads 1" in text or not warned


def test_a_run_of_one_thread_gets_no_advice_on_threads() -> None:
    assert "--threads" not in describe_contention(2.0, 2, threads=1)


def test_a_run_is_warned_once_and_only_after_a_busy_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.loop.contention.usable_cores", lambda: [0, 1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    now, busy = 0.0, 0.0
    warning = ContentionWarning(OtherLoad(lambda: CoreTimes(now, busy, 0)), lambda: now)
    busy, now = 20.0, WINDOW / 2
    assert not warning.poll()  # the window has not ended
    now, busy = WINDOW, WINDOW * 0.1
    assert not warning.poll()  # others used little
    now, busy = 2 * WINDOW, busy + WINDOW
    assert "use 1.0 of 2 cores" in warning.poll()
    now, busy = 3 * WINDOW, busy + WINDOW
    assert not warning.poll()
