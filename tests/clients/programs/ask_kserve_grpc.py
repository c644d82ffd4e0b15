"""kserve's gRPC client, which sends typed contents."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from PIL import Image

_, ADDRESS, MODEL, FILE, SCORE, IOU = sys.argv[1:]


def tensor(name, kind, array):
    made = InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=False)
    return made


def request(name, kind, array):
    limits = (("score_threshold", SCORE), ("iou_threshold", IOU))
    tensors = [tensor(limit, "FP32", np.array([float(value)], np.float32)) for limit, value in limits]
    return InferRequest(MODEL, [tensor(name, kind, array), *tensors])


def rows(response):
    arrays = {output.name: output.as_numpy() for output in response.outputs}
    found = arrays["detections"].reshape(1, -1, 6)[0][: int(arrays["count"].reshape(-1)[0])]
    return [[int(row[5]), float(row[4]), *map(float, row[:4])] for row in found]


async def main():
    canvas = np.asarray(Image.open(FILE).convert("RGB"))[None]
    with open(FILE, "rb") as file:
        encoded = InferInput("image", [1], "BYTES", [file.read()])
    async with InferenceGRPCClient(ADDRESS) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(MODEL)
        with_file = request("images", "UINT8", canvas)
        with_file.inputs[0] = encoded
        answers = {
            "canvas": await client.infer(request("images", "UINT8", canvas)),
            "file": await client.infer(with_file),
        }
    return {name: rows(answer) for name, answer in answers.items()}


print(json.dumps(asyncio.run(main())))
