"""Applications for `serve run`: functions that build one from the arguments in its config.

serve run service.deploy.ray.app:servers repository=/models
serve run serve.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from model_zoo.contract.errors import LineageError
from service.deploy.ray.engines import Engines
from service.deploy.ray.options import RaySettings
from service.deploy.ray.server import Server

if TYPE_CHECKING:
    from ray.serve import Application, Deployment

ANSWER_SECONDS: Final = 5.0  # after `timeout`, to send the answers, as `lineage serve` allows
LOOP_SECONDS: Final = 2.0  # Ray's default


def servers(args: dict[str, Any]) -> Application:
    """Build an application of whole servers: each replica decodes, detects and answers."""
    settings = RaySettings(**args)
    return _http(settings).bind(settings)


def composed(args: dict[str, Any]) -> Application:
    """Build an application whose HTTP replicas decode images, and whose engine replicas detect."""
    settings = RaySettings(**args)
    engines = import_serve().deployment(Engines).options(max_ongoing_requests=settings.in_flight, **_shutdown(settings))
    return _http(settings).bind(settings, engines.bind(settings))


def _http(settings: RaySettings) -> Deployment:
    """Return the deployment that answers HTTP. It refuses what does not fit its queue, so Ray sends it all."""
    serve = import_serve()
    return serve.deployment(serve.ingress()(Server)).options(
        max_ongoing_requests=2 * settings.queue_size,
        max_queued_requests=settings.queue_size,
        backpressure_config={"status_code": 503, "retry_after_s": 1},
        **_shutdown(settings),
    )


def _shutdown(settings: RaySettings) -> dict[str, float]:
    """Return how long a replica goes on after Ray has decided to stop it, and then waits for its answers."""
    return {
        "graceful_shutdown_wait_loop_s": settings.drain_seconds or LOOP_SECONDS,
        "graceful_shutdown_timeout_s": settings.drain_seconds + settings.timeout + ANSWER_SECONDS,
    }


def import_serve() -> Any:
    """Return the module `ray.serve`.

    Raises:
        LineageError: it is not installed.
    """
    try:
        from ray import serve
    except ImportError as error:
        text = "expected Ray Serve; it is not installed: pip install 'yolo-lineage[ray]'"
        raise LineageError(f"{text} ({error})") from error
    return serve
