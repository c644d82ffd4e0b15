"""Start servers, ask them, halt those whose turn it is not, and read their memory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.peers.load import split_answer
from benchmarks.peers.subjects import BUILD, PROGRAMS, Subject

PATIENCE: Final = 90.0
"""Seconds for the first answer of a server."""
MODEL: Final = BUILD / "yolov5n-raw.onnx"


class NotRunningError(Exception):
    """A server cannot be installed, started or asked here."""


@dataclass
class Server:
    """A running server."""

    subject: Subject
    """Kind of server."""
    process: psutil.Process
    """First process of it."""
    port: int
    """Port of it."""
    started: float
    """Time of its start, by time.perf_counter."""
    version: str
    """Version of its package."""
    cold_start: float = 0.0
    """Seconds to its first answer."""

    def processes(self) -> list[psutil.Process]:
        """Return all its processes, parents first."""
        with suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of all processes, and the same with shared pages counted once."""
        rss = pss = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_full_info()
                rss, pss = rss + memory.rss, pss + memory.pss
        return rss / 2**20, pss / 2**20

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send one request on a new connection. Return status and answer, or 0 if it does not answer."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(request)
            received = bytearray()
            while data := connection.recv(1 << 20):
                received += data
                if answer := split_answer(received):
                    return answer
        return 0, b""

    def wait_for_answer(self, request: bytes) -> None:
        """Wait for its first answer with status 200, and note the time since its start.

        Raises:
            NotRunningError: The server ended, or did not answer in time.
        """
        while self.ask(request)[0] != 200:
            if not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE:
                raise NotRunningError(f"it ended: {_last_lines(self.subject)}")
            if time.perf_counter() > self.started + PATIENCE:
                raise NotRunningError(f"no answer within {PATIENCE:.0f} s: {_last_lines(self.subject)}")
            time.sleep(0.02)
        self.cold_start = time.perf_counter() - self.started

    def stop(self) -> None:
        """End all processes."""
        processes = self.processes()
        self.signal(signal.SIGCONT)
        with suppress(psutil.NoSuchProcess):
            self.process.terminate()
        psutil.wait_procs(processes[:1], 10)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, 10)


def start(subject: Subject, request: bytes, stack: ExitStack) -> Server:
    """Start a server, which ends with the stack, and wait for its answer to a request.

    Raises:
        NotRunningError: Its environment is not installed, it ended, or did not answer in time.
    """
    programs = BUILD / subject.environment / "bin"
    if not (BUILD / subject.environment / ".ready").is_file():
        raise NotRunningError(f"{subject.environment} cannot be installed here")
    folder = _folder(subject)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    places = {"folder": str(folder)} | dict(zip(("port", "metrics", "grpc"), map(str, _free_ports(3)), strict=True))
    environment = {"PYTHONPATH": str(PROGRAMS), "PEER_MODEL": str(MODEL), "PEER_FOLDER": str(folder)}
    environment |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "BENTOML_HOME": str(folder)}
    environment |= {name: value.format(**places) for name, value in subject.variables.items()}
    command = [str(programs / subject.command[0]), *(word.format(**places) for word in subject.command[1:])]
    log = stack.enter_context((folder / "log").open("w"))
    installed = _version(subject)
    started = time.perf_counter()
    everything = os.environ | environment
    process = psutil.Popen(command, cwd=folder, env=everything, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    server = Server(subject, process, int(places["port"]), started, installed)
    stack.callback(server.stop)
    server.wait_for_answer(request)
    return server


def give_turn(turn: Server | None, servers: Iterable[Server]) -> None:
    """Halt all servers but the one whose turn it is."""
    for server in servers:
        if server is not turn:
            server.signal(signal.SIGSTOP)
    if turn:
        turn.signal(signal.SIGCONT)


def _version(subject: Subject) -> str:
    code = f"import importlib.metadata as m; print(m.version({subject.package!r}))"
    python = BUILD / subject.environment / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _folder(subject: Subject) -> Path:
    return BUILD / "run" / subject.name.replace(" ", "-")


def _last_lines(subject: Subject) -> str:
    lines = (_folder(subject) / "log").read_text(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-4:]) or "nothing in its log"


def _free_ports(number: int) -> Sequence[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
