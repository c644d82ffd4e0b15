"""`lineage serve --processes 2`: equal answers, killed processes, shutdown, added metrics, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client, HTTPError
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.e2e.server import TIMEOUT, Server
from tests.e2e.toy_server import image_of, publish_toy, without_times

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="several processes need Linux"),
]
STARTED = re.compile(r"started the (engine host|front end \d): process (\d+)")
IMAGE = image_of(1)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in which the server makes its own."""
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    return tmp_path / "t"


@pytest.fixture
def server(tmp_path: Path, temporary: Path) -> Iterator[Server]:
    with Server(publish_toy(tmp_path), processes=2) as server:
        yield server.wait_until_ready()


def process_ids(server: Server) -> dict[str, list[int]]:
    """Return the process ids of each name, the last one first."""
    found: dict[str, list[int]] = {}
    for name, number in STARTED.findall(server.log):
        found.setdefault(name, []).insert(0, int(number))
    return found


def is_alive(number: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def post(server: Server) -> Any:
    """Send an image on a new connection."""
    with Client(base_url=f"http://127.0.0.1:{server.port}", timeout=TIMEOUT) as client:
        return client.post("/detect", files={"file": ("image.png", IMAGE)})


def post_until_answered(server: Server) -> int:
    """Send an image until it is answered, and return the number of tries."""
    for tries in range(1, 200):
        with suppress(HTTPError):
            if (answer := post(server)).status_code == 200:
                return tries
            assert answer.status_code == 503, answer.text
        time.sleep(0.1)
    raise AssertionError(server.log)


def answered(server: Server) -> float:
    """Return the number of detections that were answered, by the metrics."""
    families = parse_text(post_until_metrics(server))
    samples = [sample for family in families for sample in family.samples if sample.name == "lineage_requests_total"]
    return sum(s.value for s in samples if s.labels["code"] == "200" and s.labels["model"] == "toy")


def post_until_metrics(server: Server) -> str:
    with Client(base_url=f"http://127.0.0.1:{server.port}", timeout=TIMEOUT) as client:
        return client.get("/metrics").text


def wait_until_ended(numbers: list[int]) -> None:
    end = time.monotonic() + TIMEOUT
    while any(map(is_alive, numbers)):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_answers_are_those_of_one_process(server: Server, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with Server(publish_toy(tmp_path / "one")) as one:
        one.wait_until_ready()
        assert without_times(post(server)) == without_times(post(one))


def test_metrics_of_any_front_end_count_all_requests(server: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        codes = [answer.status_code for answer in threads.map(post, [server] * 40)]
    assert codes == [200] * 40
    assert {answered(server) for _ in range(10)} == {40}


def test_a_killed_front_end_is_started_again(server: Server) -> None:
    post(server)
    before = answered(server)
    with ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(post_until_answered, server) for _ in range(200)]
        os.kill(process_ids(server)["front end 1"][0], signal.SIGKILL)
        assert all(one.result() >= 1 for one in tries)
    server.wait_for_log(re.compile("the front end 1 is started again"))
    assert answered(server) >= before
    assert len(process_ids(server)["front end 1"]) == 2
    assert len(process_ids(server)["engine host"]) == 1


def test_a_killed_engine_host_is_started_again(server: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(post_until_answered, server) for _ in range(100)]
        os.kill(process_ids(server)["engine host"][0], signal.SIGKILL)
        assert all(one.result() >= 1 for one in tries)
    assert len(process_ids(server)["engine host"]) == 2
    assert {name: len(ids) for name, ids in process_ids(server).items() if name != "engine host"} == {
        "front end 1": 1,
        "front end 2": 1,
    }
    assert "a new engine is in service" in server.log


def test_sigterm_answers_what_was_accepted_and_leaves_nothing(server: Server, temporary: Path) -> None:
    codes: list[int] = []
    running = threading.Event()

    def send() -> None:
        with suppress(HTTPError), Client(base_url=f"http://127.0.0.1:{server.port}", timeout=TIMEOUT) as client:
            while True:
                codes.append(client.post("/detect", files={"file": ("image.png", IMAGE)}).status_code)
                running.set()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert running.wait(TIMEOUT)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(TIMEOUT) == 0
    for thread in threads:
        thread.join()
    assert set(codes) == {200}
    assert server.log.count("all accepted requests were answered") == 2
    assert "Traceback" not in server.log
    wait_until_ended([number for numbers in process_ids(server).values() for number in numbers])
    assert list(temporary.iterdir()) == []


def test_a_killed_parent_leaves_nothing(server: Server, temporary: Path) -> None:
    server.process.kill()
    wait_until_ended([number for numbers in process_ids(server).values() for number in numbers])
    assert list(temporary.iterdir()) == []


def test_processes_that_keep_dying_end_the_server(server: Server) -> None:
    for death in range(1, 6):
        end = time.monotonic() + TIMEOUT
        while len(process_ids(server)["front end 1"]) < death:
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(process_ids(server)["front end 1"][0], signal.SIGKILL)
    assert server.process.wait(TIMEOUT) == 1
    assert "5 processes ended within 60 s: the server stops" in server.log
