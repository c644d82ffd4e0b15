"""Inspect graphs of the tiny detector."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from model_zoo.export.sessions import open_model, open_reference
from model_zoo.export.synthetic_images import ImageBatch

STEM, DOWN = "backbone.stem.conv", "backbone.down.conv"


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def maps(model: onnx.ModelProto, names: list[str], batch: ImageBatch) -> list[np.ndarray]:
    """Run a model and return inner maps."""
    return list(open_model(_with_outputs(model, names)).run(None, {"images": batch}))


def reference_maps(model: onnx.ModelProto, names: list[str], batch: ImageBatch) -> list[np.ndarray]:
    """Run a model without graph optimization and return inner maps."""
    return list(open_reference(_with_outputs(model, names)).run(None, {"images": batch}))


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    selected = onnx.ModelProto()
    selected.CopyFrom(model)
    del selected.graph.output[:]
    selected.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return selected


def convolution(model: onnx.ModelProto, layer: str) -> onnx.NodeProto:
    (node,) = (n for n in model.graph.node if n.op_type == "Conv" and layer in n.input[1])
    return node
