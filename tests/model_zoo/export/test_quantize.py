"""Int8: which layers, by which scales, what it costs, and that a bad calibration is found."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from model_zoo.contract.card import ModelCard
from model_zoo.contract.pipeline import preprocess
from model_zoo.detector import to_network
from model_zoo.export.calibration import read_pictures
from model_zoo.export.errors import ExportError
from model_zoo.export.parity import pictures, session, verify
from model_zoo.export.quantization_report import QuantizationReport, report_layers
from model_zoo.export.quantize import Peaks, layers_to_quantize, measure_peaks, quantize
from model_zoo.runtime.int8 import to_uint8_activations
from tests.model_zoo.export.conftest import Exported, feeds

STEM, DOWN = "backbone.stem.conv", "backbone.down.conv"
INT8 = onnx.TensorProto.INT8


@pytest.fixture(scope="module")
def shown() -> list[np.ndarray]:
    """Pictures to calibrate on, as `read_pictures` gives them."""
    return [picture[None] for picture in pictures((128, 160), 5, seed=3)]


@pytest.fixture(scope="module")
def peaks(toy_file: Exported, shown: list[np.ndarray]) -> Peaks:
    return measure_peaks(toy_file.raw, [STEM, DOWN], shown)


@pytest.fixture(scope="module")
def raw(toy_file: Exported, peaks: Peaks) -> onnx.ModelProto:
    return quantize(toy_file.raw, [STEM, DOWN], peaks)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def maps(model: onnx.ModelProto, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    """Run a model for maps inside it."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return list(session(asked).run(None, {"images": images}))


def convolution(model: onnx.ModelProto, layer: str) -> onnx.NodeProto:
    (node,) = (n for n in model.graph.node if n.op_type == "Conv" and layer in n.input[1])
    return node


def test_predictions_stay_float32(toy_file: Exported) -> None:
    assert layers_to_quantize(toy_file.raw) == layers_to_quantize(toy_file.end_to_end) == [STEM, DOWN]


def test_peaks_are_the_mean_of_what_each_picture_reaches(
    toy_file: Exported, shown: list[np.ndarray], peaks: Peaks
) -> None:
    backbone = toy_file.detector.deploy().backbone
    stem: list[torch.Tensor] = []
    backbone.stem.conv.register_forward_hook(lambda _module, _inputs, output: stem.append(output.abs().max()))
    with torch.no_grad():
        c3 = [backbone(to_network(torch.from_numpy(p), toy_file.detector.input_spec))[0].abs().max() for p in shown]
    conv = convolution(toy_file.raw, STEM)
    assert len(peaks) == 4
    assert peaks[conv.output[0]] == pytest.approx(float(torch.stack(stem).mean()), rel=1e-5)
    assert peaks[convolution(toy_file.raw, DOWN).input[0]] == pytest.approx(float(torch.stack(c3).mean()), rel=1e-5)


def test_all_is_symmetric_and_weights_have_a_scale_per_channel(raw: onnx.ModelProto) -> None:
    """TensorRT takes int8 alone, with zero points of 0, and biases in float."""
    values = constants(raw)
    rounding = [n for n in raw.graph.node if n.op_type == "QuantizeLinear"]
    assert len(rounding) == 4
    for node in rounding:
        assert values[node.input[2]].dtype == np.int8
        assert values[node.input[2]] == 0
    for layer, channels in ((STEM, 8), (DOWN, 16)):
        conv = convolution(raw, layer)
        (weight,) = (n for n in raw.graph.node if n.output[0] == conv.input[1])
        assert weight.op_type == "DequantizeLinear"
        assert weight.attribute[0].i == 0
        assert values[weight.input[0]].dtype == np.int8
        assert values[weight.input[1]].shape == (channels,)
        assert np.abs(values[weight.input[0]]).reshape(channels, -1).max(axis=1).tolist() == [127] * channels
        assert values[conv.input[2]].dtype == np.float32
    assert "network.backbone.stem.conv.weight" not in values


