"""The parsed query is what FastAPI would pass, and so are its errors. Other addresses go to the router."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.api.native.direct_route import MAX_QUERIES, DirectRoute, parse_query
from service.api.native.schemas import DetectQuery
from tests.service.app_client import RawRequest, png
from tests.service.conftest import flat

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


async def answer_as_router(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("router")(scope, receive, send)


@pytest.mark.parametrize(
    ("method", "path", "root_path", "answer"),
    [
        ("POST", "/detect?score=0.5", "", "direct, score 0.5"),
        ("GET", "/detect", "", "router"),
        ("POST", "/detect/", "", "router"),
        ("POST", "/folder/detect", "/folder", "router"),
        ("POST", "/detect", "/detect", "router"),
    ],
)
def test_only_the_route_itself_is_called_directly(method: str, path: str, root_path: str, answer: str) -> None:
    router = APIRouter()

    @router.post("/detect")
    async def show_score(request: Request, query: Annotated[DetectQuery, Query()]) -> PlainTextResponse:
        assert request.scope["route"] is route
        return PlainTextResponse(f"direct, score {query.score}")

    (route,) = router.routes
    assert isinstance(route, APIRoute)
    client = TestClient(DirectRoute(answer_as_router, route), root_path=root_path)
    assert client.request(method, path).text == answer


@pytest.mark.parametrize(("query", "status"), [("score=2", 422), ("conf=1", 422), ("model=unknown", 404)])
def test_answers_behind_a_root_path_are_the_same(client: TestClient, query: str, status: int) -> None:
    direct, routed = RawRequest(client, png(flat(9)), query=query), RawRequest(client, png(flat(9)), query=query)
    routed.scope.update({"root_path": "/folder", "path": "/folder/detect"})
    assert direct.run() == routed.run() == status
    results = [json.loads(request.sent[1]["body"]) for request in (direct, routed)]
    for result in results:
        result.pop("timing_ms", None)
        result.pop("request_id", None)
    assert results[0] == results[1]
