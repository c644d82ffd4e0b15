"""The quantization report measures each layer alone and chooses the layers to quantize."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model_zoo.export.int8_maps import Peaks
from model_zoo.export.quantization_report import QuantizationReport, report_layers
from model_zoo.export.quantize import quantize
from model_zoo.export.synthetic_images import ImageBatch
from tests.exports import ExportedModel
from tests.model_zoo.export.graphs import DOWN, STEM, constants, convolution, reference_maps


def test_report_has_the_noise_of_each_layer_alone(tiny: ExportedModel, images: list[ImageBatch], peaks: Peaks) -> None:
    report = report_layers(tiny.detector.deploy(), peaks, images, 0.0)
    assert sorted(row.layer for row in report.layers) == [DOWN, STEM]
    assert report.layers[0].sqnr_db < report.layers[1].sqnr_db
    alone = quantize(tiny.raw, [DOWN], peaks)
    both = ((model, [convolution(model, DOWN).output[0]]) for model in (tiny.raw, alone))
    expected, actual = ([reference_maps(*pair, image)[0] for image in images] for pair in both)
    pairs = list(zip(expected, actual, strict=True))
    signal, noise = sum((a**2).sum() for a, _ in pairs), sum(((a - b) ** 2).sum() for a, b in pairs)
    (row,) = (row for row in report.layers if row.layer == DOWN)
    weight = constants(tiny.raw)["network.backbone.down.conv.weight"]
    assert row.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=0.01)
    assert (row.weight_low, row.weight_high) == (weight.min(), weight.max())
    assert (row.input_peak, row.output_peak) == peaks[DOWN][:2]


def test_noisy_layers_stay_float32(tiny: ExportedModel, images: list[ImageBatch], peaks: Peaks) -> None:
    worst, best = report_layers(tiny.detector.deploy(), peaks, images, 0.0).layers
    between = (worst.sqnr_db + best.sqnr_db) / 2
    report = report_layers(tiny.detector.deploy(), peaks, images, between)
    assert [(row.layer, row.precision) for row in report.layers] == [(worst.layer, "fp32"), (best.layer, "int8")]
    assert report.int8_layers == [best.layer]
    assert json.loads(report.to_json())["layers"][0]["layer"] == worst.layer
    ratio, precision, *_, layer = report.table(1).splitlines()[1].split()
    assert (ratio, precision, layer) == (f"{worst.sqnr_db:.1f}", "fp32", worst.layer)
    mixed = quantize(tiny.raw, report.int8_layers, peaks)
    assert sum(node.op_type == "QuantizeLinear" for node in mixed.graph.node) == 2


def test_empty_report() -> None:
    report = QuantizationReport(1, 25.0, ())
    assert report.int8_layers == []
    assert len(report.table().splitlines()) == 1
