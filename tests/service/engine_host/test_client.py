"""Engines of the host as front ends see them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions, EngineUnavailable
from service.engine_host.client import RemoteEngines
from tests.service.engine_host.running_host import image_feeds, needs_memfd, running_host
from tests.service.fake_engine import FakeEngine

pytestmark = needs_memfd


def fake(package: Package, options: EngineOptions) -> FakeEngine:
    return FakeEngine(package.card)


def unavailable(package: Package, options: EngineOptions) -> FakeEngine:
    raise EngineUnavailable("no such device")


def test_errors_of_users_keep_their_type(tmp_path: Path, toy_package: Package) -> None:
    with running_host(tmp_path, unavailable) as address:
        engines = RemoteEngines(address)
        with pytest.raises(EngineUnavailable, match="no such device"):
            engines(toy_package, EngineOptions())
        with pytest.raises(PackageError, match="publish the model again"):
            engines(replace(toy_package, path=tmp_path / "gone"), EngineOptions())


def test_a_run_takes_one_image(tmp_path: Path, toy_package: Package) -> None:
    with running_host(tmp_path, fake) as address:
        engine = RemoteEngines(address)(toy_package, EngineOptions())
        feeds = {name: array.repeat(2, axis=0) for name, array in image_feeds(1, toy_package.card.input_size).items()}
        with pytest.raises(LineageError, match="at most 1 images per run; got 2"):
            engine.run(feeds)
        engine.close()


def test_the_end_of_the_host_is_an_error(tmp_path: Path, toy_package: Package) -> None:
    with running_host(tmp_path, fake) as address:
        engine = RemoteEngines(address)(toy_package, EngineOptions())
    with pytest.raises(ConnectionError):
        engine.run(image_feeds(1, toy_package.card.input_size))
    assert engine.is_suspect
    engine.close()


def test_nothing_stays_open(tmp_path: Path, toy_package: Package) -> None:
    with running_host(tmp_path, fake) as address:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            engine = RemoteEngines(address)(toy_package, EngineOptions())
            engine.run(image_feeds(1, toy_package.card.input_size))
            engine.close()
    assert len(os.listdir("/proc/self/fd")) <= before
