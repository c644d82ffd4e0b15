"""Compiled functions get the same form, whatever order ONNX Script chose for the values that loops carry."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx.helper import printable_type

from model_zoo.export.canonical_form import canonical_form
from model_zoo.export.nms_graph import CARRIED, greedy_nms
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.runtime.select import has_openvino
from tests.exports import ExportedModel, feeds

COUNTER, MASK, ROWS = "INT64, scalar", "FLOAT, ?x?", "FLOAT, ?x?x6"


def loops(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield all loops, outer before inner."""
    for node in nodes:
        if node.op_type == "Loop":
            yield node
        for attribute in node.attribute:
            yield from loops(list(attribute.g.node))


def carried(loop: onnx.NodeProto) -> list[tuple[str, str]]:
    """Return name and type of each value that a loop carries."""
    return [(value.name, printable_type(value.type)) for value in loop.attribute[0].g.input[2:]]


def reversed_loops(function: onnx.FunctionProto) -> onnx.FunctionProto:
    """Return the function with carried values in the opposite order."""
    result = onnx.FunctionProto()
    result.CopyFrom(function)
    for loop in loops(list(result.node)):
        body = loop.attribute[0].g
        for values, first in ((loop.input, 2), (loop.output, 0), (body.input, 2), (body.output, 1)):
            swapped = [copy.deepcopy(value) for value in values[first:]][::-1]
            del values[first:]
            values.extend(swapped)
    return result


def parsed(function: onnx.FunctionProto, suffix: str = "") -> onnx.FunctionProto:
    """Return the function after a round trip through text, with `suffix` in the names of the masks."""
    return onnx.parser.parse_function(onnx.printer.to_text(function).replace("keep_", f"keep_{suffix}"))


def test_order_of_carried_values_does_not_matter() -> None:
    compiled = greedy_nms.to_function_proto()
    first = canonical_form(parsed(compiled), CARRIED)
    second = canonical_form(parsed(reversed_loops(compiled), "9"), CARRIED)
    assert first.node == second.node


def test_loops_of_an_export_declare_what_they_carry(tiny: ExportedModel) -> None:
    """OpenVINO takes undeclared values for scalars."""
    kinds = [[kind for _, kind in carried(loop)] for loop in loops(list(tiny.end_to_end.graph.node))]
    assert kinds == [[MASK, ROWS, COUNTER], [COUNTER, MASK], [MASK]]  # count, kept, start; before, free; keep


@pytest.mark.skipif(not has_openvino(), reason="OpenVINO is not installed")
def test_openvino_runs_the_loops_of_an_export(tiny: ExportedModel) -> None:
    from model_zoo.runtime import openvino

    network = openvino.Network(openvino.compile_model(openvino.read_model(tiny.path), size=(128, 160)))
    noise = synthetic_images((128, 160), 3)[2:]  # without the equal scores of flat areas
    inputs = feeds(noise, score=0.4)
    (expected, count), (rows, openvino_count) = tiny.session().run(None, inputs), network.run(inputs)
    assert count[0] > 10
    assert openvino_count == count
    np.testing.assert_allclose(rows, expected, atol=1e-2)
