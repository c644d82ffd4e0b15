"""Print what this CPU's kernels make of the largest products that an int8 file can contain."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from model_zoo.export import quantize
from model_zoo.export.int8_maps import LayerPeaks, map_scale
from model_zoo.export.sessions import open_model, open_reference
from model_zoo.runtime.int8 import to_uint8_activations

CHANNELS, SIDE = 64, 8


def largest_products() -> onnx.ModelProto:
    """Return a convolution of equal weights, whose inputs and sums have their largest magnitude, in int8."""
    floats, weight = onnx.TensorProto.FLOAT, np.ones((CHANNELS, CHANNELS, 3, 3), np.float32)
    graph = make_graph(
        [
            make_node("Conv", ["images", "network.conv.weight"], ["sums"], pads=[1, 1, 1, 1]),
            make_node("LeakyRelu", ["sums"], ["y"], alpha=0.1),
        ],
        "products",
        [make_tensor_value_info("images", floats, [1, CHANNELS, SIDE, SIDE])],
        [make_tensor_value_info("y", floats, [1, CHANNELS, SIDE, SIDE])],
        [numpy_helper.from_array(weight, "network.conv.weight")],
    )
    model = make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10)
    return quantize.quantize(model, ["conv"], {"conv": LayerPeaks(1.0, 9.0 * CHANNELS, 9.0 * CHANNELS)})


def errors() -> dict[str, float]:
    """Return the largest error of each optimized form against the graph itself, in steps of the output."""
    signed = bytes(largest_products().SerializeToString())
    reference = open_reference(signed)
    forms = {"signed": open_model(signed), "unsigned": open_model(to_uint8_activations(signed))}
    runs = {form: partial(session.run, None) for form, session in forms.items()}
    if importlib.util.find_spec("openvino"):
        from model_zoo.runtime import openvino

        compiled = openvino.compile_model(openvino.read_model(signed, precision="int8"))
        runs["openvino"] = lambda feeds: compiled(feeds).to_tuple()
    worst = dict.fromkeys(runs, 0.0)
    for value in (1.0, 0.5, -1.0):
        feeds = {"images": np.full((1, CHANNELS, SIDE, SIDE), value, np.float32)}
        (expected,) = reference.run(None, feeds)
        for form, run in runs.items():
            (actual,) = run(feeds)
            steps = np.abs(actual - expected).max() / float(map_scale(9.0 * CHANNELS))
            worst[form] = max(worst[form], float(steps))
    return worst


if __name__ == "__main__":
    quantize.MAX_WEIGHT_STEP = int(sys.argv[1])
    sys.stdout.write(json.dumps(errors()))
