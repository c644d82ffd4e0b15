"""A job that is started again resumes its run: in this process, and under torchrun after a rank was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.contract.errors import LineageError
from model_zoo.export.log import silent
from tests.conftest import ROOT
from tests.training.run.short_runs import OPTIONS, build_config, load_run
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.loop.distributed import ProcessGroup
from training.run import checkpoint
from training.run.job import describe_job, find_run
from training.run.session import open_session
from training.run.train import train
from training.run.trainer import FINISHED, INTERRUPTED, OUT_OF_TIME

TWO = ["--nproc-per-node", "2"]
CONFIG = TrainConfig(model="yolox-test", data=Path("data"), job="7")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "toy", train=16)


def write_run(folder: Path, document: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(document))
    return folder


def test_run_of_the_same_job_and_options_is_found(tmp_path: Path) -> None:
    config = replace(CONFIG, runs=tmp_path)
    write_run(tmp_path / "a", {"job": describe_job(replace(config, job="6"))})
    write_run(tmp_path / "b", {"job": describe_job(replace(config, epochs=3))})
    assert find_run(config) is None
    run = write_run(tmp_path / "c", {"job": describe_job(config)})
    assert find_run(config) == run


def test_runs_without_a_job_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun names it on several machines without --rdzv-id."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    config = replace(CONFIG, runs=tmp_path, job="")
    write_run(tmp_path / "a", {"job": describe_job(config)})
    assert (describe_job(config), find_run(config)) == ({}, None)


def test_torchrun_names_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "bccd")
    assert describe_job(replace(CONFIG, job=""))["id"] == "bccd"
    assert describe_job(CONFIG)["id"] == "7"


@pytest.mark.parametrize("document", [[], {}, {"job": 3}, "text"])
def test_other_documents_are_no_runs_of_the_job(document: object, tmp_path: Path) -> None:
    write_run(tmp_path / "a", document)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_bytes(b"\xff{")
    assert find_run(replace(CONFIG, runs=tmp_path)) is None


@pytest.fixture
def untrained(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """Options of a run of job 7 that ended before its first checkpoint."""
    monkeypatch.setattr("training.run.train._run", lambda _: INTERRUPTED)
    config = build_config(data, tmp_path, epochs=2, job="7")
    assert train(config).folder == tmp_path / "yolox-test"
    return config


def test_job_without_a_checkpoint_begins_again_in_its_folder(untrained: TrainConfig, tmp_path: Path) -> None:
    assert train(untrained).folder == tmp_path / "yolox-test"
    assert train(replace(untrained, job="8")).folder == tmp_path / "yolox-test-2"


def test_batch_that_the_ranks_cannot_share_is_refused_on_resume(untrained: TrainConfig, tmp_path: Path) -> None:
    config = TrainConfig(resume=tmp_path / "yolox-test", device="cpu")
    with ExitStack() as resources, pytest.raises(LineageError, match=r"--batch: expected a multiple of 3, .*; got 4"):
        open_session(config, ProcessGroup(world_size=3), resources, silent)


@pytest.mark.slow
def test_job_resumes_its_run_and_reports_a_finished_one(data: Path, tmp_path: Path) -> None:
    config = build_config(data, tmp_path, epochs=2, hours=1e-9, job="7")
    folder = tmp_path / "yolox-test"
    for reason in (OUT_OF_TIME, FINISHED, FINISHED):
        (folder / "report.html").unlink(missing_ok=True)
        result = train(config)
        assert (result.folder, result.stop_reason) == (folder, reason)
        assert (folder / "report.html").is_file()


def command_of(runs: Path, data: Path, *elastic: str, kill: str = "none 9 1", model: str = "yolox-test") -> list[str]:
    """Return a command of torchrun. `kill` names the rank, the signal and the batch of `killed_run.py`."""
    program = ["-m", "tests.training.killed_run", *kill.split(), "train", *OPTIONS[2:], "--model", model]
    fixed = ["--precision", "fp32", "--epochs", "2", "--save-minutes", "1e-9", "--workers", "1", "--threads", "1"]
    flags = [*fixed, "--data", str(data), "--runs", str(runs)]
    return [sys.executable, "-m", "torch.distributed.run", *elastic, *program, *flags]


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        output = process.communicate(timeout=600)
    finally:
        process.terminate()  # torchrun stops its ranks
    return subprocess.CompletedProcess(process.args, process.returncode, *output)


def torchrun(*arguments: Any, **options: str) -> subprocess.CompletedProcess[str]:
    """Train on ranks of torchrun and return its result."""
    return finish(start(command_of(*arguments, **options)))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("undisturbed")
    done = torchrun(runs, data, *TWO)
    assert done.returncode == 0, done.stderr
    return runs / "yolox-test"


def assert_same_training(first: Path, second: Path) -> None:
    """Tensors are equal to the last bit. Losses are sums of the ranks, rounded in another order after a resume."""
    (expected, state), (actual, other) = load_run(first), load_run(second)
    assert expected.keys() == actual.keys()
    assert [key for key, value in expected.items() if not torch.equal(value, actual[key])] == []
    for row, other_row in zip(state.history, other.history, strict=True):
        assert row["loss"] == pytest.approx(other_row["loss"], rel=1e-6)
        assert row["ap"] == other_row["ap"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_resume_after_one_was_killed(rank: int, data: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Killed in the third batch of the second epoch."""
    done = torchrun(tmp_path, data, *TWO, "--max-restarts", "1", kill=f"{rank} {signal.SIGKILL:d} 7")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["yolox-test"]
    assert f"resuming {tmp_path / 'yolox-test'} at epoch 2, batch 3" in done.stdout
    assert_same_training(undisturbed, tmp_path / "yolox-test")


