"""`Client`: detect objects with a server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

import httpx2

from lineage.batches import check_batches, map_batches
from lineage.client.calls import Reply, Send, Steps, T
from lineage.client.connection import build, client_options, failure
from lineage.client.core import Core, Health, ModelInfo, Result, Transport
from lineage.client.errors import ClientError, ImageError
from lineage.client.exchange import RetryPolicy
from lineage.client.inputs import encode_jpeg, load, load_all
from lineage.client.query import Options, Query
from lineage.inputs import Image
from lineage.results import ImageResult, with_image

if TYPE_CHECKING:
    from lineage.streams import StreamSource
    from model_zoo.contract.frames import Pixels


class Client:
    """A detection server. Threads may share a client, and close it when all have finished."""

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
        """Prepare for a server. It is contacted at the first call.

        Args:
            url: Address of the server, with the path of a proxy if it has one.
            api_key: API key, if the server requires one.
            timeout: Seconds for each request with all its retries. The server drops work that would be too late.
            retries: Max number of retries of a request.
            transport: `native` (JSON), or `oip` for the Open Inference Protocol with binary tensors.
            options: Arguments of `httpx2.Client`, such as `verify`, `proxy` or `headers`.
        """
        self._core = Core(RetryPolicy(timeout, retries), transport)
        self._http = httpx2.Client(**client_options(url, api_key, options))

    @overload
    def detect(self, image: Image, **options: Unpack[Options]) -> ImageResult: ...  # type: ignore[overload-overlap]  # a string is a path, not a list
    @overload
    def detect(self, image: Sequence[Image], **options: Unpack[Options]) -> list[Result]: ...
    def detect(self, image: Any, **options: Unpack[Options]) -> ImageResult | list[Result]:
        """Detect objects in one image, or in a list of images.

        Args:
            image: Path, bytes or open file of an image, RGB array (H, W, 3), Pillow image, or a list of these.
            options: `model`, `score`, `iou`, `nms`, `classes`, `max_detections`.

        Returns:
            The result, or a list of them in order. In a list, an unusable image has an `ImageError`.

        Raises:
            ImageError: The only image cannot be used.
            ClientError: The request failed.
        """
        if isinstance(image, list | tuple):
            return list(self.detect_many(image, **options))
        [result] = self._perform(self._core.detect([load(image)], Query(**options)))
        if isinstance(result, ImageError):
            raise result
        return with_image(result, image)

    def detect_many(
        self, images: Iterable[Image], *, batch_size: int = 4, concurrency: int = 4, **options: Unpack[Options]
    ) -> Iterator[Result]:
        """Detect objects in any number of images, and yield the results in order.

        Args:
            images: Images. They are taken and read as needed, `batch_size` x `concurrency` at a time.
            batch_size: Max number of images in a request.
            concurrency: Max number of requests at the same time.
            options: As for `detect`.

        Raises:
            ClientError: A request failed. The results before it have been yielded.
        """
        check_batches(images, batch_size, concurrency)
        query = Query(**options)

        def work(batch: Sequence[Image]) -> list[Result]:
            return list(map(with_image, self._perform(self._core.detect(load_all(batch), query)), batch))

        return map_batches(work, images, batch_size, concurrency)

    def detect_stream(
        self, source: StreamSource, *, track: bool = False, concurrency: int = 4, **options: Unpack[Options]
    ) -> Iterator[ImageResult]:
        """Detect objects in every frame of a video, or in the newest one of a camera or stream, and yield the results.

        This process reads the source, and sends each frame as a JPEG image.

        Args:
            source: Video file, number or path of a camera, or address of a video or stream (https, rtsp).
            track: Number the objects, so that an object keeps its number from frame to frame: `detections.track_ids`.
            concurrency: Max number of frames of a video that are sent at the same time. Of a live source it is one.
            options: As for `detect`.

        Raises:
            LineageError: The source cannot be opened, is no video, or is lost. PyAV or the tracker is not installed.
            ClientError: A request failed. The results before it have been yielded.
        """
        from lineage.streams import detect_stream

        check_batches((), 1, concurrency)

        def detect(pixels: Pixels) -> ImageResult:
            return replace(self.detect(encode_jpeg(pixels), **options), image=pixels)

        return detect_stream(source, detect, concurrency, track=track)

    def draw(self, image: Image, **options: Unpack[Options]) -> bytes:
        """Return the image with its detections drawn, as JPEG. The options are those of `detect`."""
        return self._perform(self._core.draw(load(image), Query(**options)))

    def models(self) -> list[ModelInfo]:
        """List the models of the server."""
        return self._perform(self._core.models())

    def card(self, model: str) -> dict[str, Any]:
        """Return the card of a model's default version: class names, input size, thresholds, license."""
        return self._perform(self._core.card(model))

    def health(self) -> Health:
        """Ask whether the server is ready, and for the reasons if it is not."""
        return self._perform(self._core.health())

    def ready(self) -> bool:
        """Return whether the server can be reached and is ready."""
        return self._perform(self._core.ready())

    def wait_until_ready(self, timeout: float = 60.0) -> Self:
        """Wait until the server is ready, and return the client.

        Raises:
            DeadlineExceeded: It is not within `timeout` seconds.
        """
        self._perform(self._core.wait_until_ready(timeout))
        return self

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _perform(self, steps: Steps[T]) -> T:
        outcome: Reply | ClientError | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            else:
                time.sleep(step.seconds)

    def _send(self, step: Send) -> Reply | ClientError:
        request, end = build(self._http, step), time.monotonic() + step.seconds
        try:
            response = self._http.send(request, stream=True)
            try:
                return Reply(response.status_code, response.headers, b"".join(_until(end, response.iter_bytes())))
            finally:
                response.close()
        except (httpx2.RequestError, TimeoutError) as error:
            return failure(error, request, step)


def _until(end: float, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > end:
            raise TimeoutError
        yield chunk
