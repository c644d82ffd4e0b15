"""Imports of the client."""

from __future__ import annotations

import subprocess
import sys
import typing

import pytest

import lineage
import lineage.client
from tests.conftest import ROOT

# What a client must not need, beside httpx2 and NumPy.
HEAVY = ["cv2", "fastapi", "onnxruntime", "pandas", "pydantic", "service", "starlette", "supervision", "torch", "tyro"]


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_client_needs_httpx2_and_numpy_only() -> None:
    done = run(
        f"""
import sys
from lineage import Client
assert not set(sys.modules) & set({HEAVY}), set(sys.modules) & set({HEAVY})
sys.modules.update(dict.fromkeys({HEAVY}))
Client("http://localhost:8000").close()
"""
    )
    assert done.returncode == 0, done.stderr


def test_command_line_does_without_the_client() -> None:
    done = run("import sys, lineage.cli.main; assert 'httpx2' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_missing_httpx2_is_explained() -> None:
    done = run("import sys; sys.modules['httpx2'] = None; from lineage import Client")
    assert done.stderr.endswith("lineage.client needs httpx2; run: pip install 'yolo-lineage[client]'\n")


def test_names_are_those_of_the_package() -> None:
    assert lineage.Client is lineage.client.Client
    assert lineage.AsyncClient is lineage.client.AsyncClient
    assert all(hasattr(lineage.client, name) for name in lineage.client.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Klient'"):
        lineage.Klient  # noqa: B018


def test_signatures_resolve() -> None:
    for client in (lineage.Client, lineage.AsyncClient):
        for name in ("__init__", "detect", "detect_many", "draw", "models", "wait_until_ready"):
            assert typing.get_type_hints(getattr(client, name))
