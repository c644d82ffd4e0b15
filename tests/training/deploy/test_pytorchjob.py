"""The manifest for Kubeflow's training operator: valid, and in agreement with the program."""

from __future__ import annotations

import pytest

from lineage.cli.main import find_command
from tests.conftest import ROOT
from tests.service.deploy.kubernetes.manifests import Manifest, errors
from training.config import TrainConfig

yaml = pytest.importorskip("yaml", reason="reading manifests needs PyYAML")


@pytest.fixture(scope="module")
def job() -> Manifest:
    return yaml.safe_load((ROOT / "training" / "deploy" / "pytorchjob.yaml").read_text(encoding="utf-8"))


def pod_of(job: Manifest) -> Manifest:
    return job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]


def test_manifest_matches_the_published_schema(job: Manifest) -> None:
    assert errors(job) == []
    assert errors({**job, "spec": {**job["spec"], "elastic": {}}}) != []


def test_command_trains_with_options_that_exist(job: Manifest) -> None:
    (container,) = pod_of(job)["containers"]
    assert container["command"] == ["torchrun", "-m", "lineage"]
    command, options = find_command(container["args"])
    assert command is not None
    assert command.name == "train"
    names = {option.removeprefix("--").replace("-", "_") for option in options[::2]}
    assert names <= set(TrainConfig.__dataclass_fields__)
    values = dict(zip(options[::2], options[1::2], strict=True))
    elastic = job["spec"]["elasticPolicy"]
    assert int(values["--batch"]) % (elastic["maxReplicas"] * elastic["nProcPerNode"]) == 0


def test_paths_are_on_volumes_that_exist(job: Manifest) -> None:
    pod = pod_of(job)
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    assert {"/cache", "/data", "/runs", "/tmp", "/dev/shm"} == mounts.keys()
    assert job["spec"]["elasticPolicy"]["rdzvId"]  # without it, a restarted job starts a new run
