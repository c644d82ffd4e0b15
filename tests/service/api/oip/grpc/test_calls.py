"""Calls and streams of real clients over real connections: answers, limits, keys, records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")

import numpy as np
from grpc import StatusCode

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.api.oip.grpc.protobuf import message
from tests.e2e.server import Server
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat
from tests.service.fake_engine import GatedEngines
from tests.service.grpc_server import GrpcClient, GrpcServer, files_request, outputs_of, refused

RED, GREEN = png(flat(255)), png(flat(90, 200))


def infer(server: GrpcClient, request: Any, **options: Any) -> Any:
    answer = message("ModelInferResponse")()
    answer.MergeFromString(server.call("ModelInfer", request.SerializeToString(), **options).result())
    return answer


def requests_counted(server: GrpcClient, code: str) -> float:
    pattern = re.compile(rf'lineage_requests_total{{code="{code}",[^}}]*protocol="oip-grpc"[^}}]*}} (\S+)')
    return sum(float(value) for value in pattern.findall(server.metrics()))


def test_files_have_the_detections_of_the_native_protocol(server: GrpcClient) -> None:
    answer = infer(server, files_request(RED, GREEN, id="7"))
    outputs = outputs_of(answer)
    files = [("file", ("a.png", image)) for image in (RED, GREEN)]
    results = server.http.post("/detect", files=files).json()["results"]
    assert (answer.model_name, answer.model_version, answer.id) == ("toy", "1", "7")
    assert outputs["count"].tolist() == [len(result["detections"]) for result in results]
    for rows, result in zip(outputs["detections"], results, strict=True):
        boxes = [found["box"] for found in result["detections"]]
        np.testing.assert_allclose(rows[: len(boxes), :4], boxes, atol=1e-3)


def test_numbers_in_contents_and_in_bytes_are_the_same(server: GrpcClient) -> None:
    canvas = flat(200, 100, 50)
    kinds = {"images": ("UINT8", [1, 64, 64, 3]), "score_threshold": ("FP32", [1])}
    raw, typed = (message("ModelInferRequest")(model_name="toy") for _ in range(2))
    for name, (datatype, shape) in kinds.items():
        for request in (raw, typed):
            request.inputs.add(name=name, datatype=datatype, shape=shape)
    raw.raw_input_contents.extend([canvas.tobytes(), np.float32(0.3).tobytes()])
    typed.inputs[0].contents.uint_contents.extend(canvas.ravel().tolist())
    typed.inputs[1].contents.fp32_contents.append(0.3)
    first, second = (outputs_of(infer(server, request)) for request in (raw, typed))
    assert first["count"].tolist() == second["count"].tolist() == [2]
    assert np.array_equal(first["detections"], second["detections"])


BROKEN = {
    "damaged": (b"\x0a\xff\xff\xff", "its bytes are damaged"),
    "cut": (files_request(RED).SerializeToString()[:-9], "its bytes are damaged"),
    "empty": (b"", "got neither"),
    "unknown model": (files_request(RED, model="unknown").SerializeToString(), "no model 'unknown'"),
    "no tensors": (message("ModelInferRequest")(model_name="toy").SerializeToString(), "got neither"),
    "no image": (files_request(b"text").SerializeToString(), "image[0]"),
}


@pytest.mark.parametrize(("data", "text"), BROKEN.values(), ids=BROKEN)
def test_broken_messages_are_refused(server: GrpcClient, data: bytes, text: str) -> None:
    code, reason = refused(server.call("ModelInfer", data))
    assert code == (StatusCode.NOT_FOUND if "no model" in text else StatusCode.INVALID_ARGUMENT)
    assert text in reason


def test_calls_without_a_message_are_refused(server: GrpcClient) -> None:
    stub = server.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
    code, text = refused(stub.future(iter(()), timeout=30))
    assert (code, text) == (StatusCode.INVALID_ARGUMENT, "expected one message; got none")


def test_messages_have_the_size_of_a_body_at_most(server: GrpcClient, process: Server) -> None:
    for _ in range(10):  # in some, gRPC ends the call before the server does
        code, text = refused(server.call("ModelInfer", bytes(2 << 20)))
        assert code == StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in text
    server.call("ServerLive", b"", [("x-request-id", "after-large")]).result()
    process.wait_for_log(re.compile("after-large"))
    assert "Traceback" not in process.log


def test_compressed_messages_are_accepted_within_the_same_size(server: GrpcClient) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        answer = infer(server, files_request(RED, id="x" * 500), compression=compression)
        assert outputs_of(answer)["count"].tolist() == [1]
        code, text = refused(server.call("ModelInfer", bytes(8 << 20), compression=compression))
        assert code == StatusCode.INVALID_ARGUMENT
        assert "at most 1,048,576 decompressed bytes" in text


def test_methods_that_are_not_offered_are_named(server: GrpcClient) -> None:
    code, text = refused(server.call("SystemSharedMemoryStatus", b""))
    assert code == StatusCode.UNIMPLEMENTED
    assert text.startswith("SystemSharedMemoryStatus is not offered")


def test_ids_of_requests_are_returned(server: GrpcClient) -> None:
    good, bad = (server.call("ServerLive", b"", [("x-request-id", sent)]) for sent in ("abc-1", "a b"))
    assert ("x-request-id", "abc-1") in good.trailing_metadata()
    assert len(dict(bad.trailing_metadata())["x-request-id"]) == 32


def test_calls_are_logged_and_counted(process: Server, server: GrpcClient) -> None:
    before = requests_counted(server, "OK")
    server.call("ModelInfer", files_request(RED).SerializeToString(), [("x-request-id", "good")]).result()
    unknown = files_request(RED, model="unknown").SerializeToString()
    traced = [("x-request-id", "bad"), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")]
    refused(server.call("ModelInfer", unknown, traced))
    server.call("ServerLive", b"", [("x-request-id", "probe")]).result()
    wait_until(lambda: requests_counted(server, "OK") >= before + 2)
    path = r"/inference\.GRPCInferenceService"
    counts = r"received=[1-9]\d* sent=[1-9]\d*"
    for line in (
        rf"INFO service\.access request=good {path}/ModelInfer status=OK took_ms=\S+ model=toy version=1 {counts}",
        rf"INFO service\.access request=bad {path}/ModelInfer trace=a{{32}} status=NOT_FOUND .* problem=no-such-model",
        rf"DEBUG service\.access request=probe {path}/ServerLive status=OK",
    ):
        process.wait_for_log(re.compile(line))


def test_messages_of_a_stream_are_answered_one_by_one(server: GrpcClient) -> None:
    sent = [files_request(RED, id="1"), files_request(b"text", id="2"), b"\x0a\xff", files_request(GREEN, id="3")]
    sent[3].parameters["triton_enable_empty_final_response"].bool_param = True
    answers = {answer.infer_response.id: answer for answer in server.stream(iter(sent))}
    assert answers.keys() == {"1", "2", "", "3"}
    assert "image[0]" in answers["2"].error_message
    assert "damaged" in answers[""].error_message
    for identity, count in (("1", 1), ("3", 2)):
        assert not answers[identity].error_message
        assert outputs_of(answers[identity].infer_response)["count"].tolist() == [count]


def test_many_messages_of_a_stream_are_all_answered(server: GrpcClient) -> None:
    answers = list(server.stream(files_request(RED, id=str(i)) for i in range(100)))
    assert sorted(int(answer.infer_response.id) for answer in answers) == list(range(100))
    assert {answer.error_message for answer in answers} == {""}


@pytest.fixture
def gated(toy_package: Package) -> Iterator[tuple[GrpcServer, GatedEngines]]:
    """A server whose engine waits for a gate."""
    engines = GatedEngines()
    engines.gate.set()
    settings: dict[str, Any] = {"warm_up": False, "verify_on_load": False, "workers": 1, "max_batch": 1}
    with GrpcServer(Repository(toy_package.path.parents[1]), engines, **settings) as server:
        server.wait_until_ready()
        engines.gate.clear()
        yield server, engines
        engines.gate.set()


def test_deadlines_are_those_of_the_client_and_of_the_request(gated: tuple[GrpcServer, GatedEngines]) -> None:
    server, _ = gated
    request = files_request(RED)
    request.parameters["timeout"].int64_param = 50_000
    code, text = refused(server.call("ModelInfer", request.SerializeToString()))
    assert code == StatusCode.DEADLINE_EXCEEDED
    assert "deadline" in text.lower() or "time" in text
    code, _ = refused(
        server.call("ModelInfer", files_request(RED).SerializeToString(), [("x-request-timeout", "0.05")])
    )
    assert code == StatusCode.DEADLINE_EXCEEDED


def test_cancelled_calls_stop_their_work(gated: tuple[GrpcServer, GatedEngines]) -> None:
    server, engines = gated
    data = files_request(RED).SerializeToString()
    first, second = server.call("ModelInfer", data), server.call("ModelInfer", data)
    wait_until(lambda: engines.started == 1 and 'lineage_queue_images{model="toy",version="1"} 1.0' in server.metrics())
    second.cancel()
    wait_until(lambda: 'lineage_queue_images{model="toy",version="1"} 0.0' in server.metrics())
    wait_until(lambda: requests_counted(server, "CANCELLED") == 1)
    engines.gate.set()
    assert first.result()
    assert engines.batches == [1]


def test_too_many_calls_of_an_address_are_refused(toy_package: Package) -> None:
    with GrpcServer(Repository(toy_package.path.parents[1]), rate_per_address=0.001, rate_burst=1) as server:
        assert server.ask("ServerMetadata").version
        call = server.call("ServerMetadata", b"")
        assert refused(call)[0] == StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(call.trailing_metadata())["grpc-retry-pushback-ms"]) > 1000
        [answer] = server.stream(iter([files_request(RED, id="1")]))
        assert "too many requests of one address" in answer.error_message
        assert server.ask("ServerLive").live


def test_addresses_behind_a_trusted_proxy_are_those_of_clients(toy_package: Package) -> None:
    options: dict[str, Any] = {"rate_per_address": 0.001, "rate_burst": 1, "trusted_proxies": "127.0.0.1"}
    with GrpcServer(Repository(toy_package.path.parents[1]), **options) as server:
        for last in (1, 2):
            assert server.ask("ServerMetadata", [("x-forwarded-for", f"192.0.2.{last}")]).version
        code, _ = refused(server.call("ServerMetadata", b"", [("x-forwarded-for", "192.0.2.1")]))
        assert code == StatusCode.RESOURCE_EXHAUSTED
