"""kserve's REST client, with binary and JSON tensors."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from PIL import Image

ADDRESS, _, MODEL, FILE, SCORE, IOU = sys.argv[1:]
URL = f"http://{ADDRESS}"


def tensor(name, kind, array, binary):
    made = InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def request(name, kind, array, binary):
    limits = (("score_threshold", SCORE), ("iou_threshold", IOU))
    tensors = [tensor(limit, "FP32", np.array([float(value)], np.float32), binary) for limit, value in limits]
    return InferRequest(MODEL, [tensor(name, kind, array, binary), *tensors])


def rows(response):
    arrays = {output.name: output.as_numpy() for output in response.outputs}
    found = arrays["detections"].reshape(1, -1, 6)[0][: int(arrays["count"].reshape(-1)[0])]
    return [[int(row[5]), float(row[4]), *map(float, row[:4])] for row in found]


async def main():
    with open(FILE, "rb") as file:
        encoded = np.array([file.read()], dtype=object)
    canvas = np.asarray(Image.open(FILE).convert("RGB"))[None]
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, MODEL)
    answers = {
        "file": await client.infer(URL, request("image", "BYTES", encoded, True), MODEL),
        "canvas": await client.infer(URL, request("images", "UINT8", canvas, True), MODEL),
        "canvas as JSON": await client.infer(URL, request("images", "UINT8", canvas, False), MODEL),
    }
    await client.close()
    return {name: rows(answer) for name, answer in answers.items()}


print(json.dumps(asyncio.run(main())))
