"""ONNX export: one graph from uint8 pixels to detections, with the model card inside.

    images uint8 (B, H, W, 3) RGB
      └─ cast, scale, swap, transpose ─ network ─ rows ─┬─ pick ─ decode ─ NMS ─ detections, count
                                                        └─ decode all ───────── boxes, scores

One trace gives both forms; a file has the outputs its card names and what they need. Files are the same byte for byte
for the same weights, card and tools: nothing of the machine or the day is in them.
"""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxscript.optimizer
import torch
from onnx_ir.passes import common as passes
from torch import Tensor, nn

from model_zoo.contract.card import ModelCard
from model_zoo.detector import Detector, to_network
from model_zoo.export.candidates import candidates
from model_zoo.export.errors import ExportError
from model_zoo.export.nms_graph import BLOCK, append_nms
from model_zoo.export.options import MAX_CANDIDATES
from model_zoo.export.precision import in_precision

MAX_BYTES = 2**31 - 2**25  # of weights: protobuf writes up to 2 GiB, and the graph needs some of it
OPSET = 20  # the newest that both ONNX Runtime 1.31 and TensorRT 10.16 take whole
CANDIDATE_OUTPUTS, ALL = ("candidate_boxes", "candidate_scores"), ("boxes", "scores")
AXES = {
    "images": ("batch", "height", "width", 3),
    "score_threshold": ("batch",),
    "iou_threshold": ("batch",),
    "distance_weight": ("batch",),
    "detections": ("batch", None, 6),
    "count": ("batch",),
    "boxes": ("batch", "predictions", 4),
    "scores": ("batch", "predictions", None),
}


class Pixels(nn.Module):
    """A deployed detector from uint8 (B, H, W, 3) RGB to predictions, as `card` promises."""

    def __init__(self, deployed: Detector, card: ModelCard) -> None:
        super().__init__()
        self.network = in_precision(deployed, card.precision)
        self.head, self.spec, self.k = deployed.head, deployed.input_spec, card.candidates

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return boxes (B, n, 4) and scores (B, n, C), of the k candidates first and then of all predictions."""
        maps = self.network(to_network(images, self.spec))
        rows, priors = self.head.rows(maps), self.head.priors(maps)
        return *candidates(self.head, rows, priors, self.k), *self.head.decode(rows, priors)


def trace(deployed: Detector, card: ModelCard) -> ir.Model:
    """Trace a deployed detector to a graph with what both forms need; `assemble` makes a file of it."""
    _check(card)
    with _quiet_exporter(), _no_collection(), torch.no_grad():
        program = torch.onnx.export(
            Pixels(deployed, card).eval(),
            (_example(card),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=[*CANDIDATE_OUTPUTS, *ALL],
            dynamic_shapes=(_dynamic_shape(card),),
            optimize=False,  # once, when the graph is whole
            verbose=False,
        )
    assert program is not None
    return program.model


def assemble(traced: ir.Model, card: ModelCard) -> onnx.ModelProto:
    """Make the file that `card` describes of a trace: the form it names, named axes, the card inside."""
    model = traced.clone()
    traced_outputs = {value.name: value for value in model.graph.outputs}
    model.graph.outputs[:] = [traced_outputs[name] for name in ALL] if card.output == "raw" else []
    if card.output == "detections":
        boxes, scores = (traced_outputs[name] for name in CANDIDATE_OUTPUTS)
        append_nms(model, boxes, scores, card.thresholds.multi_label_below)
    onnxscript.optimizer.optimize(model)
    passes.ClearMetadataAndDocStringPass()(model)
    _name_axes(model.graph)
    model.graph.name, model.producer_name, model.producer_version = card.name, "yolo-lineage", None
    model.metadata_props.clear()
    model.metadata_props.update(card.to_metadata())
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # in the exporter's own symbols; every runtime infers shapes again
    onnx.checker.check_model(proto, full_check=True)
    return proto


def write(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model file, the same bytes for the same model."""
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _check(card: ModelCard) -> None:
    if card.candidates % BLOCK or card.candidates > MAX_CANDIDATES:
        raise ExportError(f"candidates: expected a multiple of {BLOCK} up to {MAX_CANDIDATES}; got {card.candidates}")
    weights = card.params * (2 if card.precision == "fp16" else 4)
    if weights > MAX_BYTES:
        raise ExportError(
            f"{card.variant}: expected weights of at most {MAX_BYTES / 1e9:.2f} GB, which one ONNX file holds; its "
            f"{card.params:,} parameters take {weights / 1e9:.2f} GB in {card.precision}"
        )


def _example(card: ModelCard) -> Tensor:
    """Two images of two different sides, so that the trace takes no size for another."""
    height, width = (4 * card.stride, 5 * card.stride) if card.dynamic_size else card.input_size
    return torch.zeros((2, height, width, 3), dtype=torch.uint8)


def _dynamic_shape(card: ModelCard) -> dict[int, object]:
    sides = {axis: card.stride * torch.export.Dim(f"cells_{axis}") for axis in (1, 2)}
    return {0: torch.export.Dim("batch"), **(sides if card.dynamic_size else {})}


def _name_axes(graph: ir.Graph) -> None:
    """Give inputs and outputs the axis names of the contract; what is fixed stays a number."""
    for value in (*graph.inputs, *graph.outputs):
        assert value.shape is not None
        axes = zip(value.shape, AXES[value.name or ""], strict=True)
        value.shape = ir.Shape([size if isinstance(size, int) else name for size, name in axes])


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says of itself: an absent torchvision, deprecations of torch inside torch."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector: the millions of objects of a trace stay; looking at them costs a quarter of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
