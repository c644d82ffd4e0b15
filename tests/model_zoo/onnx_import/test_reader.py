from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

from model_zoo.contract.errors import LineageError
from model_zoo.onnx_import.reader import read_model
from tests.model_zoo.onnx_import.foreign_files import save, v8
from tests.model_zoo.onnx_import.hostile_files import UNREADABLE, output_of, prepare

VALID = output_of((1, 7, 12)).SerializeToString()


@pytest.mark.parametrize("case", UNREADABLE)
def test_hostile_files_are_refused_with_a_reason(case: str, tmp_path: Path) -> None:
    contents, reason = UNREADABLE[case]
    prepare(tmp_path)
    (tmp_path / "net.onnx").write_bytes(contents)
    with pytest.raises(LineageError) as caught:
        read_model(tmp_path / "net.onnx")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("net.onnx: expected") or "net.onnx: t" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_external_data_beside_the_file_is_read(tmp_path: Path) -> None:
    model = v8()
    expected = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    convert_model_to_external_data(model, location="net.onnx.data", size_threshold=0)
    onnx.save(model, tmp_path / "net.onnx")
    actual = [numpy_helper.to_array(tensor) for tensor in read_model(tmp_path / "net.onnx").graph.initializer]
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(one, other)


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="got a folder"):
        read_model(tmp_path)
    with pytest.raises(LineageError, match="got nothing at this path"):
        read_model(tmp_path / "none.onnx")


def test_values_in_typed_fields_are_counted(tmp_path: Path) -> None:
    model = v8()
    tensor = model.graph.initializer[0]
    values = numpy_helper.to_array(tensor)
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.flatten().tolist())
    read = read_model(save(model, tmp_path / "net.onnx"))
    np.testing.assert_array_equal(numpy_helper.to_array(read.graph.initializer[0]), values)
    tensor.float_data.pop()
    with pytest.raises(LineageError, match="bytes; got"):
        read_model(save(model, tmp_path / "net.onnx"))


def test_names_without_utf_8_are_refused(tmp_path: Path) -> None:
    name = ModelProto.FromString(VALID).graph.input[0].name.encode()
    (tmp_path / "net.onnx").write_bytes(VALID.replace(name, b"\x80" + name[1:]))
    with pytest.raises(LineageError, match=r"net.onnx: expected names in UTF-8; got b'\\x80"):
        read_model(tmp_path / "net.onnx")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_files_are_read_or_refused(edits: list[tuple[int, int]], tmp_path: Path) -> None:
    contents = bytearray(VALID)
    for position, value in edits:
        contents[position] = value
    (tmp_path / "net.onnx").write_bytes(contents)
    with contextlib.suppress(LineageError):
        assert read_model(tmp_path / "net.onnx").graph.node
