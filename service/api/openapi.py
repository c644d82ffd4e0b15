"""The OpenAPI document: tags, errors in the form of each protocol, and API keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI

from service.api.json_body import document_models
from service.api.openapi_examples import ANSWERS, BODIES
from service.api.problems import documented
from service.api.protocols import BY_NAME, JSON, PROBLEM, Protocol

SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
TAGS: Final[Mapping[str, str]] = {
    "native": "Detections as JSON, or the image with its detections drawn.",
    "oip": "Open Inference Protocol v2, for tritonclient, kserve and perf_analyzer. Tensors as JSON or binary.",
    "deepstack": "DeepStack and CodeProject.AI, for Frigate, Home Assistant, Blue Iris and Agent DVR.",
    "doods": "DOODS, for Home Assistant. Thresholds and confidences are per cent.",
    "roboflow": "Roboflow inference, for inference-sdk. Boxes are center, width and height.",
    "label-studio": "Machine learning backend of Label Studio. Boxes are per cent of the image.",
    "models": "The models of the repository and their states.",
    "health": "Probes. They need no API key and have no limit.",
    "metrics": "Metrics for Prometheus.",
    "shadow": "How shadow versions differ from the answers.",
    "admin": "Changes of the repository and of loaded models. The API key needs the scope `admin`.",
}
ERRORS: Final = {
    "4XX": "The request cannot be answered as it is",
    "503": "Overloaded or not ready; try again after Retry-After seconds",
    "504": "Not answered in time",
}
HOSTED: Final = "/{name}/{version}"
_UNUSED: Final = ("HTTPValidationError", "ValidationError")  # FastAPI's own errors of parameters

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}

Document = dict[str, Any]


def document_protocols(app: FastAPI) -> None:
    """Describe the tags, and errors in the form of each protocol. A tag is the name of a protocol or of a page."""
    _change(app, _add_protocols)


def document_keys(app: FastAPI, is_open: Callable[[str], bool]) -> None:
    """Add keys to the operations of paths that are not open."""

    def add_keys(document: Document) -> None:
        document["components"]["securitySchemes"] = SCHEMES
        for path, operations in document["paths"].items():
            for operation in () if is_open(path) else operations.values():
                operation["security"] = [{name: []} for name in SCHEMES]
                if "4XX" not in operation["responses"]:
                    operation["responses"]["4XX"] = documented("The API key is missing, unknown or not enough")

    _change(app, add_keys)


def error_schema(protocol: Protocol) -> Document:
    """Return the schema of the errors of a protocol: a problem with the members that its clients read."""
    members = protocol.error_members("what was expected, what came, and how to fix it")
    properties = {
        name: {"const": value} if isinstance(value, bool) else {"type": "string"} for name, value in members.items()
    }
    own = {"type": "object", "required": list(members), "properties": properties, "example": dict(members)}
    return {"allOf": [{"$ref": "#/components/schemas/Problem"}, own]}


def _change(app: FastAPI, change: Callable[[Document], None]) -> None:
    """Apply a change to the document once, when it is first asked for."""
    describe = app.openapi

    def describe_changed() -> Document:
        is_new = app.openapi_schema is None
        document = describe()
        if is_new:
            change(document)
        return document

    app.openapi = describe_changed  # type: ignore[method-assign]


def _add_protocols(document: Document) -> None:
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    schemas = document["components"]["schemas"]
    schemas |= document_models()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_examples(operation, f"{method.upper()} {path}")
            protocol = BY_NAME.get(operation["tags"][0])
            if protocol and protocol.media_type != PROBLEM:
                name = f"{protocol.name.title().replace('-', '')}Error"
                schemas[name] = error_schema(protocol)
                _add_errors(operation["responses"], {"$ref": f"#/components/schemas/{name}"}, protocol.media_type)
                if path == HOSTED:  # other second parts are no versions, so the address is unknown
                    operation["responses"]["4XX"]["content"] |= documented("")["content"]
    for name in _UNUSED:
        schemas.pop(name, None)


def _add_examples(operation: Document, address: str) -> None:
    for content, examples in ((operation.get("requestBody"), BODIES), (operation["responses"].get("200"), ANSWERS)):
        if content and address in examples:
            described = content["content"][JSON]
            described["example"] = examples[address]
            described["schema"] = described.get("schema") or schema_of(examples[address])


def schema_of(example: object) -> Document:
    """Return the schema of an example. All its members are required."""
    if isinstance(example, dict):
        properties = {name: schema_of(value) for name, value in example.items()}
        return {"type": "object", "required": list(example), "properties": properties}
    if isinstance(example, list):
        return {"type": "array", "items": schema_of(example[0]) if example else {}}
    return {"type": _TYPES[type(example)]}


def _add_errors(responses: Document, schema: Document, media_type: str) -> None:
    responses.pop("422", None)
    for status, description in ERRORS.items():
        responses.setdefault(status, {"description": description, "content": {media_type: {"schema": schema}}})
