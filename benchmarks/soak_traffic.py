"""Traffic of the soak: images of several sizes, hostile files and clients that hang up, with checked answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2 as httpx

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import detect_inputs, make_query, read_input
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine

HOSTILE, HANGS_UP = 0.01, 0.02  # shares of the requests
BOX_PIXELS, SCORE = 0.05, 1e-3  # runs with one thread and with all cores round differently
REFUSED: Final = (503, 504)
Objects = list[dict[str, Any]]
Expected = Mapping[tuple[str, int, str], Objects]  # by model, parity of the version, and image


def expect(packages: Sequence[Package], images: Mapping[str, bytes]) -> dict[tuple[str, int, str], Objects]:
    """Return what each package detects on each image, with the engine and the options of a server."""
    expected: dict[tuple[str, int, str], Objects] = {}
    for package in packages:
        engine = open_engine(package, EngineOptions(provider="cpu"))
        query = make_query(package.card)
        for name, data in images.items():
            [found] = detect_inputs(engine.run, [read_input(engine.card, data, engine.canvases)], query)
            expected[package.name, package.version % 2, name] = found.to_dict(package.card.class_names)
        engine.close()
    return expected


def agrees(expected: Objects, actual: Objects) -> bool:
    """Return True if two answers are equal but for rounding."""
    return len(expected) == len(actual) and all(
        a["class_id"] == b["class_id"]
        and abs(a["score"] - b["score"]) <= SCORE
        and all(abs(x - y) <= BOX_PIXELS for x, y in zip(a["box"], b["box"], strict=True))
        for a, b in zip(expected, actual, strict=True)
    )


@dataclass
class Traffic:
    """Sends requests and checks each answer against its own image and version."""

    port: int
    """Port of the server."""
    images: Mapping[str, bytes]
    """Images by name."""
    hostile: Sequence[bytes]
    """Files that must not cause a server error."""
    expected: Expected
    """Right answers."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of requests by result."""
    failures: list[str] = field(default_factory=list)
    """Descriptions of wrong answers."""
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    """Source of the mix."""

    async def run_closed(self, seconds: float, connections: int = 4) -> float:
        """Keep requests in flight for a while, and return the answers per second."""
        end = asyncio.get_running_loop().time() + seconds
        before = self.counts["ok"]

        async def repeat(client: httpx.AsyncClient) -> None:
            while asyncio.get_running_loop().time() < end:
                await self._detect(client)

        async with self._client() as client:
            await asyncio.gather(*(repeat(client) for _ in range(connections)))
        return (self.counts["ok"] - before) / seconds

    async def run_open(self, rate: float, seconds: float) -> None:
        """Send requests at Poisson arrivals, whatever the server does."""
        loop = asyncio.get_running_loop()
        arrival, end = loop.time(), loop.time() + seconds
        async with self._client() as client, asyncio.TaskGroup() as group:
            while (arrival := arrival + self.rng.expovariate(rate)) < end:
                await asyncio.sleep(arrival - loop.time())
                draw = self.rng.random()
                if draw < HOSTILE:
                    group.create_task(self._send_hostile(client))
                elif draw < HOSTILE + HANGS_UP:
                    group.create_task(self._hang_up())
                else:
                    group.create_task(self._detect(client))

    def _client(self) -> httpx.AsyncClient:
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, limits=unlimited)

    def _model(self) -> str:
        return self.rng.choice(sorted({model for model, _, _ in self.expected}))

    async def _post(self, client: httpx.AsyncClient, model: str, body: bytes) -> httpx.Response | None:
        try:
            answer = await client.post(f"/detect?model={model}", content=body, headers={"Content-Type": "image/x"})
        except httpx.HTTPError as error:
            self._fail(f"no answer: {error!r}")
            return None
        refused = answer.status_code in REFUSED and (answer.status_code == 504 or "retry-after" in answer.headers)
        if answer.status_code >= 500 and not refused:
            self._fail(f"{answer.status_code}: {answer.text[:300]}")
        self.counts["refused"] += refused
        return answer

    async def _detect(self, client: httpx.AsyncClient) -> None:
        model, image = self._model(), self.rng.choice(sorted(self.images))
        answer = await self._post(client, model, self.images[image])
        if answer is None or answer.status_code in REFUSED:
            return
        if answer.status_code != 200:
            self._fail(f"{answer.status_code} for {image}: {answer.text[:300]}")
            return
        document = answer.json()
        name, version = document["model"]["name"], document["model"]["version"]
        if name != model or not agrees(self.expected[name, version % 2, image], document["results"][0]["detections"]):
            self._fail(f"wrong detections of {name}@{version} on {image}, asked for {model}")
            return
        self.counts["ok"] += 1
        self.counts[f"{name}@{version}"] += 1

    async def _send_hostile(self, client: httpx.AsyncClient) -> None:
        answer = await self._post(client, self._model(), self.rng.choice(self.hostile))
        self.counts["hostile"] += answer is not None

    async def _hang_up(self) -> None:
        """Close the connection in the middle of the body, or while the answer is computed."""
        body = self.rng.choice(list(self.images.values()))
        head = f"POST /detect?model={self._model()} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(body)}\r\n\r\n"
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head.encode() + (body if self.rng.random() < 0.5 else body[: len(body) // 2]))
            await asyncio.sleep(self.rng.random() * 0.1)
            writer.close()
        self.counts["hung up"] += 1

    def _fail(self, text: str) -> None:
        self.counts["failed"] += 1
        self.failures = [*self.failures, text][:20]
