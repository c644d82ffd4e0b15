"""The planes of the service: what each may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HTTP = ["fastapi", "starlette", "uvicorn", "python_multipart"]
PLANES = ["api", "app", "deploy", "middleware", "settings", "state", "web"]


@pytest.mark.parametrize(
    ("plane", "blocked"),
    [
        ("inference", [*HTTP, *(f"service.{name}" for name in PLANES)]),
        ("telemetry", [*HTTP, *(f"service.{name}" for name in [*PLANES, "inference"])]),
    ],
)
def test_plane_imports_without_the_planes_above(plane: str, blocked: list[str]) -> None:
    folder = ROOT / "service" / plane
    modules = [f"service.{plane}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    assert modules
    program = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({blocked}))  # None: importing it raises ImportError
for name in {modules}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
