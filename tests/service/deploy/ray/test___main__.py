"""Configurations that are checked before Ray starts."""

from __future__ import annotations

import os
import re
import socket
import sys
import types
from pathlib import Path

import pytest

from service.deploy.ray import __main__ as program
from tests.conftest import ROOT

APPLICATION = "applications: [{import_path: 'service.deploy.ray.app:servers', args: {%s}}]"
yaml = pytest.importorskip("yaml", reason="configurations need PyYAML, which comes with Ray")


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray need not be installed for what is checked before it starts."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    package, serve = types.ModuleType("ray"), types.ModuleType("ray.serve")
    package.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray.serve", serve)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that this process would become."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    monkeypatch.setenv(program.MIDDLEWARE, "")  # which is restored in the end
    monkeypatch.delenv(program.MIDDLEWARE)
    return commands


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"expected a configuration of Ray Serve in YAML; .*No such file"),
        ("a: [", r"expected a configuration of Ray Serve in YAML; "),
        ("a: 1", r"expected a list of applications; see service/deploy/ray/servers.yaml"),
        (APPLICATION % "queue_size: long", r"args: queue_size: expected .*; got 'long'"),
        (APPLICATION % "port: 80", r"args: port has no effect on Ray; use http_options.port"),
        (APPLICATION % "repository: /nowhere", r"args: repository: expected a folder; /nowhere is none"),
    ],
)
def test_mistakes_are_one_message(tmp_path: Path, started: list[list[str]], text: str | None, message: str) -> None:
    file = tmp_path / "serve.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit, match=f"^error: (.*: )?{message}"):
        program.main([str(file)])
    assert started == []


def test_a_ray_that_cannot_be_reached_is_one_message(tmp_path: Path, started: list[list[str]]) -> None:
    (tmp_path / "serve.yaml").write_text(APPLICATION % "")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    text = rf"^error: expected a Ray at {re.escape(address)}; it cannot be reached \(.*refused\): start one with"
    with pytest.raises(SystemExit, match=text):
        program.main([str(tmp_path / "serve.yaml"), "--address", address])
    assert started == []


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_valid_configuration_is_run(tmp_path: Path, started: list[list[str]], prefix: str) -> None:
    (tmp_path / "serve.yaml").write_text(APPLICATION % f"repository: {tmp_path}")
    with socket.create_server(("127.0.0.1", 0)) as ray:
        address = f"{prefix}127.0.0.1:{ray.getsockname()[1]}"
        program.main([str(tmp_path / "serve.yaml"), "--address", address])
    assert started[0][-4:] == ["run", "--address", address, str(tmp_path / "serve.yaml")]
    assert os.environ[program.MIDDLEWARE] == "service.deploy.ray.proxy:middleware"


@pytest.mark.parametrize("name", ["servers", "composed"])
def test_shipped_configurations_need_a_repository(name: str) -> None:
    with pytest.raises(SystemExit, match="args: repository: expected a folder; /models is none"):
        program.main([str(ROOT / "service" / "deploy" / "ray" / f"{name}.yaml")])
