"""Run workers on this machine: in this process if there is one, otherwise each in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from threading import Thread

import cv2
from loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from model_zoo.batch.worker import Job, ShardReport, Worker
from model_zoo.contract.errors import LineageError

_worker: Worker | None = None  # of a worker's process


def run_local(job: Job, numbers: Sequence[int], workers: int) -> Iterator[ShardReport]:
    """Yield the report of each shard when it is written.

    Raises:
        LineageError: A shard cannot be processed, or a worker was killed.
    """
    if min(workers, len(numbers)) == 1:
        worker = Worker(job, "1")
        yield from map(worker.run, numbers)
        worker.close()
        return
    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(job, os.getpid()))
    try:
        for future in as_completed([pool.submit(_run, number) for number in numbers]):
            yield future.result()
    except TerminatedWorkerError as error:
        raise LineageError(
            "a worker was killed, perhaps for lack of memory; run the same command again to resume, with fewer "
            "--workers if it happens again"
        ) from error
    finally:
        pool.shutdown(kill_workers=True)


def _start(job: Job, parent: int) -> None:
    """Open the worker of this process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
    cv2.setNumThreads(1)
    Thread(target=_exit_with, args=(parent,), daemon=True).start()
    _worker = Worker(job, str(os.getpid()))


def _run(number: int) -> ShardReport:
    assert _worker
    return _worker.run(number)


def _exit_with(parent: int) -> None:
    """Exit when the main process ends, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
