"""Servers: one that answers is halted and ended with all its processes, and one that does not gives the reason."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from benchmarks.peers import servers
from benchmarks.peers.servers import NotRunningError, give_turn, start
from benchmarks.peers.subjects import Subject, image_body, rows

ANSWERS = """
import http.server, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def subject(program: str) -> Subject:
    return Subject("a peer", "peer", "numpy", ("python", "-c", program, "{port}"), image_body, lambda _: rows([]))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BUILD", tmp_path)
    python = tmp_path / "peer" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "peer" / ".ready").touch()


@pytest.mark.usefixtures("installed")
def test_a_server_is_halted_resumed_and_ended_with_its_children() -> None:
    with ExitStack() as stack:
        server = start(subject(ANSWERS), image_body(b"image"), stack)
        processes = server.processes()
        give_turn(None, [server])
        while {process.status() for process in processes} != {psutil.STATUS_STOPPED}:
            time.sleep(0.01)  # signals arrive later
        give_turn(server, [server])
        assert server.ask(image_body(b"image"))[0] == 200
        assert server.cold_start > 0
        assert 0 < server.memory_mb()[1] <= server.memory_mb()[0]
    assert len(processes) == 2
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.mark.usefixtures("installed")
def test_a_server_that_ends_gives_its_last_words() -> None:
    with ExitStack() as stack, pytest.raises(NotRunningError, match="it ended: no such model"):
        start(subject("raise SystemExit('no such model')"), image_body(b"image"), stack)


def test_a_server_that_cannot_be_installed_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BUILD", tmp_path)
    with ExitStack() as stack, pytest.raises(NotRunningError, match="peer cannot be installed here"):
        start(subject(ANSWERS), image_body(b"image"), stack)
