"""The profile `scale` of docker-compose.yml: servers end under load, and the proxy's clients lose nothing.

Needs a Docker engine, by default or at DOCKER_HOST. Skipped without one.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.e2e.compose import Compose, inspect, require_engine, wait_until, wait_until_healthy
from tests.service.conftest import SAMPLES

CLIENTS = 16
SECONDS_BEFORE, SECONDS_AFTER = 1.5, 4.0

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def scale(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Two servers of the bundled model behind the proxy."""
    require_engine()
    scale = Compose(shared, tmp_path_factory.mktemp("scale"))
    text = (ROOT / "docker" / "scale" / "Caddyfile").read_text(encoding="utf-8").replace(":8000 {", f":{scale.port} {{")
    for name, port in zip("ab", scale.replicas, strict=True):
        text = text.replace(f"replica-{name}:8000", f"127.0.0.1:{port}")
    (scale.folder / "Caddyfile").write_text(text, encoding="utf-8")
    (scale.folder / "Caddyfile").chmod(0o644)
    scale("--profile", "scale", "build", "replica-a", "replica-b", "proxy")
    scale("--profile", "scale", "up", "--detach", "proxy")
    for container in (container_of(scale, "a"), container_of(scale, "b")):
        wait_until_healthy(container)
    yield scale
    scale.end()


def container_of(scale: Compose, name: str) -> str:
    return scale("ps", "--quiet", f"replica-{name}").splitlines()[-1]


def pid_of(container: str) -> int:
    return int(inspect(container, ".State.Pid"))


def answers_while(scale: Compose, end: Callable[[], object]) -> Counter[int | str]:
    """Return what clients that do not retry get while `end` runs, by status or error."""
    image = next(iter(sorted(SAMPLES.glob("*.jpg")))).read_bytes()
    stopped: list[bool] = []

    def send(_: int) -> Counter[int | str]:
        found: Counter[int | str] = Counter()
        with httpx2.Client(base_url=str(scale.client.base_url), timeout=60) as client:
            while not stopped:
                try:
                    found[client.post("/detect", files={"file": image}).status_code] += 1
                except httpx2.HTTPError as error:
                    found[repr(error)] += 1
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = pool.map(send, range(CLIENTS))
        time.sleep(SECONDS_BEFORE)
        end()
        time.sleep(SECONDS_AFTER)
        stopped.append(True)
        return sum(results, Counter())


def served_by(port: int) -> float:
    """Return the answers of a server to POST /detect."""
    metrics = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    return sum(
        map(float, re.findall(r'^lineage_requests_total\{code="200",.*protocol="native".*\} (\S+)$', metrics, re.M))
    )


def test_killed_server_loses_nothing_and_returns(scale: Compose) -> None:
    killed = container_of(scale, "a")
    before = pid_of(killed)
    answers = answers_while(scale, lambda: os.kill(before, signal.SIGKILL))
    assert list(answers) == [200], answers
    wait_until(lambda: pid_of(killed) not in (0, before))  # the engine starts it again
    wait_until_healthy(killed)
    answers = answers_while(scale, lambda: None)
    assert list(answers) == [200], answers
    assert served_by(scale.replicas[0]) > 0


def test_stopped_server_loses_nothing(scale: Compose) -> None:
    answers = answers_while(scale, lambda: scale("stop", "replica-b"))
    assert list(answers) == [200], answers
    assert inspect(container_of(scale, "b"), ".State.ExitCode") == "0"
