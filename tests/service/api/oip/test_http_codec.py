"""Inferences over HTTP: the JSON document and the binary tensors after it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.errors import BadRequest
from service.api.oip.http_codec import decode, encode
from service.api.oip.messages import InferResponse, OutputTensor
from tests.service.api.oip.wire import binary

INPUT = {"name": "images", "datatype": "UINT8", "shape": [1]}
ROWS = OutputTensor("detections", "FP32", np.array([[1 / 3, 2, 3]], np.float32))
COUNT = OutputTensor("count", "INT32", np.array([7], np.int32))


def document(*inputs: dict[str, Any], **members: object) -> bytes:
    return json.dumps({"inputs": inputs, **members}).encode()


def test_binary_tensors_are_views_of_the_body() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    body, size = binary({"images": images, "score_threshold": np.array([0.5], np.float32), "image": [b"file"]}, id="7")
    message = decode(body, size, "toy", "1").message
    assert (message.model, message.version, message.id, message.outputs) == ("toy", "1", "7", [])
    pixels, score, files = (tensor.data for tensor in message.inputs)
    np.testing.assert_array_equal(np.asarray(pixels), images)
    for tensor in (pixels, score):
        assert np.shares_memory(np.asarray(tensor), np.frombuffer(body, np.uint8))
    assert files == [b"file"]


def test_json_and_binary_tensors_can_be_mixed() -> None:
    inputs = [INPUT | {"data": [3]}, INPUT | {"name": "second", "parameters": {"binary_data_size": 1}}]
    text = document(*inputs, unknown=1, model_name="toy")
    message = decode(text + b"\x04", len(text), "toy", "").message
    assert [np.asarray(tensor.data).tolist() for tensor in message.inputs] == [[3], [4]]


def test_text_of_bytes_is_base64() -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [2], "data": ["aW1h\nZ2U=", "data:image/png;base64,aQ=="]}
    assert decode(document(image), None, "toy", "").message.inputs[0].data == [b"image", b"i"]


@pytest.mark.parametrize(
    ("inputs", "tail", "reason"),
    [
        ([{}], b"", "inputs.0.name: .*equired"),
        ([INPUT], b"", "'images': expected data or the parameter binary_data_size; got neither"),
        ([INPUT | {"data": [1], "parameters": {"binary_data_size": 1}}], b"1", "got both"),
        ([INPUT | {"parameters": {"binary_data_size": 2}}], b"1", "expected at most 1 bytes, .*; got 2"),
        ([INPUT | {"parameters": {"binary_data_size": -1}}], b"1", "got -1"),
        ([INPUT | {"parameters": {"binary_data_size": True}}], b"1", "got True"),
        ([INPUT | {"parameters": {"binary_data_size": 1}}], b"12", "1 bytes follow the last tensor"),
        (
            [INPUT | {"parameters": {"shared_memory_region": "r"}}],
            b"",
            "shared_memory_region: there is no shared memory",
        ),
        ([INPUT | {"datatype": "BYTES", "data": ["\u00e9"]}], b"", "expected base64 of an image file"),
        ([INPUT | {"datatype": "BYTES", "data": [1]}], b"", "expected base64 texts; got 1"),
        ([INPUT | {"datatype": "BYTES", "data": ["", ""]}], b"", "expected 1 elements, as its shape has; got 2"),
        ([INPUT | {"shape": "1"}], b"", "inputs.0.shape: "),
        ([INPUT | {"shape": [1.0]}], b"", "inputs.0.shape.0: "),
    ],
)
def test_malformed_inputs_are_refused(inputs: list[dict[str, Any]], tail: bytes, reason: str) -> None:
    text = document(*inputs)
    with pytest.raises(BadRequest, match=reason):
        decode(text + tail, len(text), "toy", "")


@pytest.mark.parametrize(
    ("body", "size", "reason"),
    [
        (b"", None, "the body: "),
        (b"{}", None, "inputs: .*equired"),
        (b"[]", None, "the body: "),
        (b"\xff\xd8\xff\xe0", None, "An image file alone goes to POST /detect"),
        (
            document(INPUT | {"parameters": {"binary_data_size": 1}}) + b"1",
            None,
            "Inference-Header-Content-Length is the",
        ),
        (document(INPUT), 20, "in its first 20 bytes. Inference-Header-Content-Length is the size"),
        (b"{}", 3, "expected at most the size of the body, 2; got 3"),
        (b"\xff", None, "the body: "),
        (b'{"inputs": ' + b"[" * 100_000, None, "the body: "),
        (b'{"inputs": [' + b"1," * (2**21 + 1) + b"1]}", None, "expected at most 2,097,152 of , in JSON; send binary"),
        (b'{"inputs": [' + b"[]," * 2**20 + b"1]}", None, "expected at most 524,288 of . in JSON"),
        (b'{"inputs": [' + b"{}," * 2**20 + b"1]}", None, "expected at most 10,000 of { in JSON"),
        (b'{"inputs": [' + b'"",' * 2**20 + b"1]}", None, 'expected at most 20,000 of " in JSON'),
        (document(INPUT | {"name": "x" * 10_000, "data": [300]}), None, "xxx.*out of the range of UINT8"),
        (document(*[INPUT] * 17), None, "inputs: .*at most 16 items"),
        (document(id="x" * 1025), None, "id: .*at most 1024 characters"),
        (document(id=7), None, "id: "),
        (document(outputs=[{"name": "count", "parameters": {"classification": 3}}]), None, "no class scores to rank"),
        (
            document(outputs=[{"name": "count", "parameters": {"binary_data": 1}}]),
            None,
            "expected true or false; got 1",
        ),
        (document(parameters={"binary_data_output": "yes"}), None, "expected true or false; got 'yes'"),
        (document(INPUT | {"parameters": {"binary_data_size": 1}}), None, "needs the header Inference-Header-Content"),
    ],
)
def test_malformed_documents_are_refused(body: bytes, size: int | None, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as caught:
        decode(body, size, "toy", "")
    assert len(str(caught.value)) < 1000


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)
DOCUMENTS = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.text() | VALUES, "datatype": st.sampled_from(["UINT8", "BYTES", "FP32"]) | VALUES},
                optional={
                    "shape": st.lists(st.integers(-1, 3)) | VALUES,
                    "data": VALUES,
                    "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(0, 9) | VALUES),
                },
            )
        )
        | VALUES
    },
    optional={"id": VALUES, "outputs": VALUES, "parameters": VALUES},
)


@settings(max_examples=20)
@given(DOCUMENTS, st.binary(max_size=20), st.integers(-2, 2) | st.none())
def test_random_requests_are_decoded_or_refused(value: object, tail: bytes, shift: int | None) -> None:
    text = json.dumps(value).encode()
    size = None if shift is None else max(0, len(text) + shift)
    with suppress(BadRequest):
        assert decode(text + tail, size, "toy", "").message.model == "toy"


@pytest.mark.parametrize("default", [True, False])
def test_outputs_are_binary_if_asked(default: bool) -> None:
    text = document(outputs=[{"name": "count"}, {"name": "detections", "parameters": {"binary_data": not default}}])
    text = text.replace(
        b'"outputs"', b'"parameters": {"binary_data_output": %s}, "outputs"' % str(default).lower().encode()
    )
    request = decode(text, None, "toy", "")
    body, size = encode(InferResponse("toy", "3", [COUNT, ROWS]), request)
    assert size is not None
    answer = json.loads(body[:size])
    assert (answer["model_name"], answer["model_version"], "id" in answer) == ("toy", "3", False)
    count, rows = answer["outputs"]
    assert (count["name"], count["datatype"], count["shape"]) == ("count", "INT32", [1])
    if default:
        assert (count["parameters"], rows["data"]) == ({"binary_data_size": 4}, ROWS.data.ravel().tolist())
        assert body[size:] == COUNT.data.tobytes()
    else:
        assert (count["data"], rows["parameters"]) == ([7], {"binary_data_size": 12})
        assert body[size:] == ROWS.data.tobytes()


def test_an_empty_id_is_repeated_and_json_has_no_header() -> None:
    body, size = encode(InferResponse("toy", "3", [ROWS]), decode(document(id=""), None, "toy", ""))
    assert (json.loads(body)["id"], size) == ("", None)
    assert np.float32(json.loads(body)["outputs"][0]["data"][0]) == ROWS.data[0, 0]
