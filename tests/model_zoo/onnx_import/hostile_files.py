"""Odd and hostile ONNX files, each with the reason for which it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.model_zoo.onnx_import import foreign_files
from tests.model_zoo.onnx_import.foreign_files import Net, v8

Change = Callable[[ModelProto], object]


def changed(change: Change) -> bytes:
    model = v8()
    change(model)
    return model.SerializeToString()


def external(location: str, **entries: int) -> Change:
    """Return a change that moves the first tensor to another file."""

    def change(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=str(value))

    return change


def claim(*dims: int) -> Change:
    """Return a change of the shape that a tensor claims."""

    def change(model: ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    return change


def custom_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("EfficientNMS_TRT", ["output0"], ["boxes"], domain="TRT"))


def unknown_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Teleport", ["output0"], ["elsewhere"]))


def with_function(model: ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17)]
    node = helper.make_node("Relu", ["x"], ["y"])
    model.functions.append(helper.make_function("mine", "Twice", ["x"], ["y"], [node], opsets))


def nested(model: ModelProto, depth: int = 12) -> None:
    """Put graphs inside of one another."""
    graph = model.graph
    for _ in range(depth):
        node = graph.node.add(op_type="If", input=["v0_0"], output=["x"])
        attribute = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH)
        graph = attribute.g
    graph.node.add(op_type="Relu", input=["x"], output=["y"])


def control_characters(model: ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "\x1b[2J"


def sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add(dims=[10**9])


def opset(version: int) -> Change:
    return lambda model: setattr(model.opset_import[0], "version", version)


def strings(model: ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"x"]))


def unknown_type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def without_nodes(model: ModelProto) -> None:
    del model.graph.node[:]


def many_nodes(model: ModelProto) -> None:
    node = helper.make_node("Relu", ["output0"], ["y"])
    model.graph.node.extend([node] * 50_001)


def broken_link(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "nothing"


def packaged(model: ModelProto) -> None:
    helper.set_model_props(model, {"lineage.card": "{}"})


def training(model: ModelProto) -> None:
    model.training_info.add()


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "zeros": (bytes(4096), "a file of zeros"),
    "web page": (b"<!doctype html><html></html>", "a web page"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "cut": (v8().SerializeToString()[:-900], "damaged or incomplete"),
    "cut early": (v8().SerializeToString()[:40], "expected"),
    "noise": (np.random.default_rng(0).bytes(5000), "expected an ONNX file"),
    "own export": (changed(packaged), "lineage publish"),
    "newer IR": (changed(lambda m: setattr(m, "ir_version", 99)), "IR version up to"),
    "newer opset": (changed(opset(99)), "expected opset 9 to"),
    "old opset": (changed(opset(6)), "expected opset 9 to"),
    "no opset": (changed(lambda m: m.ClearField("opset_import")), "got 0"),
    "custom operator": (changed(custom_operator), "EfficientNMS_TRT of the domain 'TRT'"),
    "unknown operator": (changed(unknown_operator), "unknown operator 'Teleport'"),
    "function": (changed(with_function), "graph without functions"),
    "training": (changed(training), "training information"),
    "nested graphs": (changed(nested), "at most 8 graphs inside of one another"),
    "control characters": (changed(control_characters), "printable names"),
    "sparse": (changed(sparse), "dense tensors"),
    "strings": (changed(strings), "the type STRING"),
    "unknown type": (changed(unknown_type), "got the type"),
    "no nodes": (changed(without_nodes), "without nodes"),
    "many nodes": (changed(many_nodes), "at most 50,000 nodes"),
    "broken link": (changed(broken_link), "valid ONNX graph"),
    "size bomb": (changed(claim(2**20, 2**20)), "weights of at most"),
    "overflowing size": (changed(claim(2**62, 2**62)), "weights of at most"),
    "wrong size": (changed(claim(5)), "needs 20 bytes"),
    "negative size": (changed(claim(-1)), "expected a shape"),
    "external parent": (changed(external("../secret")), "the path '../secret'"),
    "external absolute": (changed(external("/etc/passwd")), "the path '/etc/passwd'"),
    "external missing": (changed(external("weights.bin")), "'weights.bin' does not exist"),
    "external link": (changed(external("link.bin")), "links to another folder"),
    "external beyond the end": (changed(external("short.bin", offset=4, length=100)), "cannot be read"),
    "external too long": (changed(external("short.bin")), "bytes; got"),
    "external nowhere": (changed(external("")), "the path ''"),
}


def prepare(folder: Path) -> None:
    """Write the files beside the models."""
    secret = folder.parent / f"{folder.name}-secret"
    secret.write_bytes(bytes(100))
    (folder / "link.bin").symlink_to(secret)
    (folder / "short.bin").write_bytes(bytes(16))


def input_of(shape: list[int | str], kind: int = TensorProto.FLOAT) -> ModelProto:
    net = Net(shape, kind)
    return net.model({"output0": net.pixels()})


def output_of(*shapes: tuple[int, ...], metadata: dict[str, str] | None = None, scale: float = 1.0) -> ModelProto:
    """Return a model with random constants from 0 to `scale` as outputs."""
    net, rng = Net(), np.random.default_rng(0)
    zero = net.add("Mul", net.add("ReduceMean", "images", keepdims=0), np.float32(0))
    values = [net.add("Add", (scale * rng.random(shape)).astype(np.float32), zero) for shape in shapes]
    return net.model({f"output{i}": value for i, value in enumerate(values)}, metadata)


def two_inputs() -> ModelProto:
    model = v8()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 8, 8]))
    return model


def not_finite() -> ModelProto:
    model = v8()
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[...] = np.inf
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    return model


def unpadded() -> ModelProto:
    """As many rows as the image has bright columns."""
    net = Net()
    bright = net.add(
        "NonZero", net.add("Greater", net.add("ReduceMean", "images", axes=[1, 2], keepdims=0), np.float32(0.4))
    )
    rows = net.add("Unsqueeze", net.add("Cast", net.add("Transpose", bright, perm=[1, 0]), to=1), np.asarray([0]))
    return net.model({"output0": net.add("Concat", rows, rows, rows, axis=2)})


def endless() -> ModelProto:
    """A loop that allocates more in each round."""
    net = Net()
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Concat", ["x", "x"], ["y"], axis=0)],
        "body",
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("i", 7, []), ("go", 9, []), ("x", 1, ["n"]))],
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("still", 9, []), ("y", 1, ["n"]))],
    )
    start = net.add("Reshape", "images", np.asarray([-1]))
    model = net.model({"output0": net.add("Loop", np.asarray(2**40), np.asarray(True), start, body=body)})
    model.graph.output[0].type.tensor_type.shape.dim.add(dim_param="n")
    return model


METADATA = {"names": foreign_files.NAMES}
UNSUITABLE: dict[str, tuple[ModelProto, str]] = {
    "one channel": (input_of([1, 1, 64, 64]), "expected images of shape"),
    "flat input": (input_of([1, 3, 64]), "expected images of shape"),
    "batch of 4": (input_of([4, 3, 64, 64]), "expected batch 1 or a dynamic batch; got 4"),
    "integers": (input_of([1, 3, 64, 64], TensorProto.INT64), "got INT64"),
    "huge input": (input_of([1, 3, 65536, 65536]), "32 to 4096 pixels a side"),
    "tiny input": (input_of([1, 3, 8, 8]), "32 to 4096 pixels a side"),
    "two inputs": (two_inputs(), "expected one input, images; got 2"),
    "classifier": (output_of((1, 1000)), "a classification network"),
    "maps": (output_of((1, 255, 8, 12), (1, 255, 4, 6), (1, 255, 2, 3)), "maps before decoding"),
    "split maps": (output_of((1, 3, 8, 12, 85), (1, 3, 4, 6, 85)), "maps before decoding"),
    "whole batch": (output_of((1, 7)), "detections of a whole batch"),
    "masks": (output_of((1, 39, 126), (1, 32, 16, 24), metadata=METADATA), "a segmentation network"),
    "masks at the end": (
        output_of((1, 39, 126), metadata=METADATA),
        "the other 32 are probably those of a segmentation network",
    ),
    "keypoints": (output_of((1, 56, 126), scale=90), "keypoints, masks or angles"),
    "known keypoints": (output_of((1, 58, 126), metadata=METADATA), "a pose network"),
    "angles": (output_of((1, 8, 126), metadata=METADATA), "oriented boxes (OBB)"),
    "pose task": (v8(metadata={"task": "pose"}), "a pose network"),
    "segment task": (v8(metadata={"task": "segment"}), "a segmentation network"),
    "obb task": (v8(metadata={"task": "obb"}), "oriented boxes"),
    "classify task": (v8(metadata={"task": "classify"}), "a classification network"),
    "other task": (v8(metadata={"task": "depth"}), "the task 'depth'"),
    "oriented without NMS": (foreign_files.end_to_end(extra=1), "7 numbers instead of 6"),
    "transposed": (output_of((1, 8, 126 * 3)), "--layout v5 transposed"),
    "two detectors": (output_of((1, 7, 126), (1, 378, 8)), "final boxes and scores as its only outputs"),
    "rows of cells": (output_of((1, 126, 7)), "give --names or --layout"),
    "gaps in names": (v8(metadata={"names": "{0: 'a', 5: 'b', 9: 'c'}"}), "scores of 10 classes"),
    "odd size": (v8(foreign_files.dynamic(), {"imgsz": "100"}), "give --image-size"),
    "no names": (foreign_files.end_to_end(metadata={}), "give --names"),
    "other names": (v8(metadata={"names": "['a', 'b']"}), "scores of 2 classes"),
    "ambiguous": (output_of((1, 100, 9), scale=60), "give --layout"),
    "not finite": (not_finite(), "finite numbers"),
    "unpadded": (unpadded(), "the same shape (1, ...) for every image"),
}
