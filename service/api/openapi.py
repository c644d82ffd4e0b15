"""API keys in the OpenAPI document of a server that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI

from service.api.problems import documented

SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}


def document_keys(app: FastAPI, is_open: Callable[[str], bool]) -> None:
    """Add keys to the operations of paths that are not open."""
    describe = app.openapi

    def describe_with_keys() -> dict[str, Any]:
        document = describe()
        document["components"]["securitySchemes"] = SCHEMES
        for path, operations in document["paths"].items():
            for operation in () if is_open(path) else operations.values():
                operation["security"] = [{name: []} for name in SCHEMES]
                if "4XX" not in operation["responses"]:
                    operation["responses"]["4XX"] = documented("The API key is missing, unknown or not enough")
        return document

    app.openapi = describe_with_keys  # type: ignore[method-assign]
