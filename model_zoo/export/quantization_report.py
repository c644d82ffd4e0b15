"""Measure the quantization noise of each layer: int8 against float32, on calibration images.

Every layer is quantized on its own. In a fully quantized network noise accumulates, so its last layers are always the
noisiest. Measured alone, the few layers that are much noisier than the others are the ones to keep in float32.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from model_zoo.contract.card import Precision
from model_zoo.detector import Detector
from model_zoo.export.int8_maps import Peaks
from model_zoo.export.layer_statistics import CalibrationImages, measure_noise

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
    deployed: Detector, peaks: Peaks, images: CalibrationImages, min_sqnr_db: float
) -> QuantizationReport:
    """Measure the quantization noise of each layer of a deployed detector, and choose the layers to quantize."""
    rows = []
    for layer, ratio in measure_noise(deployed, peaks, images[:MAX_IMAGES]).items():
        weight = deployed.get_parameter(f"{layer}.weight")
        precision: Precision = "int8" if ratio is None or ratio >= min_sqnr_db else "fp32"
        rows.append(LayerReport(layer, precision, ratio, weight.min().item(), weight.max().item(), *peaks[layer][:2]))
    rows.sort(key=lambda row: np.inf if row.sqnr_db is None else row.sqnr_db)
    return QuantizationReport(len(images), min_sqnr_db, tuple(rows))
