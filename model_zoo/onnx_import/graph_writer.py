"""Append nodes to an ONNX graph, with function calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Operand = ir.Value | NDArray[Any] | np.generic | int


class GraphWriter:
    """Appends nodes to a graph.

    total = write("Add", first, np.float32(1))
    x, y = write.many("Split", total, outputs=2, axis=1, num_outputs=2)
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph

    def __call__(self, operator: str, *operands: Operand, **attributes: Any) -> ir.Value:
        """Append a node of one output. Operands that are no values become constants."""
        return self._append(operator, [self._value(operand) for operand in operands], 1, attributes)[0]

    def many(self, operator: str, *operands: Operand, outputs: int, **attributes: Any) -> tuple[ir.Value, ...]:
        """Append a node of several outputs."""
        return self._append(operator, [self._value(operand) for operand in operands], outputs, attributes)

    def slice(self, value: ir.Value, start: int, stop: int, axis: int) -> ir.Value:
        """Append a node that takes a range of an axis."""
        return self("Slice", value, *(np.asarray([number], dtype=np.int64) for number in (start, stop, axis)))

    def _value(self, operand: Operand) -> ir.Value:
        if isinstance(operand, ir.Value):
            return operand
        tensor = ir.tensor(np.asarray(operand, dtype=np.int64) if isinstance(operand, int) else np.asarray(operand))
        return self._append("Constant", [], 1, {"value": tensor})[0]

    def _append(self, operator: str, inputs: list[ir.Value], outputs: int, attributes: Any) -> tuple[ir.Value, ...]:
        node = ir.node(operator, inputs, attributes=attributes, num_outputs=outputs)
        self._graph.append(node)
        return tuple(node.outputs)
