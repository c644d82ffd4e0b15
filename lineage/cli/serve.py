"""`lineage serve`: run the HTTP server."""

from __future__ import annotations

from typing import Annotated

from lineage.cli.arguments import option
from lineage.cli.imports import quick_imports
from model_zoo.contract.errors import LineageError
from service.settings import Settings

# Read at import, which happens when the command runs: --help shows the defaults in effect.
FROM_ENVIRONMENT = Settings()


def serve(settings: Annotated[Settings, option(name="")] = FROM_ENVIRONMENT) -> int:
    """Serve the models of a repository over HTTP.

    Every flag can also be set by an environment variable: --max-batch is LINEAGE_MAX_BATCH. Flags take precedence.
    """
    with quick_imports():
        from service.deploy.processes import run_processes

    if settings.repository and settings.repository.is_file():
        raise LineageError(f"--repository: expected a folder; {settings.repository} is a file")
    if settings.label_studio_token and not settings.label_studio_token.is_file():
        raise LineageError(f"--label-studio-token: expected a file; {settings.label_studio_token} does not exist")
    run_processes(settings)
    return 0
