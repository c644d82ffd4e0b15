"""The client for asyncio. It performs the same steps as `Client`, so only what differs is tested."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lineage.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Health,
    ImageError,
    ImageResult,
    ModelInfo,
    Unavailable,
)
from tests.lineage.client.scripted_server import Scripted, answer, cut, problem, reset
from tests.service.app_client import png
from tests.service.conftest import flat

IMAGES = [png(flat(i, 0, 255 - i)) for i in range(1, 21)]


def run(url: str, work: Callable[[AsyncClient], Any], **options: Any) -> Any:
    """Run a coroutine with a client."""

    async def main() -> Any:
        async with AsyncClient(url, **options) as client:
            return await work(client)

    return asyncio.run(main())


@pytest.mark.parametrize("transport", ["native", "oip"])
def test_results_are_those_of_the_sync_client(url: str, transport: Any) -> None:
    async def detect(client: AsyncClient) -> Any:
        one = await client.detect(IMAGES[0], score=0.1)
        many = await client.detect([*IMAGES, b"no image"], score=0.1)
        return one.to_dict(), [found.to_dict() if isinstance(found, ImageResult) else type(found) for found in many]

    with Client(url, transport=transport) as client:
        expected = [client.detect(image, score=0.1).to_dict() for image in IMAGES]
    assert run(url, detect, transport=transport) == (expected[0], [*expected, ImageError])


def test_other_calls_are_answered(url: str) -> None:
    async def ask(client: AsyncClient) -> None:
        assert await client.wait_until_ready() is client
        assert await client.ready()
        assert await client.health() == Health(True)
        assert await client.models() == [ModelInfo("toy", 1, {1: "loaded"}, {})]
        assert (await client.card("toy"))["name"] == "toy"
        assert (await client.draw(IMAGES[0])).startswith(b"\xff\xd8")
        with pytest.raises(ImageError):
            await client.detect(b"no image")

    run(url, ask)


def test_async_images_are_streamed(url: str) -> None:
    async def images() -> AsyncIterator[bytes]:
        for image in IMAGES:
            yield image

    async def detect(client: AsyncClient) -> list[bool]:
        return [isinstance(found, ImageResult) async for found in client.detect_many(images(), concurrency=2)]

    assert run(url, detect) == [True] * len(IMAGES)


def test_many_requests_share_a_client(url: str) -> None:
    async def detect(client: AsyncClient) -> list[Any]:
        return [result.to_dict() for result in await asyncio.gather(*map(client.detect, IMAGES))]

    with Client(url) as client:
        assert run(url, detect) == [client.detect(image).to_dict() for image in IMAGES]


def test_what_passes_by_itself_is_tried_again(scripted: Scripted) -> None:
    scripted.script(reset, problem(503, "Not ready", Retry_After="0"), cut, answer())
    assert run(scripted.url, lambda client: client.detect(IMAGES[0])).labels == ["green"]
    assert len(scripted.received) == 4


def test_server_that_hangs_or_drips_is_left_at_the_timeout(scripted: Scripted) -> None:
    for action in (scripted.hang, scripted.drip):
        scripted.script(action)
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"within 0.3 s"):
            run(scripted.url, lambda client: client.detect(IMAGES[0]), timeout=0.3)
        assert 0.25 < time.monotonic() - start < 5


def test_cancelled_call_ends_at_once(scripted: Scripted) -> None:
    scripted.script(scripted.hang)

    async def detect(client: AsyncClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.detect(IMAGES[0])

    start = time.monotonic()
    run(scripted.url, detect)
    assert time.monotonic() - start < 5


def test_nobody_listens() -> None:
    with pytest.raises(Unavailable, match=r"\(2 tries\)"):
        run("http://127.0.0.1:9", lambda client: client.detect(IMAGES[0]), retries=1)


def test_both_clients_have_the_same_calls() -> None:
    def calls(client: type) -> dict[str, list[str]]:
        members = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(call).parameters) for name, call in members if not name.startswith("_")}

    assert calls(AsyncClient) == {name: call for name, call in calls(Client).items() if name != "detect_stream"}
    assert list(inspect.signature(AsyncClient).parameters) == list(inspect.signature(Client).parameters)
