"""Containers of the Kubernetes manifests on a Docker engine: their images, arguments, variables, limits and folders.

Needs a Docker engine, by default or at DOCKER_HOST. Skipped without one.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_zoo.contract.repository import Repository
from tests.e2e.compose import free_port, require_engine, run, wait_until
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.deploy.kubernetes.manifests import Manifest, one, pods, server
from tests.tiny_onnx import toy_card, toy_onnx

triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is a development package")
MODEL = "yolov5n"  # the name of the InferenceService

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def limits(pod: Manifest, container: Manifest) -> list[str]:
    """Return the options of `docker run` for the privileges and resources of a container."""
    assert container["securityContext"]["readOnlyRootFilesystem"]
    found = container["resources"]["limits"]
    memory = found["memory"].removesuffix("i").lower()
    options = [
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--memory={memory}",
    ]
    return [
        *options,
        f"--user={pod['securityContext']['runAsUser']}",
        f"--cpus={min(int(found['cpu']), os.cpu_count() or 1)}",
    ]


def build(target: str, image: str, *options: str) -> None:
    run("docker", "build", "--network=host", f"--target={target}", *options, f"--tag={image}", ".")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder that `storageUri` names."""
    assert one("kserve", "InferenceService")["metadata"]["name"] == MODEL
    (tmp_path / "model.onnx").write_bytes(toy_onnx(toy_card(MODEL)))
    Repository(tmp_path / "models").publish(toy_card(MODEL), {"model.onnx": tmp_path / "model.onnx"})
    return tmp_path / "models"


@pytest.fixture
def ports(models: Path) -> Iterator[tuple[int, int]]:
    """Ports of HTTP and gRPC of the running container."""
    require_engine()
    container, (pod,) = server("kserve"), pods("kserve")
    build("cpu", container["image"], "--build-arg=EXTRAS=cpu,grpc")
    found = free_port(), free_port()
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    variables |= {"LINEAGE_PORT": str(found[0]), "LINEAGE_GRPC_PORT": str(found[1])}
    options = [option for name, value in variables.items() for option in ("--env", f"{name}={value}")]
    options += [*limits(pod, container), "--network=host", f"--volume={models}:/mnt/models:ro"]
    started = run("docker", "run", "--detach", *options, container["image"], *container["args"])
    ready = f"http://127.0.0.1:{found[0]}{container['readinessProbe']['httpGet']['path']}"
    try:
        wait_until(lambda: is_ready(ready), lambda: run("docker", "logs", started))
        yield found
    finally:
        run("docker", "rm", "--force", started)


def is_ready(address: str) -> bool:
    try:
        return httpx2.get(address).status_code == 200
    except httpx2.TransportError:
        return False


def test_kserve_container_answers_over_both_protocols(ports: tuple[int, int]) -> None:
    image = png(flat(200, 250, 50))
    files = {"file": ("image.png", image)}
    (result,) = httpx2.post(f"http://127.0.0.1:{ports[0]}/detect", files=files).json()["results"]
    rows = [[*found["box"], found["score"], found["class_id"]] for found in result["detections"]]
    assert len(rows) > 0
    json = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(image).decode()]}]
    }
    answer = httpx2.post(f"http://127.0.0.1:{ports[0]}/v2/models/{MODEL}/infer", json=json).json()
    (output,) = (output for output in answer["outputs"] if output["name"] == "detections")
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"])[0], rows, atol=1e-3)
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([image], np.object_))
    with triton.InferenceServerClient(f"127.0.0.1:{ports[1]}") as client:
        np.testing.assert_allclose(client.infer(MODEL, [tensor]).as_numpy("detections")[0], rows, atol=1e-3)


def test_init_container_makes_packages_within_its_limits(shared: Path, tmp_path: Path) -> None:
    """Here it imports a file instead of the download."""
    require_engine()
    (pod,) = pods("pull")
    (container,) = pod["initContainers"]
    build("training", container["image"])
    tmp_path.chmod(0o777)
    options = [
        *limits(pod, container),
        f"--volume={tmp_path}:/models",
        f"--volume={(shared / 'weights').resolve()}:/weights:ro",
    ]
    run(
        "docker",
        "run",
        "--rm",
        *options,
        container["image"],
        "import",
        "/weights/yolov5n.pt",
        "--repository",
        "/models",
    )
    assert Repository(tmp_path).versions(MODEL) == [1]
