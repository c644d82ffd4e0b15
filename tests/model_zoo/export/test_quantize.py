"""Int8 quantization follows torch's fake quantization, and rejects bad calibrations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from model_zoo.contract.card import ModelCard
from model_zoo.detector import to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.int8_maps import LayerPeaks, Peaks
from model_zoo.export.layer_statistics import measure_peaks
from model_zoo.export.parity import verify
from model_zoo.export.quantize import MAX_WEIGHT_STEP, layers_to_quantize, quantize
from model_zoo.export.sessions import open_model
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.runtime.int8 import to_uint8_activations, without_optional_maps
from tests.cpu.features import cannot_hide, run_module
from tests.exports import ExportedModel, feeds
from tests.model_zoo.export import int8_kernels
from tests.model_zoo.export.graphs import DOWN, STEM, constants, convolution, maps

hides_features = pytest.mark.skipif(bool(cannot_hide()), reason=cannot_hide())


@pytest.fixture(scope="module")
def raw(tiny: ExportedModel, peaks: Peaks) -> onnx.ModelProto:
    return quantize(tiny.raw, [STEM, DOWN], peaks)


def labeled(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Replace the card of a model by an int8 card."""
    fields = json.loads(card.to_json()) | {"precision": "int8"}
    onnx.helper.set_model_props(model, ModelCard.from_json(json.dumps(fields)).to_metadata())
    return model


