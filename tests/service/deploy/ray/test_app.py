"""Applications on a Ray of this machine: answers, killed replicas, autoscaling, several models."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from httpx2 import Client as HTTPClient

from lineage.client import Client
from tests.e2e.server import Server
from tests.e2e.toy_server import image_of, publish_toy, without_times
from tests.service.deploy.ray.local_ray import LocalRay, configure, needs_ray

pytestmark = [needs_ray, pytest.mark.slow]
ONE_CPU = {"num_cpus": 1}
CLIENTS = 4
IMAGE = image_of(1)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that take about 20 ms of one core."""
    folder = tmp_path_factory.mktemp("models")
    publish_toy(folder, "other", work=20)
    return publish_toy(folder, work=200)


@pytest.fixture(scope="module")
def servers(repository: Path) -> Iterator[LocalRay]:
    arguments = {"repository": str(repository), "default_model": "toy", "pin_cores": True}
    config = configure("servers", arguments, Server={"num_replicas": 2, "ray_actor_options": ONE_CPU})
    with LocalRay(config) as ray:
        yield ray.wait_until_ready()


@pytest.fixture(scope="module")
def composed(repository: Path) -> Iterator[LocalRay]:
    scaling = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 2}
    scaling |= {"upscale_delay_s": 1, "downscale_delay_s": 4, "metrics_interval_s": 0.5, "look_back_period_s": 2}
    engines = {"ray_actor_options": ONE_CPU, "autoscaling_config": scaling}
    http = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}}
    arguments = {"repository": str(repository), "default_model": "toy"}
    with LocalRay(configure("composed", arguments, Server=http, Engines=engines)) as ray:
        yield ray.wait_until_ready()


@pytest.fixture(scope="module")
def one_machine(repository: Path) -> Iterator[Server]:
    with Server(repository, default_model="toy") as server:
        yield server.wait_until_ready()


class Load:
    """Clients that send images until the end of the block. Half of them retry."""

    def __init__(self, ray: LocalRay) -> None:
        self._url, self._stop = ray.url, threading.Event()
        self._threads = ThreadPoolExecutor(CLIENTS)
        self.statuses: Counter[int] = Counter()
        self.detected = 0

    def __enter__(self) -> Load:
        half = CLIENTS // 2
        self._running = [self._threads.submit(work) for work in [self._plain] * half + [self._retrying] * half]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for running in self._running:
            running.result()

    def _plain(self) -> None:
        with HTTPClient(base_url=self._url, timeout=60) as client:
            while not self._stop.is_set():
                self.statuses[client.post("/detect", files={"file": ("a.png", IMAGE)}).status_code] += 1

    def _retrying(self) -> None:
        with Client(self._url) as client:
            while not self._stop.is_set():
                client.detect(IMAGE)
                self.detected += 1


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def kill_under_load(ray: LocalRay, deployment: str) -> Load:
    """Kill a replica while clients send images, and go on until the next one runs."""
    before = ray.replicas(deployment)
    with Load(ray) as load:
        wait_until(lambda: load.statuses[200] > 10 and load.detected > 10)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(ray.replicas(deployment)) - set(before)) > 0)
        answered, detected = load.statuses[200], load.detected
        wait_until(lambda: load.statuses[200] > answered + 20 and load.detected > detected + 20)
    return load


@pytest.mark.parametrize("form", ["servers", "composed"])
@pytest.mark.parametrize("model", ["toy", "other"])
def test_answers_are_those_of_one_machine(
    form: str, model: str, one_machine: Server, request: pytest.FixtureRequest
) -> None:
    ray: LocalRay = request.getfixturevalue(form)
    for seed in range(5):
        sent = {"params": {"model": model}, "files": {"file": ("image.png", image_of(seed))}}
        answers = [client.post("/detect", **sent) for client in (ray.client, one_machine.client)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        assert without_times(answers[0]) == without_times(answers[1])
        assert len(answers[0].headers.get_list("x-request-id")) == 1


def test_errors_are_those_of_one_machine(servers: LocalRay, one_machine: Server) -> None:
    sent = {"files": {"file": ("image.png", b"no image")}}
    there, here = (client.post("/detect", **sent) for client in (servers.client, one_machine.client))
    assert (there.status_code, there.headers["content-type"]) == (here.status_code, here.headers["content-type"])
    assert there.json()["detail"] == here.json()["detail"]


def test_replicas_are_pinned_to_a_core_each(servers: LocalRay) -> None:
    numbers = servers.wait_for("Server", 2)
    wait_until(lambda: all(len(os.sched_getaffinity(number)) == 1 for number in numbers))  # once they have started
    first, second = map(os.sched_getaffinity, numbers)
    assert first != second or os.cpu_count() == 1


def test_a_killed_server_loses_at_most_what_it_was_answering(servers: LocalRay) -> None:
    servers.wait_for("Server", 2)
    load = kill_under_load(servers, "Server")
    assert set(load.statuses) <= {200, 503}
    assert load.statuses[503] <= CLIENTS // 2  # one request of each client that does not retry
    servers.wait_for("Server", 2)


def test_a_killed_engine_loses_nothing(composed: LocalRay) -> None:
    load = kill_under_load(composed, "Engines")
    assert set(load.statuses) == {200}


def test_engines_follow_the_load(composed: LocalRay) -> None:
    composed.wait_for("Engines", 1)
    with Load(composed), Load(composed), Load(composed):
        composed.wait_for("Engines", 2)
    composed.wait_for("Engines", 1)
