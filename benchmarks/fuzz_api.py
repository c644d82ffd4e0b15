"""Fuzz every operation of /openapi.json on a real server with schemathesis: no 5xx, and every answer as documented.

    python -m benchmarks.fuzz_api --seconds 300

Not checked: that valid input is accepted. Random class names and bytes as images fit the schema, and are refused.
503 and 504 count as failures, because nothing here overloads the server.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.e2e.server import Server

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance"
)


def fuzz(seconds: int, seed: int = 0) -> int:
    """Run schemathesis for some seconds and return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        models, keys = Path(folder, "models"), Path(folder, "keys.json")
        shutil.copytree(BUNDLED_REPOSITORY.root, models)
        token = add_key(keys, "fuzz", ("admin",))
        with Server(Repository(models).root, keys=keys) as server:
            server.wait_until_ready()
            command: list[str | Path] = [
                Path(sys.executable).with_name("st"),
                "run",
                f"http://127.0.0.1:{server.port}/openapi.json",
            ]
            options = [f"--max-time={seconds}", f"--seed={seed}", f"--checks={CHECKS}", "--no-shrink", "--warnings=off"]
            # Changes of the repository would take the model from the other operations.
            changes = [
                "--exclude-method=DELETE",
                "--exclude-path-regex=^/(admin|v2/repository)/.*(unload|rollout|aliases)",
            ]
            return subprocess.run(
                [*command, *options, *changes, f"--header=X-Api-Key:{token}"], cwd=folder, check=False
            ).returncode


def main() -> int:
    """Fuzz as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="time to spend")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random requests")
    options = parser.parse_args()
    return fuzz(options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
