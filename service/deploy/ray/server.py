"""A replica that answers HTTP: the application of `lineage serve`, behind the proxy of Ray."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_zoo.runtime.open import open_engine
from service.app import create_app
from service.deploy.ray.client import RayEngines
from service.deploy.ray.options import RaySettings
from service.deploy.ray.replica import start_replica
from service.middleware.request_id import HEADER as REQUEST_ID
from service.state import AppState

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle


class NotReady(Exception):
    """The replica cannot answer requests. Ray replaces it."""


class Server:
    """A server as a replica. With a handle of engine replicas, its engines run there."""

    def __init__(self, settings: RaySettings, engines: DeploymentHandle | None = None) -> None:
        self._settings = start_replica(settings)
        self._engines = engines and RayEngines(engines, self._settings.timeout, settings.in_flight)

    def __serve_build_asgi_app__(self) -> ReplicaApp:
        """Return the application. Ray calls it after the constructor."""
        if self._engines is None:
            self._app = ReplicaApp(create_app(self._settings, open_engine))
        else:
            patient = self._settings.model_copy(
                update={"run_timeout": self._settings.timeout}
            )  # images also wait there
            self._app = ReplicaApp(create_app(patient, self._engines))
        return self._app

    async def check_health(self) -> None:
        """Check that the server is ready. Where engines run elsewhere, their problems do not count.

        Raises:
            NotReady: it is not.
        """
        state = self._app.service
        if missing := state.store.missing() if self._engines else state.missing():
            raise NotReady("; ".join(missing))


class ReplicaApp:
    """An application whose startup includes loading its models, with the state that Ray does not pass to requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._state: dict[str, Any] = {}

    @property
    def service(self) -> AppState:
        """State of the service."""
        service: AppState = self._state["service"]
        return service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or run the application from startup to shutdown."""
        if scope["type"] == "lifespan":
            self._state = scope["state"]
            await self._app(scope, receive, partial(self._send_when_loaded, send))
        else:
            await self._app({**scope, "state": dict(self._state)}, receive, partial(_send_without_id, send))

    async def _send_when_loaded(self, send: Send, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            with suppress(Exception):  # the health check states what is missing
                await self.service.store.refresh()
        await send(message)


async def _send_without_id(send: Send, message: Message) -> None:
    """Send without the request id: Ray's proxy made it, and adds it."""
    if message["type"] == "http.response.start":
        message["headers"] = [(name, value) for name, value in message["headers"] if name != REQUEST_ID]
    await send(message)
