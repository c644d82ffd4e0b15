"""Check a configuration, then run it: `python -m service.deploy.ray serve.yaml [--address HOST:PORT]`.

Ray reports mistakes in the tracebacks of its processes. This reports them in one line, before anything starts.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from model_zoo.contract.errors import LineageError
from service.deploy.ray.app import import_serve
from service.deploy.ray.options import RaySettings

CONNECT_SECONDS: Final = 5.0
BUILDERS: Final = "service.deploy.ray.app:"
MIDDLEWARE: Final = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"


def check(file: Path, address: str | None) -> None:
    """Check that Ray is installed and can be reached, and the arguments of each application of this package.

    Raises:
        LineageError: it is not, or they are wrong.
    """
    import_serve()
    for application in read_applications(file):
        if str(application.get("import_path")).startswith(BUILDERS):
            repository = RaySettings(**(application.get("args") or {})).repository
            if repository and not repository.is_dir():
                raise LineageError(f"{file}: args: repository: expected a folder; {repository} is none")
    if address and ":" in address:
        _connect(address)


def read_applications(file: Path) -> list[dict[str, Any]]:
    """Return the applications of a configuration.

    Raises:
        LineageError: the file cannot be read, or has none.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LineageError(f"{file}: expected a configuration of Ray Serve in YAML; {error}") from error
    applications = document.get("applications") if isinstance(document, dict) else None
    if not isinstance(applications, list) or not all(isinstance(item, dict) for item in applications):
        raise LineageError(f"{file}: expected a list of applications; see service/deploy/ray/servers.yaml")
    return applications


def _connect(address: str) -> None:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        fix = "start one with `ray start --head`, or leave out --address"
        raise LineageError(f"expected a Ray at {address}; it cannot be reached ({error}): {fix}") from error


def main(arguments: Sequence[str]) -> None:
    """Check a configuration and become `serve run`.

    Raises:
        SystemExit: the configuration is wrong, or Ray is missing.
    """
    parser = argparse.ArgumentParser(
        prog="python -m service.deploy.ray", description="Run a configuration on Ray Serve."
    )
    parser.add_argument("file", type=Path, help="configuration, such as service/deploy/ray/servers.yaml")
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS"), help="Ray to use (default: a new one)")
    options = parser.parse_args(arguments)
    try:
        check(options.file, options.address)
    except LineageError as error:
        raise SystemExit(f"error: {error}") from None
    os.environ.setdefault(MIDDLEWARE, "service.deploy.ray.proxy:middleware")
    address = ["--address", options.address] if options.address else []
    os.execv(sys.executable, [sys.executable, "-m", "ray.serve.scripts", "run", *address, str(options.file)])


if __name__ == "__main__":
    main(sys.argv[1:])
