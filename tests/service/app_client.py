"""Run the application in this process and send it requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from httpx2 import Response
from numpy.typing import NDArray
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.app import create_app
from service.settings import Settings

PATIENCE = 30.0


def png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


@contextmanager
def serving(
    repository: Repository, open_engine: OpenEngine = open_engine, *, ready: bool = True, **settings: object
) -> Iterator[TestClient]:
    """Yield a client of an application, by default once that is ready."""
    app = create_app(Settings(repository=repository.root, **settings), open_engine)
    with TestClient(app, raise_server_exceptions=True) as client:
        if ready:
            wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


def detect(client: TestClient, *images: bytes, **query: object) -> Response:
    """POST images as the files `0.png`, `1.png`, ..."""
    return client.post("/detect", params=query, files=[("file", (f"{i}.png", image)) for i, image in enumerate(images)])


def check_problem(response: Response, status: int, title: str) -> str:
    """Check that a response is a problem of RFC 9457 and return its detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["title"]) == (status, status, title)
    assert problem["type"].startswith("urn:yolo-lineage:problem:")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return str(problem["detail"])


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class RawRequest:
    """POST /detect as ASGI messages. The client disconnects after the body. Records reads and response."""

    def __init__(
        self,
        client: TestClient,
        *body: bytes,
        query: str = "",
        content_type: str = "image/png",
        length: int | None = None,
    ) -> None:
        self._client = client
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": i < len(body) - 1} for i, chunk in enumerate(body)
        ]
        headers = [(b"content-type", content_type.encode())]
        headers += [] if length is None else [(b"content-length", str(length).encode())]
        self.scope = {
            "type": "http", "method": "POST", "path": "/detect", "query_string": query.encode(), "scheme": "http",
            "headers": headers, "state": dict(client.app_state),
        }  # fmt: skip
        self.reads = 0
        self.sent: list[dict[str, Any]] = []

    def run(self) -> int:
        """Run the request and return the status."""
        assert self._client.portal is not None
        self._client.portal.call(self._client.app, self.scope, self._receive, self._send)
        return int(self.sent[0]["status"])

    async def _receive(self) -> dict[str, Any]:
        self.reads += 1
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