@pytest.mark.slow
def test_all_ranks_resume_after_one_stopped_to_answer(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    """As when its machine vanishes: nothing is closed. Rank 0 waits for the timeout, and torchrun kills the other."""
    done = torchrun(tmp_path, data, *TWO, "--max-restarts", "1", kill=f"1 {signal.SIGSTOP:d} 7")
    assert done.returncode == 0, done.stderr
    assert f"resuming {tmp_path / 'yolox-test'} at epoch 2, batch 3" in done.stdout
    assert_same_training(undisturbed, tmp_path / "yolox-test")


@pytest.mark.slow
def test_lost_rank_without_restarts_is_one_clear_error(data: Path, tmp_path: Path) -> None:
    done = torchrun(tmp_path, data, *TWO, "--monitor-interval", "9", kill=f"1 {signal.SIGKILL:d} 3")
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("lineage: ")]
    assert "training stopped after epoch 0: a rank has ended, or its network failed" in line
    assert line.endswith(f"lineage train --resume {tmp_path / 'yolox-test'}")


@pytest.fixture(scope="module")
def one_process(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.Tensor, torch.Tensor]:
    """Parameters of one process after two epochs, and what the epochs have changed."""
    runs = tmp_path_factory.mktemp("one")
    config = replace(build_config(data, runs, epochs=2, precision="fp32"), model="yolov5-test")
    trained, unchanged = (parameters_of(train(replace(config, lr=lr)).folder) for lr in (None, 1e-12))
    return trained, trained - unchanged


@pytest.mark.slow
def test_two_ranks_end_with_the_weights_of_one_process(
    data: Path, one_process: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    """Sums are rounded differently: the weights differ by at most 5 % of what training changes."""
    done = torchrun(tmp_path, data, *TWO, model="yolov5-test")
    assert done.returncode == 0, done.stderr
    trained, change = one_process
    assert (parameters_of(tmp_path / "yolov5-test") - trained).norm() < 0.05 * change.norm()


def parameters_of(run: Path) -> torch.Tensor:
    detector = checkpoint.select(load_run(run)[0], "detector")
    return torch.cat([value.flatten() for name, value in detector.items() if name.endswith(("weight", "bias"))])


NODES = ("lineage-node-0", "lineage-node-1")


@pytest.fixture
def nodes() -> Iterator[tuple[str, ...]]:
    """Network namespaces with addresses 10.213.0.1 and 10.213.0.2, joined by a virtual cable."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and `ip`; on Debian and Ubuntu: apt install iproute2")
    with ExitStack() as made:
        for node in NODES:
            if subprocess.run(["ip", "netns", "add", node], capture_output=True, check=False).returncode:
                pytest.skip("this machine allows no network namespaces")
            made.callback(subprocess.run, ["ip", "netns", "delete", node], check=True)
        cable = f"ip link add cable0 netns {NODES[0]} type veth peer name cable1 netns {NODES[1]}"
        if subprocess.run(cable.split(), capture_output=True, check=False).returncode:
            pytest.skip("this machine allows no virtual network cables (veth)")
        for number, node in enumerate(NODES):
            address = f"10.213.0.{number + 1}/24"
            for words in (f"address add {address} dev cable{number}", f"link set cable{number} up", "link set lo up"):
                subprocess.run(["ip", "-netns", node, *words.split()], check=True)
        yield NODES


@pytest.mark.slow
def test_two_nodes_resume_and_end_with_the_weights_of_one_process(
    data: Path, one_process: tuple[torch.Tensor, torch.Tensor], nodes: tuple[str, ...], tmp_path: Path
) -> None:
    """The second node loses its rank in the third batch of the second epoch."""
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.213.0.1:29400", "--rdzv-id", "bccd"]
    elastic = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2", *rendezvous]
    processes = []
    for number, node in enumerate(nodes):
        local = ["--local-addr", f"10.213.0.{number + 1}", "--rdzv-conf", f"is_host={number ^ 1}"]
        kill = f"1 {signal.SIGKILL:d} 7"
        environment = [f"GLOO_SOCKET_IFNAME=cable{number}"]
        command = command_of(tmp_path, data, *elastic, *local, kill=kill, model="yolov5-test")
        processes.append(start(["ip", "netns", "exec", node, "env", *environment, *command]))
    results = [finish(process) for process in processes]
    assert [done.returncode for done in results] == [0, 0], results
    assert any(f"resuming {tmp_path / 'yolov5-test'} at epoch 2" in done.stdout for done in results)
    trained, change = one_process
    assert (parameters_of(tmp_path / "yolov5-test") - trained).norm() < 0.05 * change.norm()
