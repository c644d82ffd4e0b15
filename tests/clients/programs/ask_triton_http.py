"""tritonclient over HTTP: all its calls that the server answers, sync, with callbacks and with asyncio."""

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from PIL import Image
from tritonclient.utils import InferenceServerException

ADDRESS, _, MODEL, FILE, SCORE, IOU = sys.argv[1:]
with open(FILE, "rb") as file:
    ENCODED = np.array([file.read()], dtype=object)
CANVAS = np.asarray(Image.open(FILE).convert("RGB"))[None]


def inputs(name, kind, array):
    tensors = [http.InferInput(name, array.shape, kind)]
    tensors += [http.InferInput(f"{limit}_threshold", [1], "FP32") for limit in ("score", "iou")]
    for tensor, value in zip(tensors, (array, *(np.array([x], np.float32) for x in (float(SCORE), float(IOU))))):
        tensor.set_data_from_numpy(value)
    return tensors


def outputs(binary):
    return [http.InferRequestedOutput(name, binary_data=binary) for name in ("count", "detections")]


def rows(result):
    count = int(result.as_numpy("count")[0])
    return [[int(row[5]), float(row[4]), *map(float, row[:4])] for row in result.as_numpy("detections")[0][:count]]


def ask(client):
    """Return the detections of each form of request."""
    encoded, canvas = inputs("image", "BYTES", ENCODED), inputs("images", "UINT8", CANVAS)
    return {
        "file": client.infer(MODEL, encoded),
        "canvas": client.infer(MODEL, canvas),
        "outputs as JSON": client.infer(MODEL, encoded, outputs=outputs(False)),
        "outputs as binary": client.infer(MODEL, canvas, outputs=outputs(True), request_id="abc", priority=1),
        "gzip": client.infer(
            MODEL, encoded, request_compression_algorithm="gzip", response_compression_algorithm="gzip"
        ),
        "deflate": client.infer(
            MODEL, canvas, request_compression_algorithm="deflate", response_compression_algorithm="deflate"
        ),
        "deadline": client.infer(MODEL, encoded, model_version="1", timeout=30_000_000),
        "callback": client.async_infer(MODEL, encoded).get_result(),
    }


def read(client):
    """Check the answers about the server and the model."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("unknown")
    assert client.get_server_metadata()["name"]
    metadata = client.get_model_metadata(MODEL)
    assert {"image", "images"} & {tensor["name"] for tensor in metadata["inputs"]}
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["detections", "count"]
    assert client.get_model_config(MODEL)["max_batch_size"] >= 0
    assert MODEL in [model["name"] for model in client.get_model_repository_index()]
    statistics = client.get_inference_statistics(MODEL)["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] > 0
    for call in (client.load_model, client.unload_model):
        assert "--keys" in error_of(call, MODEL)  # without a file of keys nobody may
    assert "unknown" in error_of(client.infer, "unknown", inputs("image", "BYTES", ENCODED))
    assert "image" in error_of(client.infer, MODEL, inputs("image", "BYTES", np.array([b"\xff\xd8"], dtype=object)))


def error_of(call, *arguments):
    try:
        call(*arguments)
    except InferenceServerException as error:
        return str(error)
    raise AssertionError(f"{call} was not refused")


async def ask_async():
    async with aio.InferenceServerClient(ADDRESS) as client:
        assert await client.is_server_live()
        assert await client.is_model_ready(MODEL)
        assert (await client.get_model_metadata(MODEL))["name"] == MODEL
        assert await client.get_model_repository_index()
        encoded = inputs("image", "BYTES", ENCODED)
        plain = await client.infer(MODEL, encoded)
        packed = await client.infer(MODEL, encoded, response_compression_algorithm="gzip")
        return {"asyncio": rows(plain), "asyncio with gzip": rows(packed)}


with http.InferenceServerClient(ADDRESS, concurrency=2) as client:
    found = {name: rows(result) for name, result in ask(client).items()}
    read(client)
print(json.dumps(found | asyncio.run(ask_async())))
