"""Start of both kinds of replicas."""

from __future__ import annotations

from typing import Final

from service.deploy.ray.cores import limit_threads, pin
from service.deploy.ray.options import RaySettings
from service.telemetry.logs import configure_logging

PROCESSES: Final = 2  # or more: what would act on one replica only is refused


def start_replica(settings: RaySettings) -> RaySettings:
    """Limit this process to the CPUs that Ray has reserved, and return the settings for them."""
    import ray
    from ray import serve

    configure_logging(settings.log_level, settings.log_format)
    cpus = limit_threads(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
    if settings.pin_cores:
        pin(serve.get_replica_context().rank.local_rank, cpus)
    return settings.model_copy(update={"decoders": min(settings.decoders, cpus), "processes": PROCESSES})
