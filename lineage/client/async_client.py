"""`AsyncClient`: detect objects with a server, for programs with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import Any, Self, Unpack, overload

import httpx2

from lineage.batches import check_batches, map_batches_async
from lineage.client.calls import Reply, Send, Steps, T
from lineage.client.connection import build, client_options, failure
from lineage.client.core import Core, Health, ModelInfo, Result, Transport
from lineage.client.errors import ClientError, ImageError
from lineage.client.exchange import RetryPolicy
from lineage.client.inputs import load, load_all
from lineage.client.query import Options, Query
from lineage.inputs import Image
from lineage.results import ImageResult, with_image


class AsyncClient:
    """A detection server. All calls are those of `Client`, as coroutines."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 10,
        transport: Transport = "native",
        **options: Any,
    ) -> None:
        """Prepare for a server. The arguments are those of `Client`, with `options` of `httpx2.AsyncClient`."""
        self._core = Core(RetryPolicy(timeout, retries), transport)
        self._http = httpx2.AsyncClient(**client_options(url, api_key, options))

    @overload
    async def detect(self, image: Image, **options: Unpack[Options]) -> ImageResult: ...  # type: ignore[overload-overlap]  # a string is a path, not a list
    @overload
    async def detect(self, image: Sequence[Image], **options: Unpack[Options]) -> list[Result]: ...
    async def detect(self, image: Any, **options: Unpack[Options]) -> ImageResult | list[Result]:
        """Detect objects in one image, or in a list of images, as `Client.detect`."""
        if isinstance(image, list | tuple):
            return [result async for result in self.detect_many(image, **options)]
        file = await asyncio.to_thread(load, image)
        [result] = await self._perform(self._core.detect([file], Query(**options)))
        if isinstance(result, ImageError):
            raise result
        return with_image(result, image)

    def detect_many(
        self,
        images: Iterable[Image] | AsyncIterable[Image],
        *,
        batch_size: int = 4,
        concurrency: int = 4,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Result]:
        """Detect objects in any number of images, and yield the results in order, as `Client.detect_many`."""
        check_batches(images, batch_size, concurrency)
        query = Query(**options)

        async def work(batch: Sequence[Image]) -> list[Result]:
            files = await asyncio.to_thread(load_all, batch)
            return list(map(with_image, await self._perform(self._core.detect(files, query)), batch))

        return map_batches_async(work, images, batch_size, concurrency)

    async def draw(self, image: Image, **options: Unpack[Options]) -> bytes:
        """Return the image with its detections drawn, as JPEG. The options are those of `detect`."""
        file = await asyncio.to_thread(load, image)
        return await self._perform(self._core.draw(file, Query(**options)))

    async def models(self) -> list[ModelInfo]:
        """List the models of the server."""
        return await self._perform(self._core.models())

    async def card(self, model: str) -> dict[str, Any]:
        """Return the card of a model's default version."""
        return await self._perform(self._core.card(model))

    async def health(self) -> Health:
        """Ask whether the server is ready, and for the reasons if it is not."""
        return await self._perform(self._core.health())

    async def ready(self) -> bool:
        """Return whether the server can be reached and is ready."""
        return await self._perform(self._core.ready())

    async def wait_until_ready(self, timeout: float = 60.0) -> Self:
        """Wait until the server is ready, and return the client, as `Client.wait_until_ready`."""
        await self._perform(self._core.wait_until_ready(timeout))
        return self

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _perform(self, steps: Steps[T]) -> T:
        outcome: Reply | ClientError | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                outcome = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)

    async def _send(self, step: Send) -> Reply | ClientError:
        request = build(self._http, step)
        try:
            async with asyncio.timeout(step.seconds):
                response = await self._http.send(request)
            return Reply(response.status_code, response.headers, response.content)
        except (httpx2.RequestError, TimeoutError) as error:
            return failure(error, request, step)
