"""The parsed query is what FastAPI would pass, and so are its errors."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.testclient import TestClient

from service.api.native.query_route import MAX_QUERIES, parse_query
from service.api.native.schemas import DetectQuery

QUERIES = [
    "",
    "model=yolov5n@1&score=0.5&iou=1&nms=iou&max_detections=7",
    "classes=cat&classes=dog,1",
    "classes=",
    "score=0.1&score=0.2",
    "model=a%2Fb+c&=1",
    "score=&conf=3",
    "score=high&classes=a&nms=soft&max_detections=0&x=1",
    "model=" + "a" * 300,
]


@pytest.fixture(scope="module")
def fastapi() -> TestClient:
    """A route whose query FastAPI parses."""
    app = FastAPI()

    @app.get("/")
    async def answer(query: Annotated[DetectQuery, Query()]) -> dict[str, Any]:
        return {"query": query.model_dump()}

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"faults": _comparable(error)})

    return TestClient(app)


def _parsed(query: bytes) -> dict[str, Any]:
    try:
        return {"query": parse_query(query).model_dump()}
    except RequestValidationError as error:
        return {"faults": _comparable(error)}


def _comparable(error: RequestValidationError) -> list[list[Any]]:
    return [[list(fault["loc"]), fault["type"], fault["msg"], fault["input"]] for fault in error.errors()]


@pytest.mark.parametrize("query", QUERIES)
def test_query_is_parsed_as_by_fastapi(fastapi: TestClient, query: str) -> None:
    assert _parsed(query.encode()) == fastapi.get(f"/?{query}").json()


def test_equal_queries_are_parsed_once_and_few_are_kept() -> None:
    assert parse_query(b"score=0.5") is parse_query(b"score=0.5")
    for number in range(2 * MAX_QUERIES):
        parse_query(b"max_detections=%d" % (number + 1))
    assert parse_query.cache_info().currsize == MAX_QUERIES
