"""Messages of inferences: both forms of tensors, and all that is malformed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

pytest.importorskip("grpc", reason="needs the extra grpc")

from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.errors import BadRequest
from service.api.oip.grpc import codec
from service.api.oip.grpc.codec import CONTENTS, read_request, write_response
from service.api.oip.grpc.protobuf import message, parse
from service.api.oip.messages import InferResponse, OutputTensor
from service.api.oip.tensors import DTYPES

VALUES = {"BOOL": [True, False], "FP32": [0.5, -1.5], "FP64": [0.1, 1e300], "BYTES": [b"\xff\xd8", b""]}


def typed(datatype: str, values: list[Any], **fields: Any) -> Any:
    request = message("ModelInferRequest")(**fields)
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[len(values)])
    getattr(tensor.contents, CONTENTS[datatype]).extend(values)
    return request


def raw(data: bytes, datatype: str = "UINT8", shape: tuple[int, ...] = (2,), **fields: Any) -> Any:
    request = message("ModelInferRequest")(raw_input_contents=[data], **fields)
    request.inputs.add(name="x", datatype=datatype, shape=shape)
    return request


@pytest.mark.parametrize("datatype", CONTENTS)
def test_contents_of_every_datatype(datatype: str) -> None:
    values = VALUES.get(datatype, [1, 100])
    [tensor] = read_request(typed(datatype, values)).inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("x", datatype, (2,))
    if datatype == "BYTES":
        assert tensor.data == values
    else:
        assert isinstance(tensor.data, np.ndarray)
        assert tensor.data.dtype == DTYPES[datatype]
        assert tensor.data.tolist() == values


def test_raw_numbers_are_a_view_of_the_message() -> None:
    [tensor] = read_request(raw(b"\x01\x02")).inputs
    assert isinstance(tensor.data, np.ndarray)
    assert (tensor.data.tolist(), tensor.data.flags.owndata) == ([1, 2], False)


def test_not_a_number_passes() -> None:
    [tensor] = read_request(typed("FP32", [float("nan"), float("inf")])).inputs
    assert isinstance(tensor.data, np.ndarray)
    assert np.isnan(tensor.data[0])


def test_names_version_id_outputs_and_parameters() -> None:
    request = raw(b"\x01\x02", model_name="cars", model_version="2", id="7")
    request.outputs.add(name="count")
    for name, kind, value in (
        ("timeout", "int64_param", 5),
        ("priority", "uint64_param", 1),
        ("mine", "bool_param", True),
    ):
        setattr(request.parameters[name], kind, value)
    request.parameters["empty"].SetInParent()
    read = read_request(request)
    assert (read.model, read.version, read.id, list(read.outputs)) == ("cars", "2", "7", ["count"])
    assert read.parameters == {"timeout": 5, "priority": 1, "mine": True}


def mixed() -> Any:
    request = typed("UINT8", [1, 2])
    request.raw_input_contents.append(b"\x01\x02")
    return request


def too_many() -> Any:
    request = raw(b"12")
    request.raw_input_contents.append(b"")
    return request


def without_data() -> Any:
    request = raw(b"12")
    del request.raw_input_contents[:]
    return request


def with_parameter(name: str, *, of_output: bool = False) -> Any:
    request = raw(b"\x01\x02")
    part = request.outputs.add(name="count") if of_output else request.inputs[0]
    part.parameters[name].string_param = "x"
    return request


def two_fields() -> Any:
    request = typed("UINT8", [1, 2])
    request.inputs[0].contents.fp32_contents.append(1.0)
    return request


def of_type(datatype: str) -> Any:
    request = typed("UINT8", [1, 2])
    request.inputs[0].datatype = datatype
    return request


MALFORMED = {
    "inputs: expected raw_input_contents for all or contents for all; got both": mixed,
    "raw_input_contents: expected one for each of 1 inputs; got 2": too_many,
    "input 'x': expected 2 bytes for UINT8 [2]; got 3": lambda: raw(b"123"),
    "input 'x': expected a shape of 1 to 8 positive integers": lambda: raw(b"", shape=(2**62, 2**62)),
    "input 'x': a number is out of the range of UINT8": lambda: typed("UINT8", [1, 256]),
    "input 'x': a number is out of the range of INT16": lambda: typed("INT16", [1, -(2**31)]),
    "input 'x': expected uint_contents for UINT8; got fp32_contents": two_fields,
    "input 'x': expected fp32_contents for FP32; got uint_contents": lambda: of_type("FP32"),
    "input 'x': expected one of BOOL, INT8": lambda: of_type("FP16"),
    "got none, and no raw_input_contents": without_data,
    "parameter shared_memory_region: there is no shared memory": lambda: with_parameter("shared_memory_region"),
    "parameter classification: there are no class scores": lambda: with_parameter("classification", of_output=True),
    "id: expected at most 1,024 characters; got 1,025": lambda: raw(b"12", id="x" * 1025),
}


@pytest.mark.parametrize(("text", "make"), MALFORMED.items(), ids=MALFORMED)
def test_malformed_requests_are_explained(text: str, make: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(make())
    assert text in str(caught.value)


def test_contents_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_VALUES", 1)
    with pytest.raises(BadRequest, match="expected at most 1 values in contents; send raw_input_contents; got 2"):
        read_request(typed("UINT8", [1, 2]))


def test_answers_are_binary() -> None:
    outputs = [OutputTensor("a", "FP32", np.ones((1, 0, 6), "<f4")), OutputTensor("b", "INT32", np.array([3], "<i4"))]
    answer = write_response(InferResponse("toy", "1", outputs, "7"))
    assert [(t.name, t.datatype, list(t.shape)) for t in answer.outputs] == [
        ("a", "FP32", [1, 0, 6]),
        ("b", "INT32", [1]),
    ]
    assert list(answer.raw_output_contents) == [b"", b"\x03\0\0\0"]
    assert (answer.model_name, answer.model_version, answer.id) == ("toy", "1", "7")


@settings(max_examples=100)
@given(st.data())
def test_damaged_messages_raise_nothing_else(data: st.DataObject) -> None:
    valid = bytearray(
        data.draw(st.sampled_from([raw(b"12"), typed("UINT8", [1, 2]), typed("BYTES", [b"a"])])).SerializeToString()
    )
    for _ in range(data.draw(st.integers(0, 3))):
        valid[data.draw(st.integers(0, len(valid) - 1))] = data.draw(st.integers(0, 255))
    request = message("ModelInferRequest")()
    with suppress(BadRequest):
        parse(request, bytes(valid) + data.draw(st.binary(max_size=8)))
        read_request(request)
