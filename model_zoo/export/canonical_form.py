"""Canonical form of compiled ONNX Script functions, equal in every process.

ONNX Script orders and numbers the values that loops carry by Python's string hashes, which are random per process. It
also leaves out their types, which ONNX makes optional. OpenVINO 2026.4 takes them for scalars, and refuses the graph.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto
from onnx.helper import make_tensor_value_info

CarriedTypes = Mapping[str, tuple[int, Sequence[int | None]]]  # element type and shape, by variable


def canonical_form(function: onnx.FunctionProto, carried_types: CarriedTypes) -> onnx.FunctionProto:
    """Return the function with the values that its loops carry in order, numbered and declared.

    Variables without a type in `carried_types` are float32 masks (B, n).
    """
    result = onnx.FunctionProto()
    result.CopyFrom(function)
    _order_loops(result.node, carried_types)
    unique = _UniqueNames()
    result.input[:] = map(unique, result.input)
    _rename(result.node, unique)
    result.output[:] = map(unique, result.output)
    return result


class _UniqueNames(dict[str, str]):
    """Numbers values of the same variable in order of appearance."""

    def __call__(self, name: str) -> str:
        if name and name not in self:
            same = sum(_variable(other) == _variable(name) for other in self)
            self[name] = f"{_variable(name)}_{same}" if same else _variable(name)
        return self.get(name, "")


def _rename(nodes: Sequence[onnx.NodeProto], unique: _UniqueNames) -> None:
    for node in nodes:
        node.input[:] = map(unique, node.input)
        for body in _bodies(node):
            for value in body.input:
                value.name = unique(value.name)
            _rename(body.node, unique)
            for value in body.output:
                value.name = unique(value.name)
        node.output[:] = map(unique, node.output)


def _order_loops(nodes: Sequence[onnx.NodeProto], carried_types: CarriedTypes) -> None:
    """Order the values that loops carry by name, and declare their types."""
    for node in nodes:
        for body in _bodies(node):
            _order_loops(body.node, carried_types)
            if node.op_type != "Loop":
                continue
            order = sorted(range(len(node.output)), key=lambda i: _variable(body.input[2 + i].name))
            for values, first in ((node.input, 2), (node.output, 0), (body.input, 2), (body.output, 1)):
                carried = [copy.deepcopy(values[first + i]) for i in order]
                del values[first:]
                values.extend(carried)
            for value in body.input[2:]:
                declared = carried_types.get(_variable(value.name), (TensorProto.FLOAT, (None, None)))
                value.CopyFrom(make_tensor_value_info(value.name, *declared))


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _variable(name: str) -> str:
    """Return the Python variable of a value, without the numbers that make its name unique."""
    return re.sub(r"(_\d+)+$", "", name)
