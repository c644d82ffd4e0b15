"""Export one ONNX graph from uint8 pixels to detections, with the model card in its metadata.

    images uint8 (B, H, W, 3) RGB
      └─ cast, scale, swap, transpose ─ network ─ rows ─┬─ top k ─ decode ─ NMS ─ detections, count
                                                        └─ decode all ────────── boxes, scores

One trace yields both forms. A file has the outputs that its card specifies. Files are reproducible byte for byte from
the same weights, card and tools, because they contain no paths, host names or dates.
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
from model_zoo.contract.files import write_atomic
from model_zoo.detector import Detector, to_network, to_rows
from model_zoo.export.candidates import candidates, shortlist
from model_zoo.export.errors import ExportError
from model_zoo.export.options import SHORTLIST, check_candidates
from model_zoo.export.precision import in_precision
from model_zoo.export.shortlist_graph import Shortlist, append_shortlist_nms

MAX_WEIGHT_BYTES = 2**31 - 2**25  # protobuf is limited to 2 GiB, of which the graph needs a part
OPSET = 20  # the newest that ONNX Runtime 1.31 and TensorRT 10.16 support completely
SHORTLIST_OUTPUTS = ("shortlist_boxes", "shortlist_scores", "shortlist_bound")
CANDIDATE_OUTPUTS, RAW_OUTPUTS = ("candidate_boxes", "candidate_scores"), ("boxes", "scores")
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


class ExportModule(nn.Module):
    """A deployed detector from uint8 images (B, H, W, 3) RGB to predictions, in the precision of `card`."""

    def __init__(self, deployed: Detector, card: ModelCard) -> None:
        super().__init__()
        self.network = in_precision(deployed, card.precision)
        self.head, self.spec, self.k = deployed.head, deployed.input_spec, card.candidates

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return boxes (B, n, 4) and scores (B, n, C) of the shortlist, the k candidates and all predictions.

        The bound of the shortlist (B,) follows its scores.
        """
        maps = self.network(to_network(images, self.spec))
        planes, priors = self.head.planes(maps), self.head.priors(maps)
        rows = to_rows(planes)
        few = shortlist(self.head, planes, priors, min(SHORTLIST, self.k))
        return *few, *candidates(self.head, rows, priors, self.k), *self.head.decode(rows, priors)


def trace(deployed: Detector, card: ModelCard) -> ir.Model:
    """Trace a deployed detector to a graph with the outputs of both forms.

    Raises:
        ExportError: The card has invalid candidates, or the weights exceed one ONNX file.
    """
    _check(card)
    with _quiet_exporter(), _no_garbage_collection(), torch.no_grad():
        program = torch.onnx.export(
            ExportModule(deployed, card).eval(),
            (_example(card),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=[*SHORTLIST_OUTPUTS, *CANDIDATE_OUTPUTS, *RAW_OUTPUTS],
            dynamic_shapes=(_dynamic_shape(card),),
            optimize=False,
            verbose=False,
        )
    assert program is not None
    onnxscript.optimizer.optimize(program.model)  # `assemble` optimizes the complete graph
    return program.model


def assemble(traced: ir.Model, card: ModelCard) -> onnx.ModelProto:
    """Build the ONNX model that `card` describes from a traced graph: its outputs, named axes and the card itself."""
    model = traced.clone()
    traced_outputs = {value.name: value for value in model.graph.outputs}
    model.graph.outputs[:] = [traced_outputs[name] for name in RAW_OUTPUTS] if card.output == "raw" else []
    if card.output == "detections":
        few = Shortlist(*(traced_outputs[name] for name in SHORTLIST_OUTPUTS))
        boxes, scores = (traced_outputs[name] for name in CANDIDATE_OUTPUTS)
        append_shortlist_nms(model, few, boxes, scores, card.thresholds.multi_label_below)
    onnxscript.optimizer.optimize(model)
    passes.ClearMetadataAndDocStringPass()(model)
    _name_axes(model.graph)
    model.graph.name, model.producer_name, model.producer_version = card.name, "yolo-lineage", None
    model.metadata_props.clear()
    model.metadata_props.update(card.to_metadata())
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # uses the exporter's symbols; runtimes infer shapes themselves
    onnx.checker.check_model(proto, full_check=True)
    return proto


def write_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model file. Equal models give equal bytes."""
    write_atomic(path, proto.SerializeToString(deterministic=True))


def _check(card: ModelCard) -> None:
    check_candidates(card.candidates)
    weights = card.params * (2 if card.precision == "fp16" else 4)
    if weights > MAX_WEIGHT_BYTES:
        raise ExportError(
            f"{card.variant}: expected weights of at most {MAX_WEIGHT_BYTES / 1e9:.2f} GB, the limit of one ONNX file; "
            f"its {card.params:,} parameters take {weights / 1e9:.2f} GB in {card.precision}"
        )


def _example(card: ModelCard) -> Tensor:
    """Return two images of unequal sides, so that the tracer does not identify one dimension with another."""
    height, width = (4 * card.stride, 5 * card.stride) if card.dynamic_size else card.input_size
    return torch.zeros((2, height, width, 3), dtype=torch.uint8)


def _dynamic_shape(card: ModelCard) -> dict[int, object]:
    sides = {axis: card.stride * torch.export.Dim(f"cells_{axis}") for axis in (1, 2)}
    return {0: torch.export.Dim("batch"), **(sides if card.dynamic_size else {})}


def _name_axes(graph: ir.Graph) -> None:
    """Name the dynamic axes of inputs and outputs as in the contract."""
    for value in (*graph.inputs, *graph.outputs):
        assert value.shape is not None
        axes = zip(value.shape, AXES[value.name or ""], strict=True)
        value.shape = ir.Shape([size if isinstance(size, int) else name for size, name in axes])


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's messages about missing torchvision and about torch's own deprecations."""
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
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection while tracing. Scanning millions of live objects takes 25 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
