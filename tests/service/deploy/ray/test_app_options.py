"""Builders of applications: faults, and times of a shutdown."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from model_zoo.contract.errors import LineageError
from service.deploy.ray.app import ANSWER_SECONDS, LOOP_SECONDS, composed, servers
from tests.service.deploy.ray.local_ray import configure, needs_ray

BUILDERS = pytest.mark.parametrize("build", [servers, composed])


@BUILDERS
def test_ray_that_is_not_installed_is_one_message(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    text = "expected Ray Serve; it is not installed: pip install 'yolo-lineage[ray]'"
    with pytest.raises(LineageError, match=f"^{re.escape(text)}"):
        build({})


@BUILDERS
def test_arguments_are_checked_before_a_replica_starts(build: Callable[..., Any]) -> None:
    with pytest.raises(LineageError, match=r"^args: queue_size: expected .*; got 'long'$"):
        build({"queue_size": "long"})


@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's imports
@pytest.mark.parametrize(("drain", "loop"), [(0, LOOP_SECONDS), (7, 7)])
def test_a_replica_drains_as_long_as_a_server(drain: float, loop: float) -> None:
    deployment = servers({"timeout": 20, "drain_seconds": drain})._bound_deployment
    config = deployment._deployment_config
    assert config.graceful_shutdown_wait_loop_s == loop
    assert config.graceful_shutdown_timeout_s == drain + 20 + ANSWER_SECONDS


@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's imports
@pytest.mark.parametrize("name", ["servers", "composed"])
def test_shipped_configurations_are_valid(name: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema(**configure(name, {"repository": "/models"}))
    (application,) = config.applications
    assert application.import_path == f"service.deploy.ray.app:{name}"
    assert {deployment.name for deployment in application.deployments} <= {"Server", "Engines"}
