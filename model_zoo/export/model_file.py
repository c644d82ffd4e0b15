"""The whole way from a detector to a model file: describe it, trace it, prove it, write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from model_zoo.contract.card import ModelCard
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration
from model_zoo.export.errors import ExportError
from model_zoo.export.onnx import assemble, trace, write
from model_zoo.export.parity import Report, verify
from model_zoo.export.quantization_report import QuantizationReport, report_layers
from model_zoo.export.quantize import layers_to_quantize, measure_peaks, quantize

WORST = 5  # layers that are told at once
Progress = Callable[[str], None]


def write_model(
    detector: Detector,
    card: ModelCard,
    path: Path,
    progress: Progress = lambda _: None,
    calibration: Calibration | None = None,
) -> Report:
    """Write the ONNX file that `card` describes of a detector; ExportError, and no file, where it disagrees with it.

    Precision int8 needs a calibration, and writes what it costs, layer by layer, beside the file: `path` with the
    suffix .quantization.json, and .quantization.txt to read.
    """
    if (card.precision == "int8") != (calibration is not None):
        raise ExportError(f"expected calibration pictures for precision int8, and for no other; got {card.precision}")
    progress("deploying and tracing the network")
    deployed = detector.deploy()
    traced = trace(deployed, card)
    raw, end_to_end = (assemble(traced, replace(card, output=form)) for form in ("raw", "detections"))
    layers = None
    if calibration:
        progress(f"measuring what int8 costs on {len(calibration.pictures)} pictures")
        raw, end_to_end, layers = _on_int8(raw, end_to_end, calibration)
    progress("comparing the graph with the model")
    report = verify(detector, deployed, raw, end_to_end, calibration.pictures if calibration else ())
    write(raw if card.output == "raw" else end_to_end, path)
    if layers:
        _write_layers(layers, path, progress)
    return report


def _on_int8(
    raw: ModelProto, end_to_end: ModelProto, calibration: Calibration
) -> tuple[ModelProto, ModelProto, QuantizationReport]:
    """Quantize both forms of a graph alike."""
    peaks = measure_peaks(raw, layers_to_quantize(raw), calibration.pictures)
    report = report_layers(raw, peaks, calibration.pictures, calibration.min_sqnr_db)
    if not report.on_int8:
        raise ExportError(
            f"precision int8: expected a convolution of at least {calibration.min_sqnr_db:g} dB; the best has "
            f"{max((row.sqnr_db or 0 for row in report.layers), default=0):.1f}; ask for less, or for fp16"
        )
    return quantize(raw, report.on_int8, peaks), quantize(end_to_end, report.on_int8, peaks), report


def _write_layers(report: QuantizationReport, path: Path, progress: Progress) -> None:
    path.with_suffix(".quantization.json").write_text(report.to_json(), encoding="utf-8")
    path.with_suffix(".quantization.txt").write_text(report.table() + "\n", encoding="utf-8")
    progress(
        f"{len(report.on_int8)} of {len(report.layers)} convolutions before the predictions are on int8; the noisiest:"
    )
    progress(report.table(WORST))
