"""The calls of both clients, as steps that they perform."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from lineage.client import native, oip
from lineage.client.calls import Call, Reply, Send, Steps, Wait, expecting
from lineage.client.errors import ClientError, DeadlineExceeded, ImageError, InvalidRequest, Unavailable, from_problem
from lineage.client.exchange import RetryPolicy, exchange
from lineage.client.query import Query
from lineage.inputs import ImageFile
from lineage.results import ImageResult

Result: TypeAlias = ImageResult | ImageError
Transport: TypeAlias = Literal["native", "oip"]
MAX_REQUEST_BYTES: Final = 32 * 2**20  # half of what a server accepts by default
JPEG: Final = "image/jpeg"
HEALTH_CHECK: Final = Call("GET", "health/ready")
POLL_SECONDS: Final = 0.2
HEALTH_TIMEOUT: Final = 5.0
MIN_HEALTH_TIMEOUT: Final = 1.0  # a late answer has the reason, which is worth the wait


@dataclass(frozen=True)
class ModelInfo:
    """A model of the server."""

    name: str
    """Name for the option `model`."""
    default_version: int | None
    """The version that answers for the bare name, None while there is none."""
    versions: Mapping[int, str]
    """State of each version, such as loaded or failed."""
    aliases: Mapping[str, int]
    """Version of each alias."""


@dataclass(frozen=True)
class Health:
    """Whether a server can answer requests."""

    ready: bool
    """True if it can."""
    missing: tuple[str, ...] = ()
    """Events that must happen before it is ready."""
    degraded: tuple[str, ...] = ()
    """Differences between what is served and what the repository and the settings ask for."""


class Core:
    """Calls of one server, as steps. It has no connection."""

    def __init__(self, policy: RetryPolicy, transport: Transport = "native") -> None:
        if transport not in ("native", "oip"):
            raise ValueError(f"transport: expected native or oip; got {transport!r}")
        self._policy, self._transport = policy, transport
        self._class_names: dict[str, list[str]] = {}  # by name@version

    def detect(self, images: Sequence[ImageFile | ImageError], query: Query) -> Steps[list[Result]]:
        """Detect objects in the images that could be read, and return the results of all."""
        readable = [image for image in images if isinstance(image, ImageFile)]
        results = iter((yield from self._detect(readable, query)) if readable else ())
        return [image if isinstance(image, ImageError) else next(results) for image in images]

    def draw(self, image: ImageFile, query: Query) -> Steps[bytes]:
        """Return an image with its detections drawn, as JPEG."""
        reply = yield from self._exchange(native.request([image], query, JPEG))
        with expecting("a JPEG image", reply):
            if reply.media_type != JPEG:
                raise ValueError(reply.media_type)
        return reply.content

    def models(self) -> Steps[list[ModelInfo]]:
        """List the models of the server."""
        reply = yield from self._exchange(Call("GET", "models"))
        with expecting("a list of models", reply):
            return [_model_info(model) for model in json.loads(reply.content)["models"]]

    def card(self, model: str) -> Steps[dict[str, Any]]:
        """Return the card of a model's default version."""
        reply = yield from self._exchange(Call("GET", f"models/{quote(model, safe='')}"))
        with expecting("a model with its card", reply):
            return dict(json.loads(reply.content)["card"])

    def health(self, seconds: float = HEALTH_TIMEOUT) -> Steps[Health]:
        """Ask once whether the server is ready.

        Raises:
            ClientError: The server cannot be reached.
        """
        reply = yield Send(HEALTH_CHECK, min(seconds, self._policy.timeout))
        if not isinstance(reply, Reply):
            raise reply or ClientError("the request was not sent")
        if reply.status not in (200, 503):
            raise from_problem(reply.status, reply.problem())
        with expecting("the health", reply):
            body = json.loads(reply.content)
            return Health(body["status"] == "ready", tuple(body.get("missing", ())), tuple(body.get("degraded", ())))

    def ready(self) -> Steps[bool]:
        """Return whether the server can be reached and is ready."""
        try:
            return (yield from self.health()).ready
        except (Unavailable, DeadlineExceeded):
            return False

    def wait_until_ready(self, timeout: float) -> Steps[None]:
        """Wait until the server is ready.

        Raises:
            DeadlineExceeded: It is not within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                left = end - time.monotonic()
                health = yield from self.health(min(max(left, MIN_HEALTH_TIMEOUT), HEALTH_TIMEOUT))
            except (Unavailable, DeadlineExceeded) as error:
                reason = str(error)
            else:
                if health.ready:
                    return
                reason = ", ".join(health.missing)
            if time.monotonic() >= end:
                raise DeadlineExceeded(f"the server is not ready after {timeout:g} s: {reason}")
            yield Wait(POLL_SECONDS)

    def _exchange(self, call: Call) -> Steps[Reply]:
        return exchange(call, self._policy)

    def _detect(self, images: Sequence[ImageFile], query: Query) -> Steps[list[Result]]:
        """Send images in one request, or in halves if the server refuses so many or one of them."""
        if len(images) == 1 or sum(len(image.data) for image in images) <= MAX_REQUEST_BYTES:
            try:
                return (yield from self._send(images, query))
            except ImageError as error:
                if len(images) == 1:
                    return [error]
            except InvalidRequest as error:
                if len(images) == 1 or error.status not in (400, 413):
                    raise
        half = len(images) // 2
        first = yield from self._detect(images[:half], query)
        return first + (yield from self._detect(images[half:], query))

    def _send(self, images: Sequence[ImageFile], query: Query) -> Steps[list[Result]]:
        if self._transport == "native":
            reply = yield from self._exchange(native.request(images, query))
            return native.parse(reply, images)
        model = query.model or (yield from self._default_model())
        reply = yield from self._exchange(oip.infer_request(images, query, model))
        answered, found = oip.parse_infer(reply, len(images))
        names = yield from self._names(answered)
        pairs = zip(images, found, strict=True)
        return [oip.result(image, detections, answered, names, query) for image, detections in pairs]

    def _default_model(self) -> Steps[str]:
        reply = yield from self._exchange(Call("GET", "models"))
        with expecting("a list of models", reply):
            name = json.loads(reply.content)["default_model"]
        if name is None:
            raise InvalidRequest("model: expected the name of a model, as the server has no default model; got none")
        return str(name)

    def _names(self, model: str) -> Steps[list[str]]:
        """Return the class names of name@version. They never change."""
        if model not in self._class_names:
            reply = yield from self._exchange(oip.config_request(model))
            self._class_names[model] = oip.parse_class_names(reply)
        return self._class_names[model]


def _model_info(model: Mapping[str, Any]) -> ModelInfo:
    versions = {version["version"]: version["state"] for version in model["versions"]}
    return ModelInfo(model["name"], model["default"], versions, model["aliases"])
