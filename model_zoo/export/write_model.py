"""Write the model file of a detector: trace it, quantize it, verify the graph and save it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import write_atomic
from model_zoo.detector import Detector
from model_zoo.export.calibration import Calibration
from model_zoo.export.errors import ExportError
from model_zoo.export.layer_statistics import measure_peaks
from model_zoo.export.log import Log, silent
from model_zoo.export.onnx import assemble, trace, write_onnx
from model_zoo.export.parity import ParityReport, verify
from model_zoo.export.quantization_report import QuantizationReport, report_layers
from model_zoo.export.quantize import layers_to_quantize, quantize

LOGGED_LAYERS = 5


def write_model(
    detector: Detector,
    card: ModelCard,
    path: Path,
    log: Log = silent,
    calibration: Calibration | None = None,
) -> ParityReport:
    """Write the ONNX file of a detector as `card` describes it, if the graph agrees with the model.

    int8 requires a calibration. Its quantization report is written to `path` with the suffixes .quantization.json and
    .quantization.txt.

    Raises:
        ExportError: The graph disagrees with the model, or cannot be exported as described. No file is written.
    """
    if (card.precision == "int8") != (calibration is not None):
        raise ExportError(f"expected calibration images for precision int8 only; got precision {card.precision}")
    log("deploying and tracing the network")
    deployed = detector.deploy()
    traced = trace(deployed, card)
    raw, end_to_end = (assemble(traced, replace(card, output=form)) for form in ("raw", "detections"))
    quantization = None
    if calibration:
        log(f"quantizing to int8 with {len(calibration.images)} calibration images")
        raw, end_to_end, quantization = _quantize(deployed, raw, end_to_end, calibration)
    log("comparing the graph with the model")
    report = verify(detector, deployed, raw, end_to_end, calibration.images if calibration else ())
    write_onnx(raw if card.output == "raw" else end_to_end, path)
    if quantization:
        _write_report(quantization, path, log)
    return report


def _quantize(
    deployed: Detector, raw: ModelProto, end_to_end: ModelProto, calibration: Calibration
) -> tuple[ModelProto, ModelProto, QuantizationReport]:
    """Quantize the same layers of both forms of a graph."""
    peaks = measure_peaks(deployed, layers_to_quantize(raw), calibration.images)
    report = report_layers(deployed, peaks, calibration.images, calibration.min_sqnr_db)
    layers = report.int8_layers
    if not layers:
        best = max((layer.sqnr_db or 0 for layer in report.layers), default=0)
        raise ExportError(
            f"precision int8: expected a convolution with an SQNR of at least {calibration.min_sqnr_db:g} dB; the best "
            f"has {best:.1f}. Lower --min-sqnr or use fp16"
        )
    return quantize(raw, layers, peaks), quantize(end_to_end, layers, peaks), report


def _write_report(report: QuantizationReport, path: Path, log: Log) -> None:
    write_atomic(path.with_suffix(".quantization.json"), report.to_json().encode())
    write_atomic(path.with_suffix(".quantization.txt"), f"{report.table()}\n".encode())
    log(f"{len(report.int8_layers)} of {len(report.layers)} convolutions are int8. The noisiest layers:")
    log(report.table(LOGGED_LAYERS))
