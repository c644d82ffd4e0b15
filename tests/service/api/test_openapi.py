"""/openapi.json: tags, errors in the form of each protocol, examples, and API keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.access.key_file import add_key
from service.api.openapi import HOSTED, TAGS, document_protocols, error_schema, schema_of
from service.api.openapi_examples import ANSWERS, BODIES
from service.api.problems import Problem
from service.api.protocols import BY_NAME, PROBLEM
from service.app import create_app
from service.settings import Settings

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def protocol_operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation, str]]:
    """Yield the operations of the protocols with errors of their own, and the media type of these errors."""
    for address, operation in operations(document):
        protocol = BY_NAME.get(operation["tags"][0])
        if protocol and protocol.error_members("text"):
            yield address, operation, protocol.media_type


def test_every_operation_has_one_described_tag(document: dict[str, Any]) -> None:
    tags = {address: operation.get("tags") for address, operation in operations(document)}
    assert {address: tag for address, tag in tags.items() if not tag or len(tag) != 1 or tag[0] not in TAGS} == {}
    assert [tag["name"] for tag in document["tags"]] == list(TAGS)
    assert {tag for [tag] in tags.values()} == set(TAGS), "a tag without operations"


def test_every_operation_has_a_description(document: dict[str, Any]) -> None:
    assert [address for address, operation in operations(document) if not operation.get("description")] == []


def test_every_body_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    for address, operation in operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "schema" in content, (address, media_type)
            if media_type == "application/json":
                assert has_example(document, content), address


def test_every_reference_has_its_schema(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]*)"', json.dumps(document)))
    assert {"Problem", "InferDocument", "DetectRequest", "Image"} <= references
    assert references <= document["components"]["schemas"].keys()


def test_every_json_answer_has_a_schema(document: dict[str, Any]) -> None:
    for address, operation in operations(document):
        content = operation["responses"]["200"].get("content", {}).get("application/json")
        assert content is None or content.get("schema"), address


def test_answers_of_protocols_have_examples(document: dict[str, Any]) -> None:
    for address, operation, _ in protocol_operations(document):
        content = operation["responses"]["200"].get("content", {}).get("application/json")
        assert content is None or has_example(document, content), address


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checking examples needs jsonschema")
    validator = jsonschema.Draft202012Validator({"components": document["components"]})
    assert {*BODIES, *ANSWERS} <= {address for address, _ in operations(document)}
    for address, operation in operations(document):
        for content in (operation.get("requestBody", {}), operation["responses"]["200"]):
            media = content.get("content", {}).get("application/json", {})
            if "example" in media:
                errors = validator.evolve(schema=media["schema"]).iter_errors(media["example"])
                assert list(errors) == [], address


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return bool({"example", "examples"} & (set(content) | set(schema)))


def test_errors_have_the_media_type_and_the_members_of_their_protocol(document: dict[str, Any]) -> None:
    checked = set()
    for address, operation, media_type in protocol_operations(document):
        for status, response in operation["responses"].items():
            if status != "200":
                problems = {PROBLEM} if (address, status) == (f"POST {HOSTED}", "4XX") else set()
                assert set(response["content"]) == {media_type} | problems, (address, status)
                checked.add(response["content"][media_type]["schema"].get("$ref"))
    assert "#/components/schemas/OipError" in checked
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_schema_of_errors_has_the_members_that_clients_read() -> None:
    own = error_schema(BY_NAME["deepstack"])["allOf"][1]
    assert own["required"] == ["success", "error"]
    assert own["properties"] == {"success": {"const": False}, "error": {"type": "string"}}


def test_errors_that_a_route_documents_stay() -> None:
    app = FastAPI()
    app.get("/v2/x", tags=["oip"], responses={503: {"description": "own", "model": Problem}})(lambda: None)
    document_protocols(app)
    responses = app.openapi()["paths"]["/v2/x"]["get"]["responses"]
    assert responses["503"]["description"] == "own"
    assert list(responses) == ["200", "503", "4XX", "504"]
    assert app.openapi() is app.openapi()


def test_guarded_operations_need_a_key_and_open_ones_do_not(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json", "a", ("detect",))
    document = create_app(Settings(keys=tmp_path / "keys.json")).openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            is_guarded = not is_health(path)
            assert ("security" in operation) == is_guarded, path
            assert not is_guarded or "4XX" in operation["responses"]


def is_health(path: str) -> bool:
    return path.startswith(("/health/", "/v2/health/")) or path == "/label-studio/health"


def test_server_without_keys_describes_none() -> None:
    assert "securitySchemes" not in create_app(Settings()).openapi()["components"]


def test_schema_of_an_example_has_its_types_and_members() -> None:
    schema = schema_of({"a": 1, "b": [{"c": 0.5}], "d": [], "e": None, "f": True})
    assert schema["required"] == ["a", "b", "d", "e", "f"]
    assert schema["properties"]["b"] == {
        "type": "array",
        "items": {"type": "object", "required": ["c"], "properties": {"c": {"type": "number"}}},
    }
    assert schema["properties"]["d"] == {"type": "array", "items": {}}
    assert [schema["properties"][name]["type"] for name in "aef"] == ["integer", "null", "boolean"]
