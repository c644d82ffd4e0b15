"""The load generator: statistics, complete answers, and both loops against a real server."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.peers.load import Outcome, Plan, cpu_seconds, run, split_answer
from benchmarks.peers.subjects import post


class Handler(BaseHTTPRequestHandler):
    """Answers every second image with 503."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(503 if body == b"busy" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.bodies = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def plan(server: ThreadingHTTPServer, *bodies: bytes, rate: float = 0) -> Plan:
    requests = tuple(post("/detect", body) for body in bodies)
    return Plan(server.server_port, requests, (os.getpid(),), seconds=0.3, warm_up=0.1, connections=2, rate=rate)


def test_figures_of_an_outcome() -> None:
    outcome = Outcome(
        2, [0.01 * i for i in range(1, 101)], finished=100, server_cpu=5, generator_cpu=0.1, machine_cpu=6.1
    )
    assert outcome.per_second == 50
    assert outcome.cpu_ms == 50
    assert outcome.generator_cpu_ms == 1
    assert outcome.other_cores == pytest.approx(0.5)
    assert outcome.quantile_ms(0.5) == pytest.approx(510)
    assert outcome.quantile_ms(0.99) == pytest.approx(1000)


def test_failures_count_as_infinite_latency() -> None:
    outcome = Outcome(seconds=1, latencies=[0.1] * 98, failures=2)
    assert outcome.quantile_ms(0.5) == pytest.approx(100)
    assert outcome.quantile_ms(0.99) == math.inf
    assert math.isnan(Outcome(seconds=1).quantile_ms(0.5))


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n", None),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
    ],
)
def test_answers_end_where_their_head_says(received: bytes, status: int | None) -> None:
    answer = split_answer(bytearray(received))
    assert (answer and answer[0]) == status


def test_a_closed_loop_sends_the_requests_in_turns(server: ThreadingHTTPServer) -> None:
    outcome = run(plan(server, b"one", b"two"))
    assert set(Handler.bodies) == {b"one", b"two"}
    assert 0 < len(outcome.latencies) < len(Handler.bodies)  # those of the warm-up do not count
    assert outcome.failures == 0
    assert outcome.machine_cpu >= outcome.server_cpu >= 0


def test_refusals_are_failures(server: ThreadingHTTPServer) -> None:
    outcome = run(plan(server, b"one", b"busy"))
    assert outcome.failures > 0
    assert outcome.latencies


def test_an_open_loop_sends_what_arrives(server: ThreadingHTTPServer) -> None:
    outcome = run(plan(server, b"one", rate=50))
    assert 0 < len(outcome.latencies) < 50  # 15 in the mean


def test_cpu_time_of_processes_grows_and_skips_those_that_ended() -> None:
    before = cpu_seconds([os.getpid()])
    while cpu_seconds([os.getpid()]) == before:
        sum(range(10_000))
    assert cpu_seconds([2**22 + 1]) == 0
