"""Build the model card of an imported network, with notes on what is known and what is assumed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from onnx import ModelProto, TensorProto

from model_zoo.class_names import COCO_NAMES
from model_zoo.contract.card import ModelCard, Precision, Shapes, Thresholds, WeightsOrigin
from model_zoo.contract.files import file_sha256
from model_zoo.contract.letterbox import LetterboxPolicy
from model_zoo.contract.licenses import UNKNOWN, checked_license
from model_zoo.contract.versions import installed_version
from model_zoo.export.options import BLOCK
from model_zoo.onnx_import.decoding import Decoding
from model_zoo.onnx_import.network import InputFormat, Network, literal
from model_zoo.onnx_import.options import Layout, OnnxOptions, Placement, Request
from model_zoo.weights.class_names import MAX_NAMES, read_class_names
from model_zoo.weights.names_file import read_names_file

FAMILY: Final = "onnx"
MULTI_LABEL_BELOW: Final = 0.01  # as for YOLOv5 to v7: evaluation reports every class of a box, detection only the best
TOOLS: Final = ("yolo-lineage", "onnx", "onnx-ir", "onnxruntime")
YOLOX: Final = ("yolox", "yolox-raw")
SETS: Final = ("detr", "boxes-scores-labels")  # networks that need no NMS and see stretched images
POLICIES: Final[Mapping[Placement, LetterboxPolicy]] = {
    "center": LetterboxPolicy(),
    "top_left": LetterboxPolicy("top_left", "floor"),
    "stretch": LetterboxPolicy("stretch"),
}


def class_names(network: Network, file: Path | None) -> tuple[str, ...]:
    """Return the class names of a file, or of the metadata, empty if there are none. Gaps become `class<index>`."""
    if file:
        return read_names_file(file)
    names = literal(network.metadata, "names")
    indices = [key for key in names if isinstance(key, int)] if isinstance(names, dict) else []
    return read_class_names(names, min(max(indices) + 1, MAX_NAMES) if indices else None)


def complete_names(names: tuple[str, ...], classes: int) -> tuple[tuple[str, ...], str]:
    """Return a name for each class, and where they come from."""
    if names:
        return names, f"{classes} classes, such as {', '.join(names[:3])}"
    if classes == len(COCO_NAMES):
        return COCO_NAMES, "80 classes without names: assumed to be those of COCO, unless --names is given"
    return tuple(f"class{i}" for i in range(classes)), f"{classes} classes without names: give --names"


def complete_format(fmt: InputFormat, layout: Layout, options: OnnxOptions) -> tuple[InputFormat, list[str]]:
    """Return the input format with color order and scaling as given or usual for the layout, and notes on both."""
    is_yolox = layout in YOLOX
    color = options.color or ("bgr" if is_yolox else "rgb")
    scaling = options.scaling or ("none" if is_yolox or fmt.dtype == "uint8" else "unit")
    notes = [
        f"color {color}, {_source(options.color, layout, '--color')}",
        f"scaling {scaling}, {_source(options.scaling, layout, '--scaling')}",
    ]
    dynamic_size = fmt.dynamic_size and layout != "yolox-raw"  # its grid is a constant in the graph
    return replace(fmt, color=color, scaling=scaling, dynamic_size=dynamic_size), notes


def build_card(
    source: Path, network: Network, decoding: Decoding, names: tuple[str, ...], request: Request
) -> tuple[ModelCard, list[str]]:
    """Return the card of a package, and notes on letterbox and license."""
    layout, fmt = decoding.layout, network.format
    usual: Placement = "top_left" if layout in YOLOX else "stretch" if layout in SETS else "center"
    placement = request.onnx.letterbox or usual
    shapes, shapes_note = _shapes(request, fmt.dynamic_size and placement == "center" and layout not in SETS)
    license, license_note = _license(network, request.license)
    rows = decoding.predictions * (decoding.classes if decoding.needs_nms else 1)  # pairs of box and class
    candidates = min(request.candidates, BLOCK * math.ceil(rows / BLOCK))
    nms = Thresholds(multi_label_below=MULTI_LABEL_BELOW)
    card = ModelCard(
        name=request.name,
        family=FAMILY,
        variant=layout,
        class_names=names,
        input_size=fmt.size,
        stride=fmt.stride,
        dynamic_size=fmt.dynamic_size,
        shapes=shapes,
        letterbox=POLICIES[placement],
        thresholds=nms if decoding.needs_nms else Thresholds(iou=1.0),
        candidates=candidates,
        max_detections=min(300, candidates),
        precision=_precision(network.model),
        params=_parameter_count(network.model),
        weights=WeightsOrigin(license, source.name, file_sha256(source)),
        tools={tool: installed_version(tool) or "unknown" for tool in TOOLS},
    )
    letterbox_note = f"letterbox {placement}, {_source(request.onnx.letterbox, layout, '--letterbox')}"
    return card, [letterbox_note, shapes_note, license_note]


def _source(given: str | None, layout: Layout, flag: str) -> str:
    return "as given" if given else f"assumed for the layout {layout}, unless {flag} is given"


def _shapes(request: Request, has_borders: bool) -> tuple[Shapes, str]:
    """Return the canvases, and where they come from. YOLOv5 and later remove the borders of images, YOLOX does not."""
    if request.shapes != "auto":
        return request.shapes, f"canvases {request.shapes}, as given"
    shapes: Shapes = "buckets" if has_borders else "square"
    return shapes, f"canvases {shapes}, assumed from size and letterbox, unless --shapes is given"


def _license(network: Network, given: str | None) -> tuple[str, str]:
    """Return the license of the weights, and where it comes from."""
    if given:
        return checked_license(given), f"license {checked_license(given)}, as given"
    stated = re.match(r"[A-Za-z][\w.+-]*\d[\w.+-]*|MIT\b", network.metadata.get("license", "").strip())
    if stated:
        return stated[0][:100], f"license {stated[0][:100]}, according to the file's metadata"
    return UNKNOWN, "license unknown: the file states none. Ask its authors, and give --license"


def _precision(model: ModelProto) -> Precision:
    """Return the precision of the network by its nodes and weights."""
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv") for node in model.graph.node):
        return "int8"
    sizes = dict.fromkeys((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16), 0)
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += math.prod(tensor.dims)
    largest = max(sizes, key=lambda kind: sizes[kind])
    return {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}[largest]  # type: ignore[return-value]


def _parameter_count(model: ModelProto) -> int:
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if len(tensor.dims) > 0)