def test_a_layer_computes_what_torch_calls_fake_quantization(
    toy_file: Exported, raw: onnx.ModelProto, peaks: Peaks
) -> None:
    images = pictures((128, 160), 2, seed=8)
    conv = toy_file.detector.deploy().backbone.stem.conv
    node = convolution(toy_file.raw, STEM)
    x = to_network(torch.from_numpy(images), toy_file.detector.input_spec)
    x = torch.fake_quantize_per_tensor_affine(x, peaks[node.input[0]] / 127, 0, -128, 127)
    scales = conv.weight.abs().amax((1, 2, 3)) / 127
    weight = torch.fake_quantize_per_channel_affine(conv.weight, scales, torch.zeros(8), 0, -128, 127)
    y = torch.nn.functional.conv2d(x, weight, conv.bias, conv.stride)
    step = peaks[node.output[0]] / 127
    wanted = torch.fake_quantize_per_tensor_affine(y, step, 0, -128, 127).numpy()
    (came,) = maps(raw, [node.output[0]], images)
    assert np.abs(came - wanted).max() < 1.01 * step  # where a sum lies between two steps, its last bit decides
    assert (np.abs(came - wanted) < 1e-5).mean() > 0.999


def test_int8_weighs_a_quarter_and_has_the_same_bytes_every_time(
    toy_file: Exported, shown: list[np.ndarray], raw: onnx.ModelProto
) -> None:
    again = quantize(toy_file.raw, [STEM, DOWN], measure_peaks(toy_file.raw, [STEM, DOWN], shown))
    assert again.SerializeToString(deterministic=True) == raw.SerializeToString(deterministic=True)
    sizes = {name: value.nbytes for name, value in constants(raw).items()}
    float_sizes = {name: value.nbytes for name, value in constants(toy_file.raw).items()}
    assert sizes["network.backbone.down.conv.weight.steps"] * 4 == float_sizes["network.backbone.down.conv.weight"]


def test_a_channel_without_weights_keeps_its_bias(toy_file: Exported, shown: list[np.ndarray]) -> None:
    """Runtimes round a bias to int32 in steps of the scales: those of next to nothing would not reach it."""
    model = onnx.ModelProto()
    model.CopyFrom(toy_file.raw)
    conv = convolution(model, STEM)
    changed = {conv.input[1]: constants(model)[conv.input[1]].copy(), conv.input[2]: np.linspace(2, 3, 8)}
    changed[conv.input[1]][2:4] *= 1e-30
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name].astype(np.float32), tensor.name))
    quantized = quantize(model, [STEM, DOWN], measure_peaks(model, [STEM, DOWN], shown))
    unsigned = onnx.ModelProto.FromString(to_uint8_activations(quantized.SerializeToString(deterministic=True)))
    for form in (quantized, unsigned):
        (came,) = maps(form, [conv.output[0]], shown[0])
        np.testing.assert_allclose(came[:, 2:4].mean(axis=(0, 2, 3)), np.linspace(2, 3, 8)[2:4], rtol=0.02)


def test_counted_from_zero_it_detects_the_same(toy_file: Exported, peaks: Peaks) -> None:
    model = quantize(toy_file.end_to_end, [STEM, DOWN], peaks)
    unsigned = to_uint8_activations(model.SerializeToString(deterministic=True))
    assert unsigned != model.SerializeToString(deterministic=True)
    asked = feeds(pictures((128, 160), 2, seed=6), score=0.4)
    signed_rows, unsigned_rows = (
        session(form).run(None, asked)[0] for form in (model, onnx.ModelProto.FromString(unsigned))
    )
    np.testing.assert_allclose(unsigned_rows[:, :20], signed_rows[:, :20], atol=1.0)


def test_the_report_has_each_layers_own_noise(toy_file: Exported, shown: list[np.ndarray], peaks: Peaks) -> None:
    report = report_layers(toy_file.raw, peaks, shown, 0.0)
    assert sorted(row.layer for row in report.layers) == [DOWN, STEM]
    assert report.layers[0].sqnr_db < report.layers[1].sqnr_db
    alone = quantize(toy_file.raw, [DOWN], peaks)
    name = convolution(toy_file.raw, DOWN).output[0]
    pairs = [(maps(toy_file.raw, [name], p)[0], maps(alone, [name], p)[0]) for p in shown]
    signal, noise = sum((a**2).sum() for a, _ in pairs), sum(((a - b) ** 2).sum() for a, b in pairs)
    (row,) = (row for row in report.layers if row.layer == DOWN)
    weight = constants(toy_file.raw)["network.backbone.down.conv.weight"]
    assert row.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=0.01)
    assert (row.weight_low, row.weight_high) == (weight.min(), weight.max())
    assert row.output_peak == peaks[name]


