"""tritonclient over gRPC: sync, with callbacks, as a stream and with asyncio."""

import asyncio
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as aio
from PIL import Image
from tritonclient.utils import InferenceServerException

_, ADDRESS, MODEL, FILE, SCORE, IOU = sys.argv[1:]
with open(FILE, "rb") as file:
    ENCODED = np.array([file.read()], dtype=object)
CANVAS = np.asarray(Image.open(FILE).convert("RGB"))[None]


def inputs(name, kind, array):
    tensors = [grpc.InferInput(name, array.shape, kind)]
    tensors += [grpc.InferInput(f"{limit}_threshold", [1], "FP32") for limit in ("score", "iou")]
    for tensor, value in zip(tensors, (array, *(np.array([x], np.float32) for x in (float(SCORE), float(IOU))))):
        tensor.set_data_from_numpy(value)
    return tensors


def rows(result):
    count = int(result.as_numpy("count")[0])
    return [[int(row[5]), float(row[4]), *map(float, row[:4])] for row in result.as_numpy("detections")[0][:count]]


def ask(client):
    encoded, canvas = inputs("image", "BYTES", ENCODED), inputs("images", "UINT8", CANVAS)
    answers = queue.Queue()
    client.async_infer(MODEL, encoded, lambda result, error: answers.put(error or result))
    named = [grpc.InferRequestedOutput(name) for name in ("count", "detections")]
    return {
        "file": client.infer(MODEL, encoded),
        "canvas": client.infer(MODEL, canvas, outputs=named, request_id="abc", priority=1, client_timeout=30),
        "gzip": client.infer(MODEL, encoded, compression_algorithm="gzip"),
        "callback": answers.get(timeout=30),
    }


def ask_stream(client):
    """Send good, bad, good over one stream. The bad one is answered by an error, and the stream goes on."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))
    broken = np.array([b"\xff\xd8"], dtype=object)
    for number, data in enumerate((ENCODED, broken, ENCODED)):
        client.async_stream_infer(MODEL, inputs("image", "BYTES", data), request_id=str(number))
    found = [answers.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    results = [answer for answer in found if isinstance(answer, grpc.InferResult)]
    assert {result.get_response().id for result in results} == {"0", "2"}
    return {f"stream {number}": result for number, result in enumerate(results)}


def read(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert not client.is_model_ready("unknown")
    assert client.get_server_metadata().name
    assert [tensor.name for tensor in client.get_model_metadata(MODEL).outputs] == ["detections", "count"]
    assert client.get_model_config(MODEL).config.name == MODEL
    assert MODEL in [model.name for model in client.get_model_repository_index().models]
    assert client.get_inference_statistics(MODEL).model_stats[0].inference_stats.success.count > 0
    for model, data, code in (
        ("unknown", ENCODED, "NOT_FOUND"),
        (MODEL, np.array([b"no"], object), "INVALID_ARGUMENT"),
    ):
        assert code in status_of(client, model, data)


def status_of(client, model, data):
    try:
        client.infer(model, inputs("image", "BYTES", data))
    except InferenceServerException as error:
        return error.status()
    return "OK"


async def ask_async():
    async def requests():
        yield {"model_name": MODEL, "inputs": inputs("image", "BYTES", ENCODED), "request_id": "1"}

    async with aio.InferenceServerClient(ADDRESS) as client:
        assert await client.is_model_ready(MODEL)
        single = await client.infer(MODEL, inputs("image", "BYTES", ENCODED))
        streamed = [result async for result, error in client.stream_infer(requests()) if not error]
        return {"asyncio": single, "asyncio stream": streamed[0]}


with grpc.InferenceServerClient(ADDRESS) as client:
    results = ask(client) | ask_stream(client)
    read(client)
results |= asyncio.run(ask_async())
print(json.dumps({name: rows(result) for name, result in results.items()}))