def without_optional(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model that OpenVINO and TensorRT run. It has no nodes that compute nothing."""
    result = onnx.ModelProto.FromString(without_optional_maps(model.SerializeToString()))
    used = {name for node in result.graph.node for name in node.input} | {v.name for v in result.graph.output}
    for _ in range(2):  # DequantizeLinear, then its QuantizeLinear
        for node in [n for n in result.graph.node if used.isdisjoint(n.output)]:
            result.graph.node.remove(node)
        used = {name for node in result.graph.node for name in node.input} | {v.name for v in result.graph.output}
    return result


def test_convolutions_of_images_and_predictions_stay_float32(tiny: ExportedModel) -> None:
    assert layers_to_quantize(tiny.raw) == layers_to_quantize(tiny.end_to_end) == [DOWN]


def test_quantization_is_symmetric_with_weight_scales_per_channel(raw: onnx.ModelProto) -> None:
    """TensorRT requires int8 with zero points of 0, and float biases."""
    values = constants(raw)
    quantizers = [n for n in without_optional(raw).graph.node if n.op_type == "QuantizeLinear"]
    assert len(quantizers) == 2
    for node in quantizers:
        assert values[node.input[2]].dtype == np.int8
        assert values[node.input[2]] == 0
    for layer, channels in ((STEM, 8), (DOWN, 16)):
        conv = convolution(raw, layer)
        (weight,) = (n for n in raw.graph.node if n.output[0] == conv.input[1])
        assert weight.op_type == "DequantizeLinear"
        assert weight.attribute[0].i == 0
        assert values[weight.input[0]].dtype == np.int8
        assert values[weight.input[1]].shape == (channels,)
        assert np.abs(values[weight.input[0]]).reshape(channels, -1).max(axis=1).tolist() == [64] * channels
        assert values[conv.input[2]].dtype == np.float32
    assert "network.backbone.stem.conv.weight" not in values


def test_layer_equals_fake_quantization_of_torch(tiny: ExportedModel, raw: onnx.ModelProto, peaks: Peaks) -> None:
    batch = synthetic_images((128, 160), 2, seed=8)
    conv = tiny.detector.deploy().backbone.stem.conv
    x = to_network(torch.from_numpy(batch), tiny.detector.input_spec)
    x = torch.fake_quantize_per_tensor_affine(x, peaks[STEM].input / 127, 0, -128, 127)
    scales = conv.weight.abs().amax((1, 2, 3)) / 64
    weight = torch.fake_quantize_per_channel_affine(conv.weight, scales, torch.zeros(8), 0, -128, 127)
    y = torch.nn.functional.conv2d(x, weight, conv.bias, conv.stride)
    step = (peaks[STEM].high + 8) / 255
    expected = torch.fake_quantize_per_tensor_affine(y, step, round(8 / step) - 128, -128, 127).numpy()
    (actual,) = maps(raw, [convolution(raw, STEM).output[0].replace("fp32", "int8")], batch)
    assert np.abs(actual - expected).max() < 1.01 * step  # a sum between two steps can round either way
    assert (np.abs(actual - expected) < 1e-5).mean() > 0.999


def test_int8_weights_are_a_quarter_and_reproducible(
    tiny: ExportedModel, images: list[ImageBatch], raw: onnx.ModelProto
) -> None:
    again = quantize(tiny.raw, [STEM, DOWN], measure_peaks(tiny.detector.deploy(), [STEM, DOWN], images))
    assert again.SerializeToString(deterministic=True) == raw.SerializeToString(deterministic=True)
    sizes = {name: value.nbytes for name, value in constants(raw).items()}
    float_sizes = {name: value.nbytes for name, value in constants(tiny.raw).items()}
    assert sizes["network.backbone.down.conv.weight.steps"] * 4 == float_sizes["network.backbone.down.conv.weight"]


def test_channel_with_tiny_weights_keeps_its_bias(tiny: ExportedModel, images: list[ImageBatch]) -> None:
    """Runtimes round a bias to int32 in steps of the scales, which must not be too small for it."""
    model = onnx.ModelProto()
    model.CopyFrom(tiny.raw)
    conv = convolution(model, STEM)
    values = {conv.input[1]: constants(model)[conv.input[1]].copy(), conv.input[2]: np.linspace(2, 3, 8)}
    values[conv.input[1]][2:4] *= 1e-30
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name].astype(np.float32), tensor.name))
    quantized = quantize(model, [STEM, DOWN], {STEM: LayerPeaks(1.0, 3.5, 3.5), DOWN: LayerPeaks(3.5, 20.0, 20.0)})
    unsigned = onnx.ModelProto.FromString(to_uint8_activations(quantized.SerializeToString(deterministic=True)))
    for form in (quantized, unsigned):
        (actual,) = maps(form, [convolution(form, STEM).output[0]], images[0])
        np.testing.assert_allclose(actual[:, 2:4].mean(axis=(0, 2, 3)), np.linspace(2, 3, 8)[2:4], rtol=0.02)


def test_uint8_activations_give_the_same_detections(tiny: ExportedModel, peaks: Peaks) -> None:
    model = quantize(tiny.end_to_end, [STEM, DOWN], peaks)
    unsigned = to_uint8_activations(model.SerializeToString(deterministic=True))
    assert unsigned != model.SerializeToString(deterministic=True)
    inputs = feeds(synthetic_images((128, 160), 2, seed=6), score=0.4)
    signed_rows, unsigned_rows = (
        open_model(form).run(None, inputs)[0] for form in (model, onnx.ModelProto.FromString(unsigned))
    )
    np.testing.assert_allclose(unsigned_rows[:, :20], signed_rows[:, :20], atol=1.0)


def test_quantized_graph_passes_parity(
    tiny: ExportedModel, images: list[ImageBatch], peaks: Peaks, raw: onnx.ModelProto
) -> None:
    end_to_end = labeled(quantize(tiny.end_to_end, [STEM, DOWN], peaks), tiny.card)
    report = verify(tiny.detector, tiny.detector.deploy(), raw, end_to_end, images)
    assert 1e-4 < report.file.score < 0.1
    assert 1e-4 < report.file.box < 0.1
    assert report.detections > 100


@pytest.mark.parametrize("factor", [1 / 6, 300])
def test_bad_calibration_is_rejected(
    tiny: ExportedModel, images: list[ImageBatch], peaks: Peaks, factor: float
) -> None:
    wrong = {layer: LayerPeaks(*(peak * factor for peak in own)) for layer, own in peaks.items()}
    raw, end_to_end = (quantize(form, [STEM, DOWN], wrong) for form in (tiny.raw, tiny.end_to_end))
    with pytest.raises(ExportError, match=r"with signed activations and the model disagree.* best 100"):
        verify(tiny.detector, tiny.detector.deploy(), raw, labeled(end_to_end, tiny.card), images)


def kernel_errors(max_weight_step: int, hidden_features: Path) -> dict[str, float]:
    module = "tests.model_zoo.export.int8_kernels"
    return dict(json.loads(run_module(module, str(max_weight_step), hidden_features=hidden_features)))


def test_kernels_of_this_cpu_are_exact() -> None:
    assert max(int8_kernels.errors().values()) < 1.01


@hides_features
def test_kernels_without_vnni_are_exact(tmp_path: Path) -> None:
    assert max(kernel_errors(MAX_WEIGHT_STEP, tmp_path).values()) < 1.01


@hides_features
def test_kernels_without_vnni_saturate_with_larger_weights(tmp_path: Path) -> None:
    """This is why weights use steps up to 64. It also proves that the features are hidden."""
    errors = kernel_errors(127, tmp_path)
    assert min(errors["signed"], errors["unsigned"]) > 20
