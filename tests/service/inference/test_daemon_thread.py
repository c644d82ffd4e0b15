"""Calls on a daemon thread."""

from __future__ import annotations

from threading import Event, current_thread

import pytest

from service.inference.daemon_thread import DaemonThread

PATIENCE = 30.0


def test_calls_run_in_their_order_on_one_daemon() -> None:
    worker, made = DaemonThread("test"), list[int]()
    threads = [worker.submit(lambda number=number: (made.append(number), current_thread())[1]) for number in range(3)]
    worker.end()
    assert len({thread.result(PATIENCE) for thread in threads}) == 1
    assert threads[0].result().daemon
    assert made == [0, 1, 2]
    threads[0].result().join(PATIENCE)
    assert not threads[0].result().is_alive()


def test_cancelled_and_failed_calls_do_not_end_the_thread() -> None:
    worker, gate = DaemonThread("test"), Event()
    worker.submit(gate.wait)
    cancelled, failed, last = worker.submit(int), worker.submit(lambda: int("x")), worker.submit(lambda: 7)
    assert cancelled.cancel()
    gate.set()
    with pytest.raises(ValueError, match="invalid literal"):
        failed.result(PATIENCE)
    assert last.result(PATIENCE) == 7
    worker.end()
