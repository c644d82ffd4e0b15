"""Run workers on a Ray cluster: Ray Data hands the shards to a pool of actors with an engine each."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from model_zoo.batch.results import Counts
from model_zoo.batch.worker import ON_CPU, Job, ShardReport, Worker
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256


def run_ray(job: Job, numbers: Sequence[int], workers: int) -> Iterator[ShardReport]:
    """Yield the report of each shard when it is written.

    RAY_ADDRESS names the cluster. Without it, Ray starts on this machine.

    Raises:
        LineageError: Ray is not installed or cannot be reached, or a shard cannot be processed.
    """
    ray = _connect()
    on_cpu = job.manifest.provider in ON_CPU
    shards = ray.data.from_items([{"shard": number} for number in numbers], override_num_blocks=len(numbers))
    done = shards.map_batches(
        ShardActor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(numbers)), max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(job,),
        num_cpus=1 if on_cpu else None,
        num_gpus=None if on_cpu else 1,
    )
    try:
        for row in done.iter_rows():
            if row["error"]:
                raise LineageError(row["error"])
            yield ShardReport(row["worker"], Counts(row["images"], row["faults"], row["detections"]), row["seconds"])
    except ray.exceptions.RayError as error:
        raise LineageError(f"Ray: {_last_line(error)}; run the same command again to resume") from error
    finally:
        ray.shutdown()


class ShardActor:
    """An actor of Ray Data. It takes the number of a shard and returns its report, or the message of an error."""

    def __init__(self, job: Job) -> None:
        self._job, self._worker, self._error = job, None, ""
        try:
            _check_model(job)
            self._worker = Worker(job, f"{socket.gethostname()}:{os.getpid()}")
        except LineageError as error:
            self._error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Process a shard."""
        report = None
        if self._worker:
            try:
                report = self._worker.run(int(batch["shard"][0]))
            except LineageError as error:
                self._error = str(error)
        counts = report.counts if report else Counts(0, 0, 0)
        return {
            "worker": [report.worker if report else ""],
            "images": [counts.images],
            "faults": [counts.faults],
            "detections": [counts.detections],
            "seconds": [report.seconds if report else 0.0],
            "error": [self._error],
        }


def _connect() -> Any:
    """Return the module ray, connected to a cluster.

    Raises:
        LineageError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise LineageError(
            f"--engine ray needs the package {error.name}, which is not installed; run: "
            "pip install 'yolo-lineage[ray]', or leave --engine out to use this machine alone"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    address = os.environ.get("RAY_ADDRESS", "")
    place = address or "this machine"
    try:
        _check_address(address)
        ray.init(log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except Exception as error:  # Ray raises Exception itself if a node does not start in time
        raise LineageError(
            f"Ray at {place} cannot be reached ({_last_line(error)}); check RAY_ADDRESS, or leave --engine out to "
            "use this machine alone"
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _check_address(address: str) -> None:
    """Raise OSError if nothing listens at an address such as host:6379. Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def _check_model(job: Job) -> None:
    """Check that this node has the model."""
    path = job.package.model_path
    if not path.is_file() or file_sha256(path) != job.manifest.options.model_sha256:
        raise LineageError(
            f"{path} on {socket.gethostname()}: expected the model that the run was started with; keep the repository "
            "in a folder that all nodes share"
        )


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
