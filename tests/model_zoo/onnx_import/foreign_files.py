"""Small ONNX files with random weights, in the output layouts of other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

SIZE = (64, 96)
CLASSES = 3
STRIDES = (8, 16, 32)
NAMES = "{0: 'ant', 1: 'bee', 2: 'cat'}"


class Net:
    """A graph under construction, whose values are names."""

    def __init__(
        self,
        shape: Sequence[int | str] = (1, 3, *SIZE),
        kind: int = TensorProto.FLOAT,
        *,
        opset: int = 17,
        gain: float = 1.0,
    ) -> None:
        self.inputs = [helper.make_tensor_value_info("images", kind, shape)]
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.opset, self.gain, self.rng = opset, gain, np.random.default_rng(0)

    def add(self, operator: str, *inputs: str | np.ndarray, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        operands = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, operands, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def pixels(self) -> str:
        """Return the input as float32 (B, 3, H, W)."""
        return str(self.add("Cast", "images", to=TensorProto.FLOAT))

    def conv(self, x: str, channels: int, stride: int) -> str:
        weights = self.rng.normal(0, self.gain / stride, (channels, 3, stride, stride)).astype(np.float32)
        bias = self.rng.normal(0, 1, channels).astype(np.float32)
        return str(self.add("Conv", x, weights, bias, kernel_shape=[stride, stride], strides=[stride, stride]))

    def split(self, x: str, *sizes: int, axis: int = 1) -> list[str]:
        if self.opset < 13:
            return list(self.add("Split", x, outputs=len(sizes), axis=axis, split=sizes))
        return list(self.add("Split", x, np.asarray(sizes), outputs=len(sizes), axis=axis))

    def flat(self, x: str) -> str:
        """Return maps (B, C, h, w) as (B, C, h * w)."""
        return str(self.add("Reshape", x, np.asarray([0, 0, -1])))

    def model(self, outputs: Mapping[str, str], metadata: Mapping[str, str] | None = None) -> ModelProto:
        """Return a model with outputs (name: value) of undeclared shapes."""
        nodes = [*self.nodes, *(helper.make_node("Identity", [value], [name]) for name, value in outputs.items())]
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        types = {"labels": TensorProto.INT64}
        for info in infos:
            info.type.tensor_type.elem_type = types.get(info.name, TensorProto.FLOAT)
        graph = helper.make_graph(nodes, "net", self.inputs, infos, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        model = onnx.shape_inference.infer_shapes(model)  # outputs need shapes
        del model.graph.value_info[:]
        return model


def box_maps(net: Net, xy: str, wh: str, stride: int) -> str:
    """Return centers and sides in pixels (B, 4, h, w)."""
    first, _ = net.split(xy, 1, 1)
    ones = net.add("Add", net.add("Mul", first, np.float32(0)), np.float32(1))
    cells = [net.add("Sub", net.add("CumSum", ones, np.asarray(axis)), np.float32(0.5)) for axis in (3, 2)]
    center = net.add("Mul", net.add("Add", net.add("Concat", *cells, axis=1), net.add("Tanh", xy)), np.float32(stride))
    return str(
        net.add("Concat", center, net.add("Mul", net.add("Exp", net.add("Tanh", wh)), np.float32(2 * stride)), axis=1)
    )


def predictions(net: Net, *, anchors: int = 1, objectness: bool = False, raw: bool = False) -> str:
    """Return (B, 4 + [1] + classes, N) of all strides."""
    others, maps, x = CLASSES + objectness, [], net.pixels()
    for stride in STRIDES:
        for _ in range(anchors):
            xy, wh, scores = net.split(net.conv(x, 4 + others, stride), 2, 2, others)
            boxes = net.add("Concat", xy, net.add("Tanh", wh), axis=1) if raw else box_maps(net, xy, wh, stride)
            maps.append(net.flat(net.add("Concat", boxes, net.add("Sigmoid", scores), axis=1)))
    return str(net.add("Concat", *maps, axis=2))


def v8(net: Net | None = None, metadata: Mapping[str, str] | None = None) -> ModelProto:
    """(B, 4 + classes, N)."""
    net = net or Net()
    return net.model({"output0": predictions(net)}, metadata)


def rows(net: Net, value: str) -> str:
    return str(net.add("Transpose", value, perm=[0, 2, 1]))


def v5(net: Net | None = None, metadata: Mapping[str, str] | None = None) -> ModelProto:
    """(B, N, 5 + classes) with three anchors a cell."""
    net = net or Net()
    return net.model({"output": rows(net, predictions(net, anchors=3, objectness=True))}, metadata)


def yolox(net: Net | None = None, *, raw: bool = False) -> ModelProto:
    """(B, N, 5 + classes) with one row a cell, in pixels or relative to the cell, for pixels from 0 to 255."""
    net = net or Net(gain=1 / 255)
    return net.model({"output": rows(net, predictions(net, objectness=True, raw=raw))}, {"names": NAMES})


def top(net: Net, count: int = 20) -> tuple[str, str, str]:
    """Return boxes (B, count, 4) as corners, scores (B, count) and classes (B, count) of the best predictions."""
    xy, wh, scores = net.split(rows(net, predictions(net)), 2, 2, CLASSES, axis=2)
    best = net.add("ReduceMax", scores, axes=[2], keepdims=0)
    label = net.add("ArgMax", scores, axis=2, keepdims=0)
    values, index = net.add("TopK", best, np.asarray([count]), outputs=2, axis=1)
    half = net.add("Div", wh, np.float32(2))
    corners = net.add("Concat", net.add("Sub", xy, half), net.add("Add", xy, half), axis=2)
    boxes = net.add("GatherND", corners, net.add("Unsqueeze", index, np.asarray([2])), batch_dims=1)
    return str(boxes), str(values), str(net.add("GatherElements", label, index, axis=1))


def end_to_end(net: Net | None = None, metadata: Mapping[str, str] | None = None, extra: int = 0) -> ModelProto:
    """(B, 20, 6): corners, score and class, without duplicates in the eyes of the network."""
    net = net or Net()
    boxes, scores, labels = top(net)
    columns = [net.add("Unsqueeze", value, np.asarray([2])) for value in (scores, net.add("Cast", labels, to=1))]
    value = net.add("Concat", boxes, *columns, *[columns[0]] * extra, axis=2)
    return net.model({"output0": value}, {"names": NAMES} if metadata is None else metadata)


def queries(net: Net) -> tuple[str, str]:
    """Return boxes (B, N, 4) from 0 to 1 and logits (B, N, classes)."""
    maps = rows(net, net.flat(net.conv(net.pixels(), 4 + CLASSES, 8)))
    boxes, logits = net.split(maps, 4, CLASSES, axis=2)
    return str(net.add("Sigmoid", boxes)), str(net.add("Mul", logits, np.float32(2)))


def pair(net: Net | None = None, *, swapped: bool = False) -> ModelProto:
    """Boxes and logits of queries, in either order."""
    net = net or Net()
    boxes, logits = queries(net)
    outputs = {"logits": logits, "pred_boxes": boxes}
    return net.model(outputs if swapped else dict(reversed(outputs.items())))


def detr(net: Net | None = None) -> ModelProto:
    """(B, N, 4 + classes) of queries."""
    net = net or Net()
    boxes, logits = queries(net)
    return net.model({"output0": net.add("Concat", boxes, net.add("Sigmoid", logits), axis=2)})


def triple(net: Net | None = None, metadata: Mapping[str, str] | None = None) -> ModelProto:
    """labels, boxes and scores, with boxes in pixels of a second input."""
    net = net or Net()
    net.inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [net_batch(net), 2]))
    boxes, scores, labels = top(net)
    sides = net.add("Unsqueeze", net.add("Cast", "orig_target_sizes", to=1), np.asarray([1]))
    wide = net.add("Concat", sides, sides, axis=2)
    share = net.add("Div", boxes, np.asarray([SIZE[1], SIZE[0]] * 2, dtype=np.float32))
    outputs = {"labels": labels, "boxes": net.add("Mul", share, wide), "scores": scores}
    return net.model(outputs, {"names": NAMES} if metadata is None else metadata)


def net_batch(net: Net) -> int | str:
    side = net.inputs[0].type.tensor_type.shape.dim[0]
    return side.dim_param or side.dim_value


def dynamic(opset: int = 17) -> Net:
    """Return a net with dynamic batch and size."""
    return Net(("batch", 3, "height", "width"), opset=opset)


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
