"""The example for Ray Train, on a Ray of this machine: two workers, one of them killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

needs_ray_train = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ray", "tensorboardX", "torch"))),
    reason="Ray Train is not installed; `make test-ray` installs it and runs this",
)
TIMEOUT = 600.0  # seconds: on two busy cores, Ray and its workers take minutes to start


def kill_worker_after_checkpoint(process: subprocess.Popen[bytes], run: Path) -> None:
    """Kill one of the processes that train, once there is something to resume."""
    end = time.monotonic() + TIMEOUT
    while not (run / "checkpoint.safetensors").is_file():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    next(worker for worker in workers if "RayTrainWorker" in " ".join(worker.cmdline())).kill()


@pytest.mark.slow
@needs_ray_train
def test_workers_resume_the_run_after_one_was_killed(tmp_path: Path) -> None:
    from tests.training.write_data import write_data
    from training.run import checkpoint
    from training.run.run_folder import CHECKPOINT, read_config
    from training.run.trainer import FINISHED

    data, run = write_data(tmp_path / "toy", train=16), tmp_path / "runs" / "yolox-test"
    options = ["--model", "yolox-test", "--image-size", "64", "--batch", "4", "--device", "cpu", "--epochs", "8"]
    options += ["--workers", "0", "--data", str(data), "--runs", str(run.parent), "--job", "7"]
    command = [sys.executable, str(ROOT / "examples" / "ray_train.py"), "--workers", "2", "--", *options]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short paths
        own = {"RAY_ADDRESS": "local", "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder, "PYTHONPATH": str(ROOT)}
        own |= {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": f"{TIMEOUT}", "RAY_USAGE_STATS_ENABLED": "0"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=tmp_path, env=os.environ | own, **pipes) as process:
            try:
                kill_worker_after_checkpoint(process, run)
                log = process.communicate(timeout=TIMEOUT)[0].decode()
            finally:
                process.terminate()  # Ray's processes end with it
    assert process.returncode == 0, log[-5000:]
    assert f"resuming {run} at epoch" in log
    assert [path.name for path in run.parent.iterdir()] == ["yolox-test"]
    assert checkpoint.read(run / CHECKPOINT)[1].stop_reason == FINISHED
    assert read_config(run)[1]["world_size"] == 2
