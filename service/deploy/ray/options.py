"""Options of an application on Ray: the settings of `lineage serve`, without those of what Ray does instead."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import PositiveInt

from service.settings import Settings, SettingsError

# Ray's proxy listens, and its replicas are the processes.
OF_RAY: Final = {
    "host": "http_options.host",
    "port": "http_options.port",
    "keep_alive_timeout": "http_options.keep_alive_timeout_s",
    "processes": "num_replicas of the deployments",
} | dict.fromkeys(
    ("grpc_port", "zmq", "ssl_certfile", "ssl_keyfile", "header_timeout", "max_connections", "shadow_images"),
    "lineage serve, which has it",
)
_FLAG: Final = re.compile(r"^--([a-z-]+)", re.MULTILINE)


class RaySettings(Settings):
    """Settings of an application on Ray: `args` in its config, or `LINEAGE_*` variables of its runtime environment."""

    pin_cores: bool = False
    """Pin each replica to as many cores as num_cpus says. Needs nodes whose cores nothing else uses."""
    in_flight: PositiveInt = 32
    """Max images of a model that an HTTP replica has sent to engine replicas and not got back."""
    models_per_replica: PositiveInt = 3
    """Models an engine replica keeps. The least recently used are unloaded."""

    def __init__(self, **args: Any) -> None:
        """Read the arguments of an application, and the environment for those that are missing.

        Raises:
            SettingsError: lists all invalid arguments.
        """
        if refused := [f"args: {name} has no effect on Ray; use {OF_RAY[name]}" for name in OF_RAY if name in args]:
            raise SettingsError("\n".join(refused))
        try:
            super().__init__(**args)
        except SettingsError as error:
            raise SettingsError(_FLAG.sub(lambda flag: f"args: {flag[1].replace('-', '_')}", str(error))) from None
