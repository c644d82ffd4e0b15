"""What int8 costs, layer by layer: each alone on int8 against itself in float32, on calibration pictures.

Alone, because in a network all on int8 the last layers are the noisiest whatever they are: noise adds up. A layer alone
tells its own part, and the few that are worst by far are what is worth leaving in float32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import make_node

from model_zoo.contract.card import Precision
from model_zoo.export.quantize import ALONE, Peaks, Pictures, layer_of, layers_to_quantize, run_for, with_twins

MAX_PICTURES = 16  # enough: layers differ by tens of decibels, pictures by one or two
COLUMNS = "{:>8}  {:>9}  {:>18}  {:>8}  {:>8}  {}"


@dataclass(frozen=True)
class LayerReport:
    """One layer: range of its weights, peaks of its maps, and the ratio of signal to rounding noise of its output.

    The ratio is in decibels, 10 log10 of the sum of squares over that of the errors; None where one of them is 0.
    `precision` is what the layer has in the file.
    """

    layer: str
    precision: Precision
    sqnr_db: float | None
    weight_low: float
    weight_high: float
    input_peak: float
    output_peak: float


@dataclass(frozen=True)
class QuantizationReport:
    """The convolutions that could be on int8, the worst first; those below `min_sqnr_db` stay float32."""

    pictures: int
    min_sqnr_db: float
    layers: tuple[LayerReport, ...]

    @property
    def on_int8(self) -> list[str]:
        """List the layers that go to int8."""
        return [row.layer for row in self.layers if row.precision == "int8"]

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def table(self, most: int | None = None) -> str:
        """Return the report, or its `most` worst layers, as lines to read."""
        lines = [COLUMNS.format("SQNR dB", "precision", "weights", "input", "output", "layer")]
        for row in self.layers[:most]:
            ratio = "-" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
            weights, maps = f"{row.weight_low:.3g} to {row.weight_high:.3g}", (row.input_peak, row.output_peak)
            lines.append(COLUMNS.format(ratio, row.precision, weights, *(f"{m:.3g}" for m in maps), row.layer))
        return "\n".join(lines)


def report_layers(model: onnx.ModelProto, peaks: Peaks, pictures: Pictures, min_sqnr_db: float) -> QuantizationReport:
    """Measure every layer of a float32 model alone on int8, and choose those that go there."""
    names = layers_to_quantize(model)
    layers = [node for node in model.graph.node if layer_of(node) in names]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    rows = []
    for layer, ratio in zip(layers, _ratios(model, layers, peaks, pictures[:MAX_PICTURES]), strict=True):
        weight = numpy_helper.to_array(constants[layer.input[1]])
        precision: Precision = "int8" if ratio is None or ratio >= min_sqnr_db else "fp32"
        ranges = (float(weight.min()), float(weight.max()), peaks[layer.input[0]], peaks[layer.output[0]])
        rows.append(LayerReport(layer_of(layer), precision, ratio, *ranges))
    rows.sort(key=lambda row: np.inf if row.sqnr_db is None else row.sqnr_db)
    return QuantizationReport(len(pictures), min_sqnr_db, tuple(rows))


def _ratios(
    model: onnx.ModelProto, convs: Sequence[onnx.NodeProto], peaks: Peaks, pictures: Pictures
) -> list[float | None]:
    """Return signal to noise in decibels of every layer's output; sums of squares are taken in the graph."""
    twins = with_twins(model, [layer_of(conv) for conv in convs], peaks)
    sums = []
    for (name,) in (conv.output for conv in convs):
        error, signal, noise = f"{name}.error", f"{name}.signal", f"{name}.noise"
        twins.graph.node.extend(
            [
                make_node("Sub", [name, name + ALONE], [error]),
                make_node("ReduceSumSquare", [name], [signal], keepdims=0),
                make_node("ReduceSumSquare", [error], [noise], keepdims=0),
            ]
        )
        sums += [signal, noise]
    signals, noises = run_for(twins, sums, pictures).sum(axis=0).reshape(-1, 2).T
    return [float(10 * np.log10(s / n)) if s > 0 and n > 0 else None for s, n in zip(signals, noises, strict=True)]
