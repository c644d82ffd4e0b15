"""Packages detect what their file outputs, index by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.select import NMSThresholds, select
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.onnx_import import convert as module
from model_zoo.onnx_import.convert import convert
from model_zoo.onnx_import.options import Converted, OnnxOptions, Request
from tests.model_zoo.onnx_import import foreign_files as foreign
from tests.model_zoo.onnx_import.foreign_files import CLASSES, SIZE, Net, dynamic, save
from tests.model_zoo.onnx_import.hostile_files import UNSUITABLE

IMAGE = synthetic_images(SIZE, 3, seed=7)[2]  # noise, so that no scores are equal
Arrays = dict[str, np.ndarray]
Reference = Callable[[Arrays, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)


def from_v8(arrays: Arrays, _: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = arrays["output0"].astype(np.float32).swapaxes(1, 2)
    return corners(rows[..., :4]), rows[..., 4:]


def from_v5(arrays: Arrays, _: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = arrays["output"]
    return corners(rows[..., :4]), rows[..., 5:] * rows[..., 4:5]


def from_raw(arrays: Arrays, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decode rows relative to their cells, one after another."""
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(size[0] // s) for x in range(size[1] // s)]
    boxes, scores = [], []
    for row, (x, y, stride) in zip(arrays["output"][0], np.asarray(cells, dtype=np.float32), strict=True):
        center, side = (row[:2] + np.stack([x, y])) * stride, np.exp(row[2:4]) * stride
        boxes.append(np.concatenate([center - side / 2, center + side / 2]))
        scores.append(row[5:] * row[4])
    return np.stack(boxes)[None], np.stack(scores)[None]


def from_end_to_end(arrays: Arrays, _: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = arrays["output0"]
    return rows[..., :4], rows[..., 4:5] * (rows[..., 5:] == np.arange(CLASSES))


def from_pair(arrays: Arrays, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    sides = np.asarray([size[1], size[0]] * 2, dtype=np.float32)
    return corners(arrays["pred_boxes"]) * sides, 1 / (1 + np.exp(-arrays["logits"]))


def from_detr(arrays: Arrays, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = arrays["output0"]
    return corners(rows[..., :4]) * np.asarray([size[1], size[0]] * 2, dtype=np.float32), rows[..., 4:]


def from_triple(arrays: Arrays, _: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return arrays["boxes"], arrays["scores"][..., None] * (arrays["labels"][..., None] == np.arange(CLASSES))


def float_input(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


def bgr_input(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)


def half_input(images: np.ndarray) -> np.ndarray:
    return float_input(images).astype(np.float16)


def bytes_input(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def channels_last() -> ModelProto:
    net = Net((1, *SIZE, 3))
    net.pixels = lambda: net.add("Transpose", "images", perm=[0, 3, 1, 2])  # type: ignore[method-assign]
    return foreign.v8(net)


def byte_images() -> ModelProto:
    net = Net(kind=TensorProto.UINT8)
    net.pixels = lambda: net.add("Div", net.add("Cast", "images", to=1), np.float32(255))  # type: ignore[method-assign]
    return foreign.v8(net)


def quantized() -> ModelProto:
    """A file with int8 weights."""
    model = foreign.v8()
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == node.input[1]]
        weights = numpy_helper.to_array(tensor)
        scale = np.float32(np.abs(weights).max() / 127)
        parts = {"q": np.round(weights / scale).astype(np.int8), "s": scale, "z": np.int8(0)}
        names = [tensor.name + suffix for suffix in parts]
        model.graph.initializer.extend(map(numpy_helper.from_array, map(np.asarray, parts.values()), names))
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", names, [tensor.name + "f"]))
        node.input[1] = tensor.name + "f"
    return model


CASES: dict[str, tuple[ModelProto, str, Reference, Callable[[np.ndarray], np.ndarray]]] = {
    "v8": (foreign.v8(), "v8", from_v8, float_input),
    "v8 dynamic": (foreign.v8(dynamic()), "v8", from_v8, float_input),
    "v8 opset 12": (foreign.v8(Net(opset=12)), "v8", from_v8, float_input),
    "v8 opset 22": (foreign.v8(dynamic(opset=22)), "v8", from_v8, float_input),
    "v8 float16": (foreign.v8(Net(kind=TensorProto.FLOAT16)), "v8", from_v8, half_input),
    "v8 channels last": (channels_last(), "v8", from_v8, lambda images: images.astype(np.float32) / np.float32(255)),
    "v8 uint8": (byte_images(), "v8", from_v8, bytes_input),
    "v8 quantized": (quantized(), "v8", from_v8, float_input),
    "v5": (foreign.v5(), "v5", from_v5, float_input),
    "v5 dynamic": (foreign.v5(dynamic(12)), "v5", from_v5, float_input),
    "yolox": (foreign.yolox(), "yolox", from_v5, bgr_input),
    "yolox raw": (foreign.yolox(raw=True), "yolox-raw", from_raw, bgr_input),
    "end to end": (foreign.end_to_end(), "end-to-end", from_end_to_end, float_input),
    "pair": (foreign.pair(), "boxes-scores", from_pair, float_input),
    "pair swapped": (foreign.pair(dynamic(), swapped=True), "boxes-scores", from_pair, float_input),
    "detr": (foreign.detr(), "detr", from_detr, float_input),
    "triple": (foreign.triple(), "boxes-scores-labels", from_triple, float_input),
}


def imported(model: ModelProto, folder: Path, **options: Any) -> Converted:
    return convert(save(model, folder / "net.onnx"), Request("net", **options), folder)


FAST = {"v8 opset 12", "yolox raw", "end to end", "pair swapped", "triple"}


@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in FAST else [pytest.mark.slow]) for c in CASES])
def test_detections_equal_those_of_the_file(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_golden", lambda *_: {})  # another test makes golden images
    model, layout, reference, to_input = CASES[case]
    converted = imported(model, tmp_path, image_size=SIZE)
    assert converted.card.variant == layout
    arrays = run(model, to_input(IMAGE[None]))
    compare(converted, IMAGE, *reference(arrays, SIZE))


def run(model: ModelProto, pixels: np.ndarray) -> Arrays:
    session = ort.InferenceSession(model.SerializeToString())
    feeds = {"images": pixels}
    if len(session.get_inputs()) > 1:
        feeds["orig_target_sizes"] = np.asarray([[SIZE[1], SIZE[0]]])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def compare(
    converted: Converted, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, lowest: float = 0.0
) -> None:
    session = ort.InferenceSession(converted.files["model.onnx"])
    below = converted.card.thresholds.multi_label_below
    ranked = np.sort(scores[0].max(axis=1))[::-1]
    high, higher = (float(ranked[rank : rank + 2].mean()) for rank in (12, 3))
    for threshold, iou, weight in ((lowest, 0.45, 1.0), (high, 0.6, 0.0), (higher, 1.0, 1.0)):
        values = [np.asarray([value], dtype=np.float32) for value in (threshold, iou, weight)]
        feeds = dict(zip(("score_threshold", "iou_threshold", "distance_weight"), values, strict=True))
        rows, count = session.run(None, {"images": image[None], **feeds})
        expected = select(boxes[0], scores[0].astype(np.float32), NMSThresholds(threshold, iou, weight), below)
        assert count[0] == len(expected) > 0
        np.testing.assert_allclose(rows[0, : count[0]], expected, rtol=1e-4, atol=1e-3)


def test_declared_shapes_of_outputs_are_not_trusted(tmp_path: Path) -> None:
    model = foreign.v8()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 99
    converted = imported(model, tmp_path)
    compare(converted, IMAGE, *from_v8(run(foreign.v8(), float_input(IMAGE[None])), SIZE))
    assert "CastLike" not in {node.op_type for node in every_node(onnx.load(converted.files["model.onnx"]).graph)}


@pytest.mark.parametrize("case", UNSUITABLE)
def test_unsuitable_files_are_refused_with_a_reason(case: str, tmp_path: Path) -> None:
    model, reason = UNSUITABLE[case]
    with pytest.raises(LineageError) as caught:
        imported(model, tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    converted = convert(save(foreign.v8(), tmp_path / "net.onnx"), Request("net"), None)
    assert converted.files == {}
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    text = "\n".join(converted.notes)
    for fact in ("layout v8", "color rgb, assumed", "scaling unit", "letterbox center", "license unknown", "batch 1"):
        assert fact in text


def test_package_has_card_golden_images_and_proof(tmp_path: Path) -> None:
    metadata = {"names": foreign.NAMES, "stride": "32", "license": "AGPL-3.0 License (https://example.org)"}
    converted = imported(foreign.v8(dynamic(), metadata), tmp_path, image_size=(96, 128))
    card = converted.card
    assert ModelCard.from_metadata(metadata_of(converted)) == card
    assert (card.class_names, card.input_size, card.dynamic_size) == (("ant", "bee", "cat"), (96, 128), True)
    assert (card.weights.license, card.weights.origin, card.precision) == ("AGPL-3.0", "net.onnx", "fp32")
    assert {"model.onnx", "golden/expected.json", "golden/1.png"} <= set(converted.files)
    assert "CastLike" not in {node.op_type for node in every_node(onnx.load(converted.files["model.onnx"]).graph)}
    assert any("detections on 6 images equal those of its outputs" in note for note in converted.notes)


@pytest.mark.parametrize(
    ("net", "size", "facts", "shapes"),
    [
        (foreign.v8(dynamic()), (64,), OnnxOptions(), "buckets"),
        (foreign.v8(), (), OnnxOptions(), "square"),
        (foreign.v8(dynamic()), (64,), OnnxOptions(letterbox="top_left"), "square"),
        (foreign.v8(dynamic()), (64,), OnnxOptions(letterbox="stretch"), "square"),
    ],
)
def test_canvases_follow_from_size_and_letterbox(
    net: onnx.ModelProto, size: tuple[int, ...], facts: OnnxOptions, shapes: str, tmp_path: Path
) -> None:
    file = save(net, tmp_path / "net.onnx")
    converted = convert(file, Request("net", facts, size), None)
    assert converted.card.shapes == shapes
    assert f"canvases {shapes}, assumed" in "\n".join(converted.notes)
    assert convert(file, Request("net", facts, size, shapes="square"), None).card.shapes == "square"


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from every_node(attribute.g)


def metadata_of(converted: Converted) -> dict[str, str]:
    model = onnx.load(converted.files["model.onnx"])
    return {entry.key: entry.value for entry in model.metadata_props}


def test_given_facts_replace_assumptions(tmp_path: Path) -> None:
    facts = OnnxOptions(layout="v5", color="bgr", scaling="none", letterbox="stretch")
    request = Request("net", onnx=facts, license="MIT")
    converted = convert(save(foreign.yolox(), tmp_path / "net.onnx"), request, None)
    assert (converted.card.variant, converted.card.letterbox.align) == ("v5", "stretch")
    assert converted.card.weights.license == "MIT"
    notes = "\n".join(converted.notes)
    assert notes.count("as given") == 5


@pytest.mark.slow
def test_imagenet_scaling_is_that_of_torchvision(tmp_path: Path) -> None:
    converted = imported(foreign.v8(), tmp_path, onnx=OnnxOptions(scaling="imagenet"))
    mean, std = (np.asarray(v, dtype=np.float32) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    pixels = ((IMAGE / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
    compare(converted, IMAGE, *from_v8(run(foreign.v8(), pixels), SIZE))


@pytest.mark.slow
def test_large_networks_keep_their_best_candidates(tmp_path: Path) -> None:
    converted = imported(foreign.v5(), tmp_path, candidates=128)
    assert converted.card.candidates == 128
    boxes, scores = from_v5(run(foreign.v5(), float_input(IMAGE[None])), SIZE)
    kept = np.sort(np.argsort(-scores[0].max(axis=1), kind="stable")[:128])
    compare(converted, IMAGE, boxes[:, kept], scores[:, kept], lowest=0.02)
