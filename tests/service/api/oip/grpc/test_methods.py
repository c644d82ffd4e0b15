"""Methods, called by tritonclient."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("grpc", reason="needs the extra grpc")
triton = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")

from service.api.oip.grpc import methods
from service.api.oip.grpc.protobuf import message
from service.inference.request import RequestContext
from service.state import AppState
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.grpc_server import GrpcClient

RED = png(flat(255))


@pytest.fixture(scope="module")
def client(server: GrpcClient) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def image(*files: bytes) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=object))
    return tensor


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "1")
    assert not client.is_model_ready("toy", "9")
    assert not client.is_model_ready("unknown")


def test_metadata_and_configuration(client: triton.InferenceServerClient) -> None:
    assert "statistics" in client.get_server_metadata().extensions
    metadata = client.get_model_metadata("toy")
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("toy", ["1"], "yolo-lineage")
    assert {tensor.name: tensor.datatype for tensor in metadata.inputs}["image"] == "BYTES"
    config = client.get_model_config("toy").config
    assert [(tensor.name, tensor.data_type) for tensor in config.output] == [("detections", 11), ("count", 8)]
    assert '"red"' in config.parameters["class_names"].string_value


def test_repository(client: triton.InferenceServerClient) -> None:
    [row] = client.get_model_repository_index().models
    assert (row.name, row.version, row.state, row.reason) == ("toy", "1", "READY", "")


def test_statistics_count_inferences(client: triton.InferenceServerClient) -> None:
    def images() -> int:
        [row] = client.get_inference_statistics("toy").model_stats
        assert len(client.get_inference_statistics().model_stats) == 1
        return int(row.inference_count)

    before = images()
    client.infer("toy", [image(RED, RED)])
    assert images() == before + 2


def test_inference(client: triton.InferenceServerClient) -> None:
    result = client.infer("toy", [image(RED)], request_id="7", priority=1, timeout=30_000_000)
    assert result.as_numpy("detections").shape == (1, 1, 6)
    assert result.as_numpy("count").tolist() == [1]
    assert result.get_response().id == "7"


@pytest.mark.parametrize(("values", "in_thread"), [(100, False), (100_000, True)])
def test_long_lists_of_numbers_are_decoded_in_a_thread(
    values: int, *, in_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def return_thread(_: Any, thread: int, __: Any) -> int:
        return thread

    monkeypatch.setattr(methods, "read_request", lambda _: threading.get_ident())
    monkeypatch.setattr(methods, "write_response", lambda thread: thread)
    monkeypatch.setattr(methods.infer, "infer", return_thread)
    request = message("ModelInferRequest")(inputs=[{"contents": {"uint_contents": [1] * values}}])
    used = asyncio.run(methods.model_infer(cast(AppState, None), request, cast(RequestContext, None)))
    assert (used != threading.get_ident()) is in_thread


def test_outputs_are_those_that_are_asked_for(client: triton.InferenceServerClient) -> None:
    result = client.infer("toy", [image(RED)], outputs=[triton.InferRequestedOutput("count")])
    assert [output.name for output in result.get_response().outputs] == ["count"]


def test_errors_have_a_code_and_a_reason(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("images", [1, 64, 64, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.float32))
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer("toy", [tensor])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "images (UINT8 [N, height, width, 3])" in caught.value.message()


def test_stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[tuple[triton.InferResult, triton.InferenceServerException]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("toy", [image(RED)], request_id="1")
    client.async_stream_infer("unknown", [image(RED)], request_id="2")
    (first, no_error), (_, error) = sorted((answers.get(timeout=30) for _ in range(2)), key=lambda pair: bool(pair[1]))
    client.stop_stream()
    assert no_error is None
    assert first.get_response().id == "1"
    assert "no model 'unknown'" in error.message()
