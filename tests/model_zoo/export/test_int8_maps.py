"""Maps between int8 convolutions stay in int8, and ONNX Runtime computes them so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from model_zoo.export.int8_maps import LayerPeaks, int8_maps
from model_zoo.export.quantize import layers_to_quantize, quantize
from model_zoo.export.sessions import open_reference
from model_zoo.runtime.int8 import to_uint8_activations, without_optional_maps

PEAKS = {name: LayerPeaks(input=4.0, output=6.0, high=2.0) for name in "abcd"}
SHAPE = (1, 8, 12, 10)


def convolution(name: str, source: str, activation: str = "silu") -> list[onnx.NodeProto]:
    conv = make_node("Conv", [source, f"network.{name}.weight"], [name], pads=[1, 1, 1, 1])
    if activation == "silu":
        gate = make_node("Sigmoid", [name], [f"{name}.gate"])
        return [conv, gate, make_node("Mul", [name, f"{name}.gate"], [f"{name}.act"])]
    return [conv, make_node(activation, [name], [f"{name}.act"])]


def network(activation: str = "silu") -> onnx.ModelProto:
    """Return x -> a -> b, then the concatenation of pooled a + b and a -> c -> prediction d."""
    nodes = [
        *convolution("a", "x"),
        *convolution("b", "a.act", activation),
        make_node("Add", ["a.act", "b.act"], ["sum"]),
        make_node("MaxPool", ["sum"], ["pool"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node("Concat", ["pool", "a.act"], ["cat"], axis=1),
        *convolution("c", "cat"),
        *convolution("d", "c.act"),
    ]
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.normal(0, 0.1, (8, channels, 3, 3)).astype(np.float32), f"network.{name}.weight")
        for name, channels in {"a": 8, "b": 8, "c": 16, "d": 8}.items()
    ]
    x, y = (make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", "d.act"))
    graph = make_graph(nodes, "network", [x], [y], weights)
    return make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10)


def quantized() -> bytes:
    model, peaks = network(), dict.fromkeys("abcd", LayerPeaks(8.0, 8.0, 8.0))
    return bytes(quantize(model, layers_to_quantize(model), peaks).SerializeToString())


def test_inputs_of_convolutions_and_what_they_are_made_of_are_required() -> None:
    maps = int8_maps(network().graph, ["a", "b", "c"], PEAKS)
    required = {name: float(own.scale) * 127 for name, own in maps.items() if not own.optional}
    silu = 2 / (1 + np.exp(-2))
    assert required == pytest.approx({"x": 4, "a.act": 4, "cat": 4, "pool": 4, "sum": 4, "b.act": silu})
    assert all(maps[name].zero_point == 0 for name in required)


def test_maps_within_a_convolution_and_its_silu_are_optional() -> None:
    maps = int8_maps(network().graph, ["a", "b", "c"], PEAKS)
    optional = {name: (own.scale, own.zero_point) for name, own in maps.items() if own.optional}
    before_silu = (np.float32(10 / 255), round(8 * 255 / 10) - 128)
    gate = (np.float32(1 / 255), -128)
    assert optional == dict.fromkeys("abc", before_silu) | {"a.gate": gate, "b.gate": gate}


def test_leaky_relu_keeps_negative_values() -> None:
    maps = int8_maps(network("LeakyRelu").graph, ["a", "b", "c"], PEAKS)
    assert maps["b"] == (np.float32(6 / 127), 0, True)
    assert maps["b.act"].scale == np.float32(6 / 127)


def test_maps_of_other_activations_stay_float32() -> None:
    assert "b.act" not in int8_maps(network("Tanh").graph, ["a", "b", "c"], PEAKS)


def test_onnx_runtime_computes_everything_in_int8(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(to_uint8_activations(quantized()), options, providers=["CPUExecutionProvider"])
    nodes = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    expected = {"QLinearConv": 3, "QLinearSigmoid": 2, "QLinearMul": 2, "QLinearAdd": 1, "QLinearConcat": 1}
    assert {name: nodes[name] for name in expected} == expected
    assert nodes["MaxPool"] == 1
    assert nodes["QuantizeLinear"] == 1  # of x


def test_all_forms_agree() -> None:
    model = quantized()
    feeds = {"x": np.random.default_rng(1).uniform(-3, 3, SHAPE).astype(np.float32)}
    forms = (network().SerializeToString(), model, to_uint8_activations(model), without_optional_maps(model))
    expected, signed, unsigned, without = (open_reference(form).run(None, feeds)[0] for form in forms)
    np.testing.assert_allclose(unsigned, signed, atol=1e-5)
    assert np.abs(signed - expected).max() < 0.1 * np.abs(expected).max()
    assert 0 < np.abs(without - expected).mean() < np.abs(signed - expected).mean()
