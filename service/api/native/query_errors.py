"""Errors in query parameters: what came, and which parameter was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from model_zoo.contract.expectation import expectation
from model_zoo.contract.suggest import did_you_mean
from service.api.errors import InvalidQuery
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
    **dict.fromkeys(("api_key", "apikey", "key", "token"), "a key belongs in the header Authorization: Bearer KEY"),
    "augment": "test-time augmentation is not available",
}
_MAX_INPUT: Final = 100
_MAX_FAULTS: Final = 10


async def handle(request: Request, error: Exception) -> Response:
    """Answer a query that FastAPI refused, with the signature of Starlette's handlers."""
    assert isinstance(error, RequestValidationError)
    return respond(explain(error.errors(), _parameters(request.scope["route"])))


def explain(faults: Sequence[Any], known: Sequence[str]) -> InvalidQuery:
    """Return the error of options, from what pydantic found. `known` has the names of all options."""
    return InvalidQuery([_describe(fault, known) for fault in faults[:_MAX_FAULTS]])


def _parameters(route: APIRoute) -> list[str]:
    """Return the query parameters of a route that has them in one model."""
    models = [parameter.field_info.annotation for parameter in route.dependant.query_params]
    return [name for model in models for name in getattr(model, "model_fields", ())]


def _describe(fault: Mapping[str, Any], known: Sequence[str]) -> dict[str, str]:
    where = ".".join(map(str, fault["loc"]))[:_MAX_INPUT]
    if fault["type"] == "extra_forbidden":
        return {"where": where, "reason": _unknown(str(fault["loc"][-1]), known)}
    return {"where": where, "reason": f"{expectation(fault['msg'])}; got {str(fault['input'])[:_MAX_INPUT]!r}"}


def _unknown(name: str, known: Sequence[str]) -> str:
    key = name.lower().replace("-", "_")[:_MAX_INPUT]
    key = key.replace("_threshold", "_thres").replace("_thresh", "_thres")
    synonym = SYNONYMS.get(key) or SYNONYMS.get(key.removeprefix("min_").removesuffix("_thres"))
    if synonym in known:
        return f"unknown parameter; did you mean {synonym}?"
    hint = (FIXED.get(key) if "score" in known else None) or did_you_mean(key, known)
    return f"unknown parameter; {hint or 'expected one of ' + ', '.join(known)}"
