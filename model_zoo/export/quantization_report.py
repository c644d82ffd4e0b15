"""Measure the quantization noise of each layer: int8 against float32, on calibration images.

Every layer is quantized on its own. In a fully quantized network noise accumulates, so its last layers are always the
noisiest. Measured alone, the few layers that are much noisier than the others are the ones to keep in float32.
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
from model_zoo.export.quantize import (
    QUANTIZED_SUFFIX,
    CalibrationImages,
    Peaks,
    add_quantized_copies,
    layer_of,
    layers_to_quantize,
    run_scalars,
)

MAX_IMAGES = 16  # layers differ by tens of decibels, images by one or two
COLUMNS = "{:>8}  {:>9}  {:>18}  {:>8}  {:>8}  {}"


@dataclass(frozen=True)
class LayerReport:
    """Quantization noise and value ranges of one layer."""

    layer: str
    """Name of the layer."""
    precision: Precision
    """Precision of the layer in the file."""
    sqnr_db: float | None
    """Signal-to-quantization-noise ratio of the output in dB. None if signal or noise is 0."""
    weight_low: float
    """Smallest weight."""
    weight_high: float
    """Largest weight."""
    input_peak: float
    """Largest magnitude of the input, averaged over the images."""
    output_peak: float
    """Largest magnitude of the output, averaged over the images."""


@dataclass(frozen=True)
class QuantizationReport:
    """Quantization noise of all layers that can be quantized."""

    images: int
    """Number of calibration images."""
    min_sqnr_db: float
    """Layers with a lower SQNR stay float32."""
    layers: tuple[LayerReport, ...]
    """Layers, the noisiest first."""

    @property
    def int8_layers(self) -> list[str]:
        """Names of the layers to quantize."""
        return [row.layer for row in self.layers if row.precision == "int8"]

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def table(self, limit: int | None = None) -> str:
        """Return the report, or its `limit` noisiest layers, as a text table."""
        lines = [COLUMNS.format("SQNR dB", "precision", "weights", "input", "output", "layer")]
        for row in self.layers[:limit]:
            ratio = "-" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
            weights, maps = f"{row.weight_low:.3g} to {row.weight_high:.3g}", (row.input_peak, row.output_peak)
            lines.append(COLUMNS.format(ratio, row.precision, weights, *(f"{m:.3g}" for m in maps), row.layer))
        return "\n".join(lines)


def report_layers(
    model: onnx.ModelProto, peaks: Peaks, images: CalibrationImages, min_sqnr_db: float
) -> QuantizationReport:
    """Measure the quantization noise of each layer of a float32 model, and choose the layers to quantize."""
    names = layers_to_quantize(model)
    layers = [node for node in model.graph.node if layer_of(node) in names]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    rows = []
    for layer, ratio in zip(layers, _ratios(model, layers, peaks, images[:MAX_IMAGES]), strict=True):
        weight = numpy_helper.to_array(constants[layer.input[1]])
        precision: Precision = "int8" if ratio is None or ratio >= min_sqnr_db else "fp32"
        ranges = (float(weight.min()), float(weight.max()), peaks[layer.input[0]], peaks[layer.output[0]])
        rows.append(LayerReport(layer_of(layer), precision, ratio, *ranges))
    rows.sort(key=lambda row: np.inf if row.sqnr_db is None else row.sqnr_db)
    return QuantizationReport(len(images), min_sqnr_db, tuple(rows))


def _ratios(
    model: onnx.ModelProto, convs: Sequence[onnx.NodeProto], peaks: Peaks, images: CalibrationImages
) -> list[float | None]:
    """Return the SQNR of each layer's output in dB. The graph computes the sums of squares."""
    extended = add_quantized_copies(model, [layer_of(conv) for conv in convs], peaks)
    sums = []
    for (name,) in (conv.output for conv in convs):
        error, signal, noise = f"{name}.error", f"{name}.signal", f"{name}.noise"
        extended.graph.node.extend(
            [
                make_node("Sub", [name, name + QUANTIZED_SUFFIX], [error]),
                make_node("ReduceSumSquare", [name], [signal], keepdims=0),
                make_node("ReduceSumSquare", [error], [noise], keepdims=0),
            ]
        )
        sums += [signal, noise]
    signals, noises = run_scalars(extended, sums, images).sum(axis=0).reshape(-1, 2).T
    return [float(10 * np.log10(s / n)) if s > 0 and n > 0 else None for s, n in zip(signals, noises, strict=True)]