def test_layers_that_are_too_noisy_stay_float32(toy_file: Exported, shown: list[np.ndarray], peaks: Peaks) -> None:
    worst, best = report_layers(toy_file.raw, peaks, shown, 0.0).layers
    between = (worst.sqnr_db + best.sqnr_db) / 2
    report = report_layers(toy_file.raw, peaks, shown, between)
    assert [(row.layer, row.precision) for row in report.layers] == [(worst.layer, "fp32"), (best.layer, "int8")]
    assert report.on_int8 == [best.layer]
    assert json.loads(report.to_json())["layers"][0]["layer"] == worst.layer
    ratio, precision, *_, layer = report.table(1).splitlines()[1].split()
    assert (ratio, precision, layer) == (f"{worst.sqnr_db:.1f}", "fp32", worst.layer)
    mixed = quantize(toy_file.raw, report.on_int8, peaks)
    assert sum(node.op_type == "QuantizeLinear" for node in mixed.graph.node) == 2


def test_layers_without_noise_are_no_error() -> None:
    """A constant map, as random weights give, has no noise: no ratio, and the end of the table."""
    report = QuantizationReport(1, 25.0, ())
    assert report.on_int8 == []
    assert len(report.table().splitlines()) == 1


def test_both_forms_are_proved_alike(
    toy_file: Exported, shown: list[np.ndarray], peaks: Peaks, raw: onnx.ModelProto
) -> None:
    end_to_end = labeled(quantize(toy_file.end_to_end, [STEM, DOWN], peaks), toy_file.card)
    report = verify(toy_file.detector, toy_file.detector.deploy(), raw, end_to_end, shown)
    assert 1e-4 < report.file.score < 0.1
    assert 1e-4 < report.file.box < 0.1
    assert report.detections > 100


@pytest.mark.parametrize("factor", [1 / 6, 300])
def test_a_bad_calibration_is_refused(toy_file: Exported, shown: list[np.ndarray], peaks: Peaks, factor: float) -> None:
    wrong = {name: peak * factor for name, peak in peaks.items()}
    raw, end_to_end = (quantize(form, [STEM, DOWN], wrong) for form in (toy_file.raw, toy_file.end_to_end))
    with pytest.raises(ExportError, match=r"the int8 graph and the model disagree.* mean of the best 100"):
        verify(toy_file.detector, toy_file.detector.deploy(), raw, labeled(end_to_end, toy_file.card), shown)


def test_maps_that_are_not_finite_are_refused(toy_file: Exported, shown: list[np.ndarray]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(toy_file.raw)
    weight = next(t for t in model.graph.initializer if t.name == "network.backbone.stem.conv.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(np.inf), weight.name))
    with pytest.raises(ExportError, match="expected finite numbers"):
        measure_peaks(model, [STEM, DOWN], shown)


def labeled(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Put an int8 card into a model in place of the toy's."""
    fields = json.loads(card.to_json()) | {"precision": "int8"}
    onnx.helper.set_model_props(model, ModelCard.from_json(json.dumps(fields)).to_metadata())
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, picture in enumerate(pictures((60, 90), 10, seed=1)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture[..., ::-1])
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("5")
    (tmp_path / "sub.jpg").mkdir()
    return tmp_path


def test_calibration_sees_pictures_as_serving_does(toy_file: Exported, folder: Path) -> None:
    came = read_pictures(folder, toy_file.card)
    assert len(came) == 9
    for picture, wanted in zip(came[:3], pictures((60, 90), 3, seed=1), strict=True):
        assert picture.shape == (1, 128, 160, 3)
        np.testing.assert_array_equal(picture[0], preprocess(toy_file.card, wanted).pixels)


def test_fewer_pictures_are_spread_over_the_folder(toy_file: Exported, folder: Path) -> None:
    everything = [picture.tobytes() for picture in read_pictures(folder, toy_file.card)]
    chosen = [picture.tobytes() for picture in read_pictures(folder, toy_file.card, 5)]
    assert [everything.index(picture) for picture in chosen] == [0, 2, 3, 5, 7]  # of the names 0, 2, 4, 6, 8


def test_folders_that_cannot_calibrate(toy_file: Exported, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    for path, most, complaint in (
        (tmp_path / "none", 8, "expected a folder of pictures; there is none at"),
        (tmp_path / "a.jpg", 8, "expected a folder of pictures; there is none at"),
        (tmp_path, 8, "none of its 1 files named as such can be read"),
        (tmp_path, 0, "at least one picture"),
    ):
        with pytest.raises(ExportError, match=complaint):
            read_pictures(path, toy_file.card, most)
