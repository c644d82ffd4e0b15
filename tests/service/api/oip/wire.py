"""Requests and answers of the Open Inference Protocol over HTTP, as bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from httpx2 import Response
from numpy.typing import NDArray
from starlette.testclient import TestClient

HEADER = "Inference-Header-Content-Length"
INFER = "/v2/models/toy/infer"
DATATYPES = {"uint8": "UINT8", "float32": "FP32", "int32": "INT32", "int64": "INT64"}
Tensor = NDArray[Any] | Sequence[bytes]


def elements(files: Sequence[bytes]) -> bytes:
    """Return a binary tensor of BYTES."""
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


def binary(tensors: Mapping[str, Tensor], **members: object) -> tuple[bytes, int]:
    """Return a request of binary tensors, and the size of its JSON document."""
    inputs, data = [], b""
    for name, tensor in tensors.items():
        is_array = isinstance(tensor, np.ndarray)
        raw = tensor.tobytes() if isinstance(tensor, np.ndarray) else elements(tensor)
        datatype = DATATYPES[str(tensor.dtype)] if isinstance(tensor, np.ndarray) else "BYTES"
        shape = tensor.shape if isinstance(tensor, np.ndarray) else [len(tensor)]
        assert is_array or datatype == "BYTES"
        inputs.append(
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        )
        data += raw
    text = json.dumps({"inputs": inputs, **members}).encode()
    return text + data, len(text)


def infer(client: TestClient, tensors: Mapping[str, Tensor], path: str = INFER, **members: object) -> Response:
    """Send binary tensors."""
    body, size = binary(tensors, **members)
    return client.post(path, content=body, headers={HEADER: str(size)})


def infer_json(client: TestClient, *inputs: Mapping[str, object], path: str = INFER, **members: object) -> Response:
    """Send tensors as JSON."""
    return client.post(path, content=json.dumps({"inputs": inputs, **members}))


def outputs(response: Response) -> dict[str, NDArray[Any]]:
    """Return the outputs of an answer by name."""
    assert response.status_code == 200, response.text
    size = int(response.headers.get(HEADER, len(response.content)))
    document, data = json.loads(response.content[:size]), response.content[size:]
    found = {}
    for output in document["outputs"]:
        dtype = {"FP32": np.dtype("<f4"), "INT32": np.dtype("<i4")}[output["datatype"]]
        if "data" in output:
            found[output["name"]] = np.array(output["data"], dtype).reshape(output["shape"])
            continue
        count = output["parameters"]["binary_data_size"]
        found[output["name"]] = np.frombuffer(data[:count], dtype).reshape(output["shape"])
        data = data[count:]
    assert not data
    return found


def error(response: Response, status: int) -> str:
    """Check that a response is an error of the protocol, and return its text."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert "content-encoding" not in response.headers
    return str(response.json()["error"])
