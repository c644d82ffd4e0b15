"""NVIDIA's tritonclient over HTTP against a real server: sync and asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model_zoo.contract.pipeline import preprocess
from model_zoo.contract.repository import Repository
from tests.e2e.server import Server
from tests.service.app_client import png
from tests.tiny_onnx import toy_card, toy_onnx

http = pytest.importorskip("tritonclient.http", reason="tritonclient is a development package")
aio = pytest.importorskip("tritonclient.http.aio", reason="tritonclient is a development package")

IMAGES = [np.full((48, 96, 3), (200, 250, 50), np.uint8), np.full((64, 64, 3), (90, 10, 130), np.uint8)]
FILES = np.array([png(image) for image in IMAGES], dtype=np.object_)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("triton")
    (folder / "model.onnx").write_bytes(toy_onnx(toy_card()))
    Repository(folder / "models").publish(toy_card(), {"model.onnx": folder / "model.onnx"})
    with Server(folder / "models") as server:
        yield server.wait_until_ready()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def tensor(name: str, array: np.ndarray, datatype: str) -> Any:
    made = http.InferInput(name, array.shape, datatype)
    made.set_data_from_numpy(array)
    return made


def expected(server: Server) -> list[list[list[float]]]:
    files = [("file", (f"{i}.png", file)) for i, file in enumerate(FILES)]
    results = server.client.post("/detect", files=files).json()["results"]
    return [[[*d["box"], d["score"], d["class_id"]] for d in result["detections"]] for result in results]


def test_files_equal_detect(server: Server, client: Any) -> None:
    result = client.infer("toy", [tensor("image", FILES, "BYTES")], request_id="7")
    answer = result.get_response()
    assert (answer["id"], answer["model_version"]) == ("7", "1")
    boxes = expected(server)
    assert result.as_numpy("count").tolist() == [len(rows) for rows in boxes]
    for rows, found in zip(boxes, result.as_numpy("detections"), strict=True):
        np.testing.assert_allclose(found[: len(rows)], rows, atol=1e-3)


@pytest.mark.parametrize(("binary", "packed"), [(True, None), (True, "gzip"), (False, "deflate")])
def test_tensors_in_every_form(client: Any, binary: bool, packed: str | None) -> None:
    canvases = np.stack([preprocess(toy_card(), image).pixels for image in IMAGES] * 8)
    images = http.InferInput("images", canvases.shape, "UINT8").set_data_from_numpy(canvases, binary_data=binary)
    outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in ("count", "detections")]
    threshold = tensor("score_threshold", np.array([0.1], np.float32), "FP32")
    result = client.infer(
        "toy",
        [images, threshold],
        "1",
        outputs,
        priority=1,
        timeout=20_000_000,
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
        parameters={"own": "ignored"},
    )
    assert [output["name"] for output in result.get_response()["outputs"]] == ["count", "detections"]
    assert result.as_numpy("count").tolist() == [3, 2] * 8
    mean = canvases[0].mean(axis=(0, 1))
    assert sorted(result.as_numpy("detections")[0, :, 4]) == pytest.approx(sorted(mean / 255), abs=1e-5)


def test_descriptions_and_statistics(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert not client.is_model_ready("none")
    assert "statistics" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("toy")["versions"] == ["1"]
    assert client.get_model_config("toy", "1")["max_batch_size"] == 0
    assert [row["state"] for row in client.get_model_repository_index()] == ["READY"]
    before = client.get_inference_statistics("toy")["model_stats"][0]["inference_stats"]["success"]["count"]
    client.infer("toy", [tensor("image", FILES, "BYTES")])
    after = client.get_inference_statistics()["model_stats"][0]["inference_stats"]["success"]["count"]
    assert after == before + 1


@pytest.mark.parametrize(
    ("model", "inputs", "reason"),
    [
        ("none", [("image", FILES, "BYTES")], "no model 'none'"),
        ("toy", [("image", FILES[:0].reshape(0), "BYTES")], "expected a shape of 1 to 8 positive integers"),
        ("toy", [("image", np.array([b"GIF89a"], np.object_), "BYTES")], "GIF"),
    ],
)
def test_errors_have_a_text(client: Any, model: str, inputs: list[Any], reason: str) -> None:
    with pytest.raises(http.InferenceServerException, match=reason):
        client.infer(model, [tensor(*one) for one in inputs])
    with pytest.raises(http.InferenceServerException, match="needs API keys"):
        client.load_model("toy")


def test_asyncio_client_reads_every_answer(server: Server) -> None:
    async def run() -> None:
        async with aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("toy"))["name"] == "toy"
            assert (await client.get_model_repository_index())[0]["name"] == "toy"
            files = tensor("image", np.repeat(FILES, 8), "BYTES")
            answers = await asyncio.gather(*(client.infer("toy", [files]) for _ in range(4)))
            assert {answer.as_numpy("detections").shape[0] for answer in answers} == {16}
            with pytest.raises(http.InferenceServerException, match="no model 'none'"):
                await client.infer("none", [files])

    asyncio.run(run())
