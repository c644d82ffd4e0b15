"""Endpoints beside HTTP cost nothing while they are off. Their own tests run them."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import sys
from service.deploy.uvicorn import create_server
from service.settings import Settings

create_server(Settings())
print({"grpc", "zmq", "google.protobuf"} & sys.modules.keys())
"""


def test_packages_of_endpoints_that_are_off_are_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
