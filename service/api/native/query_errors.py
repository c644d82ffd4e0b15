"""Errors in query parameters: what came, and which parameter was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from model_zoo.contract.expectation import expectation
from model_zoo.contract.suggest import did_you_mean
from service.api.errors import InvalidQuery
from service.api.native.schemas import DetectQuery
from service.api.problems import respond

# Names that other detectors and APIs use.
SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("conf", "confidence", "threshold", "thres", "thresh", "prob", "probability"), "score"),
    **dict.fromkeys(("iou_thres", "nms_thres", "overlap"), "iou"),
    **dict.fromkeys(("det", "max_det", "max_results", "limit", "top_k", "topk"), "max_detections"),
    **dict.fromkeys(("class", "cls", "class_id", "class_ids", "label", "labels"), "classes"),
    **dict.fromkeys(("category", "categories", "filter", "names"), "classes"),
    **dict.fromkeys(("weights", "version", "name", "model_id"), "model"),
}
# Options of other detectors that the model's card or the service decides.
FIXED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("imgsz", "img_size", "size", "width", "height"), "the model's card sets the input size"),
    **dict.fromkeys(("agnostic", "agnostic_nms"), "suppression works per class"),
    **dict.fromkeys(("format", "output", "visualize"), "the Accept header chooses JSON or a drawn JPEG"),
    **dict.fromkeys(("device", "half", "batch"), "settings of the server decide this"),
    **dict.fromkeys(("image", "images", "img", "file", "source", "url", "image_url"), "the body has the image"),
    **dict.fromkeys(("api_key", "apikey", "key", "token"), "the server needs no key"),
    "augment": "test-time augmentation is not available",
}
_MAX_INPUT: Final = 100
_MAX_FAULTS: Final = 10


async def handle(_: Request, error: Exception) -> Response:
    """Answer a query that FastAPI refused, with the signature of Starlette's handlers."""
    assert isinstance(error, RequestValidationError)
    return respond(InvalidQuery([_describe(fault) for fault in error.errors()[:_MAX_FAULTS]]))


def _describe(fault: Mapping[str, Any]) -> dict[str, str]:
    where = ".".join(map(str, fault["loc"]))[:_MAX_INPUT]
    if fault["type"] == "extra_forbidden":
        return {"where": where, "reason": _unknown(str(fault["loc"][-1]))}
    return {"where": where, "reason": f"{expectation(fault['msg'])}; got {str(fault['input'])[:_MAX_INPUT]!r}"}


def _unknown(name: str) -> str:
    key = name.lower().replace("-", "_")[:_MAX_INPUT]
    key = key.replace("_threshold", "_thres").replace("_thresh", "_thres")
    if synonym := SYNONYMS.get(key) or SYNONYMS.get(key.removeprefix("min_").removesuffix("_thres")):
        return f"unknown parameter; did you mean {synonym}?"
    hint = FIXED.get(key) or did_you_mean(key, DetectQuery.model_fields)
    return f"unknown parameter; {hint or 'expected one of ' + ', '.join(DetectQuery.model_fields)}"
