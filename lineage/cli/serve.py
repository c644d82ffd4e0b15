"""`lineage serve`."""

from __future__ import annotations

from typing import Annotated

import tyro

from service.deploy.uvicorn import run_server
from service.settings import Settings

# Read at import, which happens when the command runs: --help shows the defaults in effect.
FROM_ENVIRONMENT = Settings()


def serve(settings: Annotated[Settings, tyro.conf.arg(name="")] = FROM_ENVIRONMENT) -> int:
    """Answer POST /detect with the models of a repository.

    Every flag can also be set by an environment variable: --max-batch is LINEAGE_MAX_BATCH. Flags win.
    """
    run_server(settings)
    return 0
