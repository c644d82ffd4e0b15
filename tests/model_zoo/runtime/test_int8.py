"""Files with uint8 maps compute the same numbers, and other runtimes than ONNX Runtime's CPU have no optional maps."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_zoo.runtime import int8
from model_zoo.runtime.base import Provider
from model_zoo.runtime.int8 import OPTIONAL_MAP, ZERO_POINT, to_uint8_activations, without_optional_maps

SCALE = 0.1


def rounding(kind: type[np.generic], zero_point: int, name: str = ZERO_POINT) -> bytes:
    """Build y = DQ(Q(x)) with a zero point of this dtype and value."""
    onnx = pytest.importorskip("onnx", reason="building a graph needs onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants = {"scale": np.float32(SCALE), name: kind(zero_point)}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", name], ["steps"]),
            helper.make_node("DequantizeLinear", ["steps", "scale", name], ["y"]),
        ],
        "rounding",
        [helper.make_tensor_value_info("x", floats, ["n"])],
        [helper.make_tensor_value_info("y", floats, ["n"])],
        [onnx.numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


@pytest.mark.parametrize(("value", "name"), [(0, ZERO_POINT), (-128, f"{ZERO_POINT}-128"), (74, f"{ZERO_POINT}+074")])
def test_only_dtype_and_value_of_the_zero_points_change(value: int, name: str) -> None:
    assert to_uint8_activations(rounding(np.int8, value, name)) == rounding(np.uint8, value + 128, name)


def test_rounding_and_range_stay_the_same() -> None:
    signed = rounding(np.int8, 0)
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    before, after = (ort.InferenceSession(m).run(None, {"x": x})[0] for m in (signed, to_uint8_activations(signed)))
    np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose([before.min(), before.max()], [-128 * SCALE, 127 * SCALE], rtol=1e-6)


@pytest.mark.parametrize(
    "model", [rounding(np.uint8, 3), rounding(np.int8, 0, "other"), b""], ids=["uint8", "name", "none"]
)
def test_other_files_are_returned_unchanged(model: bytes) -> None:
    assert to_uint8_activations(model) == model


@pytest.mark.parametrize(
    ("provider", "machine", "unsigned"),
    [
        ("cpu", "x86_64", True),
        ("cpu", "AMD64", True),
        ("cpu", "aarch64", False),
        ("openvino", "aarch64", True),
        ("tensorrt", "x86_64", False),
    ],
)
def test_activations_are_unsigned_where_that_is_faster_or_correct(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: Provider, machine: str, unsigned: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    model = tmp_path / "model.onnx"
    model.write_bytes(rounding(np.int8, 0))
    assert int8.adapt_int8(model, provider) == (rounding(np.uint8, 128) if unsigned else rounding(np.int8, 0))


def optional_map() -> bytes:
    """Build y = 2 DQ(Q(2 x)), where the map 2 x is optional."""
    onnx = pytest.importorskip("onnx", reason="building a graph needs onnx")
    helper, floats, name = onnx.helper, onnx.TensorProto.FLOAT, OPTIONAL_MAP.format(7)
    constants = {"two": np.float32(2), "scale": np.float32(SCALE), ZERO_POINT: np.int8(0)}
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "two"], [f"{name}.fp32"]),
            helper.make_node("QuantizeLinear", [f"{name}.fp32", "scale", ZERO_POINT], ["steps"]),
            helper.make_node("DequantizeLinear", ["steps", "scale", ZERO_POINT], [f"{name}.int8"]),
            helper.make_node("Mul", [f"{name}.int8", "two"], ["y"]),
        ],
        "optional",
        [helper.make_tensor_value_info("x", floats, ["n"])],
        [helper.make_tensor_value_info("y", floats, ["n"])],
        [onnx.numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


@pytest.mark.parametrize(("provider", "steps"), [("cpu", True), ("openvino", False), ("tensorrt", False)])
def test_only_onnx_runtime_on_a_cpu_rounds_optional_maps(provider: Provider, steps: bool) -> None:
    x = np.linspace(-1, 1, 101, dtype=np.float32)
    (y,) = ort.InferenceSession(int8.adapt_int8(optional_map(), provider)).run(None, {"x": x})
    expected = np.rint(2 * x / np.float32(SCALE)) * np.float32(2 * SCALE) if steps else 4 * x
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_zero_points_of_unused_nodes_become_0() -> None:
    """TensorRT refuses a file with another zero point."""
    name = f"{ZERO_POINT}+074"
    assert without_optional_maps(rounding(np.int8, 74, name)) == rounding(np.int8, 0, name)


def test_files_without_optional_maps_are_unchanged() -> None:
    assert without_optional_maps(rounding(np.int8, 0)) == rounding(np.int8, 0)
