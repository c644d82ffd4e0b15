"""Memory that an inference of tensors needs beyond its body."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.contract.repository import Repository
from tests.service.api.oip.wire import HEADER, INFER, binary
from tests.service.app_client import RawRequest, serving
from tests.service.fake_engine import open_fake_engine
from tests.tiny_onnx import toy_card

COUNT, SIDE, CHUNK = 32, 512, 65_536


class ConnectedRequest(RawRequest):
    """A request whose client stays until it has the answer."""

    async def _receive(self) -> dict[str, Any]:
        return await super()._receive() if self._messages else await asyncio.Event().wait()


def test_tensors_are_not_copied_more_than_once(repository: Repository, tmp_path: Path) -> None:
    """The body is assembled from its chunks once. The canvases of the engine are views of it."""
    (tmp_path / "model.onnx").write_bytes(b"model")
    repository.publish(toy_card(size=(SIDE, SIDE)), {"model.onnx": tmp_path / "model.onnx"})
    pixels = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    body, length = binary({"images": pixels}, parameters={"binary_data_output": True})
    chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    with serving(repository, open_fake_engine) as client:
        request = ConnectedRequest(client, *chunks, length=len(body))
        request.scope |= {"path": INFER, "raw_path": INFER.encode()}
        request.scope["headers"].append((HEADER.lower().encode(), str(length).encode()))
        tracemalloc.start()
        try:
            assert request.run() == 200, request.sent[-1]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(body) < peak < 1.5 * len(body)
