"""The servers to compare: how each is started, what it is sent, and how its answer is read."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "peers"
PROGRAMS: Final = ROOT / "benchmarks" / "peers" / "programs"
CORES: Final = os.cpu_count() or 1
Rows = NDArray[np.float64]
"""Detections, a row each: x1, y1, x2, y2, score and class."""


@dataclass(frozen=True)
class Subject:
    """A server."""

    name: str
    """Name in tables."""
    environment: str
    """Its environment in build/peers."""
    package: str
    """Package whose version is reported."""
    command: tuple[str, ...]
    """Program in the environment and its arguments. {port}, {metrics} and {grpc} are free ports."""
    request: Callable[[bytes], bytes]
    """Build a request from a JPEG file."""
    answer: Callable[[bytes], Rows]
    """Read the head and the body of an answer."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables, with ports as in the command."""


def post(path: str, body: bytes, content_type: str = "image/jpeg", **headers: str) -> bytes:
    """Return the bytes of a POST request."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def image_body(image: bytes) -> bytes:
    """Return a request with a file as its body."""
    return post("/detect", image)


def form(image: bytes) -> bytes:
    """Return a request with a file as a form."""
    head = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    return post("/detect", head + image + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")


def oip_binary(image: bytes) -> bytes:
    """Return an inference request with a file as a binary tensor, and binary outputs."""
    tensor = {
        "name": "image",
        "shape": [len(image)],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": len(image)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference_Header_Content_Length": str(len(head))}
    return post("/v2/models/detect/infer", head + image, "application/octet-stream", **length)


def oip_json(image: bytes) -> bytes:
    """Return an inference request with a file as base64."""
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(image).decode()]}
    body = json.dumps({"inputs": [tensor | {"parameters": {"content_type": "base64"}}]}).encode()
    return post("/v2/models/detect/infer", body, "application/json")


def json_of(answer: bytes) -> Any:
    """Return the JSON of an answer, which may arrive in chunks."""
    body = answer.partition(b"\r\n\r\n")[2]
    first, last = min(i for i in (body.find(b"{"), body.find(b"[")) if i >= 0), max(body.rfind(b"}"), body.rfind(b"]"))
    return json.loads(body[first : last + 1])


def rows(values: object) -> Rows:
    """Return detections as an array."""
    return np.asarray(values, np.float64).reshape(-1, 6)


def lineage_rows(answer: bytes) -> Rows:
    """Read an answer of this project."""
    found = json_of(answer)["results"][0]["detections"]
    return rows([[*each["box"], each["score"], each["class_id"]] for each in found])


def oip_binary_rows(answer: bytes) -> Rows:
    """Read a binary tensor."""
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return rows(np.frombuffer(body[int(fields[b"inference-header-content-length"]) :], np.float32))


def wrapped_rows(answer: bytes) -> Rows:
    """Read {"detections": [...]}."""
    return rows(json_of(answer)["detections"])


def lineage(name: str, environment: str, checkout: Path = ROOT) -> Subject:
    """Return a server of this project with its defaults. Without a cache, it measures configurations at every start."""
    command = ("python", "-m", "lineage", "serve", "--repository", str(BUILD / "models"), "--port", "{port}")
    variables = {"PYTHONPATH": str(checkout), "LINEAGE_CACHE": "{folder}"}
    return Subject(name, environment, "yolo-lineage", command, image_body, lineage_rows, variables)


UVICORN: Final = ("uvicorn", "--port", "{port}", "--log-level", "warning")
MLSERVER: Final = {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_HTTP_PORT": "{port}",
    "MLSERVER_GRPC_PORT": "{grpc}",
    "MLSERVER_METRICS_PORT": "{metrics}",
    "MLSERVER_DEBUG": "false",
    "MLSERVER_PARALLEL_WORKERS": str(CORES),
    "MLSERVER_MODEL_NAME": "detect",
    "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_runtime.Detection",
}
BENTOML: Final = ("bentoml", "serve", "bentoml_service:Detection", "--host", "127.0.0.1", "--port", "{port}")
SUBJECTS: Final = (
    lineage("lineage", "lineage"),
    lineage("lineage + OpenVINO", "lineage-openvino"),
    Subject("plain FastAPI", "fastapi", "fastapi", (*UVICORN, "fastapi_plain:app"), form, wrapped_rows),
    Subject(
        "tuned FastAPI",
        "fastapi",
        "fastapi",
        (*UVICORN, "--no-access-log", "fastapi_tuned:app"),
        image_body,
        wrapped_rows,
    ),
    Subject(
        "LitServe",
        "litserve",
        "litserve",
        ("python", str(PROGRAMS / "litserve_server.py"), "{port}"),
        image_body,
        wrapped_rows,
    ),
    Subject(
        "BentoML",
        "bentoml",
        "bentoml",
        BENTOML,
        image_body,
        lambda a: rows(json_of(a)),
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Subject(
        "Ray Serve",
        "ray",
        "ray",
        ("python", str(PROGRAMS / "ray_server.py"), "{port}"),
        image_body,
        wrapped_rows,
        {"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Subject(
        "NVIDIA Triton",
        "triton",
        "nvidia-pytriton",
        ("python", str(PROGRAMS / "triton_server.py"), "{port}"),
        oip_binary,
        oip_binary_rows,
    ),
    Subject(
        "MLServer",
        "mlserver",
        "mlserver",
        ("mlserver", "start", "{folder}"),
        oip_json,
        lambda a: rows(json_of(a)["outputs"][0]["data"]),
        MLSERVER,
    ),
)
