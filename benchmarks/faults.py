"""Break a real server under load and record what it reports and what its clients see.

One row per fault: what the log says, whether the server stayed ready, and the answers by status. Lost requests have no
answer at all. Faults that need root to mount a file system are skipped without it.

    python -m benchmarks.faults --output benchmarks/results/faults.csv      # all, about 3 minutes
    python -m benchmarks.faults --only hung_engine sigterm
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from benchmarks import idle_connections
from benchmarks.fault_clients import PATIENCE, Clients, ServerProcess, clients_of, request
from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY

IN_FLIGHT: Final = 64
CONNECTIONS: Final = 10_000
PAGE: Final = 4096
SAMPLES: Final = BUNDLED_REPOSITORY.root.parent / "web" / "static" / "playground" / "samples"
FAILED: Final = re.compile(r"(?:the engine failed|no new engine can be opened) \(.*\)(?=;)")
NAME: Final = "ui-elements"


class Skipped(Exception):
    """The fault cannot be made on this machine."""


@dataclass(frozen=True)
class Row:
    """Result of one fault."""

    fault: str
    """Name of the fault."""
    observed: str
    """Part of the server's log."""
    ready: str
    """Whether it stayed ready, or why not."""
    answers: str
    """Number of answers by status."""
    lost: int
    """Number of requests without any answer."""


def hung_engine(folder: Path) -> Row:
    """Return the row of an engine that hangs: it is replaced, and the images are tried again."""
    return _engine_fault(folder, "engine hangs once", "hangs", 1)


def raising_engine(folder: Path) -> Row:
    """Return the row of an engine that fails at every run: it is replaced."""
    return _engine_fault(folder, "engine raises at every run", "raises", 1)


def engine_lost_twice(folder: Path) -> Row:
    """Return the row of an engine whose replacement fails, too: the server is not ready until one works."""
    return _engine_fault(folder, "engine and its replacement raise", "raises", 2)


def truncated_version(folder: Path) -> Row:
    """Return the row of a newest version whose model file is cut off."""
    return _bad_version(folder, "newest version is truncated", lambda data: data[: len(data) // 2])


def junk_version(folder: Path) -> Row:
    """Return the row of a newest version that is no model."""
    return _bad_version(folder, "newest version is junk", lambda data: bytes(len(data)))


def wrong_golden_answers(folder: Path) -> Row:
    """Return the row of a newest version whose engine disagrees with its golden images."""
    repository = _repository(folder)
    served = repository.resolve(f"{NAME}@1")

    def publish() -> None:
        golden = json.loads((served.path / "golden" / "expected.json").read_text())
        for detection in golden["cases"][0]["detections"]:
            detection[0] -= 100.0
        expected = folder / "expected.json"
        expected.write_text(json.dumps(golden))
        files = {file.name: served.path / file.name for file in served.files if file.name != "card.json"}
        repository.publish(served.card, files | {"golden/expected.json": expected})

    return _break(folder, "wrong golden answers", publish, rf"refused: {NAME}@2[^;\n]*")


def restart_on_junk(folder: Path) -> Row:
    """Return the row of a server that starts while the newest version is junk."""
    return _bad_version(folder, "restart on a junk version", lambda data: bytes(len(data)), restart=True)


def alias_to_nowhere(folder: Path) -> Row:
    """Return the row of an alias that is moved to a version that does not exist."""
    repository = _repository(folder)
    aliases = repository.root / NAME / "aliases.json"
    repository.set_alias(NAME, "stable", 1)
    return _break(
        folder, "alias stable to a missing version", lambda: aliases.write_text('{"stable": 99}'), r"stable.*"
    )


def removed_repository(folder: Path) -> Row:
    """Return the row of a repository that is removed while it is served."""
    root = _repository(folder).root
    return _break(folder, "repository removed", lambda: root.rename(folder / "away"), r"repository \S+ is gone")


def unmounted_repository(folder: Path) -> Row:
    """Return the row of a repository whose file system is unmounted."""
    with _mounted(folder / "models", "64m"):
        _repository(folder)
        unmount = ["umount", "-l", str(folder / "models")]
        return _break(folder, "repository unmounted", lambda: subprocess.check_call(unmount), r"is it unmounted")


def full_disk(folder: Path) -> Row:
    """Return the row of a repository whose disk is full when an alias is set."""
    with _mounted(folder / "models", "64m"):
        repository = _repository(folder)

        def fill() -> None:
            with (repository.root / ".filler").open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(PAGE))
            os.truncate(file.name, os.path.getsize(file.name) - PAGE)  # space for the alias alone
            repository.set_alias(NAME, "other", 1)

        return _break(folder, "disk full", fill, r"[^:]*No space left on device")


def killed(folder: Path) -> Row:
    """Return the row of a server that is killed and started again, with clients that retry."""
    repository = _repository(folder)
    server = ServerProcess(folder, *_serve(repository))
    with clients_of(server, _image(), retries=True) as clients:
        server.process.kill()
        server.process.wait()
        again = ServerProcess(folder, *_serve(repository), port=server.port)
        clients.wait_for(8)
        clients.stop()
        again.stop()
    return _row("kill -9, clients retry", "started again on the same port", clients)


def sigterm(folder: Path) -> Row:
    """Return the row of a server that gets SIGTERM with 64 requests in flight."""
    server = ServerProcess(folder, *_serve(_repository(folder)))
    with ThreadPoolExecutor(IN_FLIGHT) as pool, ExitStack() as opened:
        image = _image()
        head = f"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
        flights = [opened.enter_context(_connect(server.port)) for _ in range(IN_FLIGHT)]
        for connection in flights:
            connection.sendall(head.encode() + image)
        request(server.port, "/health/live")  # answered after all others have been read
        server.process.send_signal(signal.SIGTERM)
        statuses = list(pool.map(_status, flights))
    code = server.process.wait(PATIENCE)
    answers = {status: statuses.count(status) for status in sorted(set(statuses)) if status}
    observed = f"{'shutdown complete' if 'shutdown complete' in server.log else 'cut off'}, exit code {code}"
    return Row(f"SIGTERM, {IN_FLIGHT} in flight", observed, "stopping", _counts(answers), statuses.count(0))


def slow_bodies(folder: Path) -> Row:
    """Return the row of 500 clients that send a byte of their body and no more."""
    server = ServerProcess(folder, *_serve(_repository(folder)), "--timeout=5")
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\nx"
    with ExitStack() as opened, clients_of(server, _image()) as clients:
        slow = [opened.enter_context(_connect(server.port)) for _ in range(500)]
        for connection in slow:
            connection.sendall(head)
        statuses = [_status(connection) for connection in slow]
    return _row("500 slow bodies", f"{statuses.count(408)} refused with 408", clients)


def idle(_: Path) -> Row:
    """Return the row of 10,000 connections that send nothing, with 1,024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        raise Skipped(f"the limit of open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CONNECTIONS + 1000), hard))
    slowest, after, lines = idle_connections.measure(b"", CONNECTIONS, 1024)
    observed = f"new clients waited up to {slowest} s, then {after} s; {lines} log lines"
    return Row("10,000 idle connections", observed, "answers", "", 0)


SCENARIOS: Final[dict[str, Callable[[Path], Row]]] = {
    run.__name__: run
    for run in (
        hung_engine,
        raising_engine,
        engine_lost_twice,
        truncated_version,
        junk_version,
        wrong_golden_answers,
        restart_on_junk,
        alias_to_nowhere,
        removed_repository,
        unmounted_repository,
        full_disk,
        killed,
        sigterm,
        slow_bodies,
        idle,
    )
}


def main() -> None:
    """Parse the arguments, run the faults and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        rows.append(measure(name))
        print(*asdict(rows[-1]).values(), sep=" | ", flush=True)
    if arguments.output:
        with arguments.output.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([field.name for field in fields(Row)])
            table.writerows(asdict(row).values() for row in rows)


def measure(name: str) -> Row:
    """Return the row of one fault, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return SCENARIOS[name](Path(folder))
        except Skipped as skipped:
            return Row(name, f"skipped: {skipped}", "", "", 0)


def _engine_fault(folder: Path, fault: str, kind: str, engines: int) -> Row:
    root = _repository(folder).root
    server = ServerProcess(
        folder, f"--fault={kind}", f"--engines={engines}", f"--repository={root}", module="benchmarks.fault_server"
    )
    with clients_of(server, _image()) as clients:
        server.wait_for_log(re.compile("a new engine is in service"))
        clients.wait_for(8)
    return _row(fault, _found(FAILED, server), clients)


def _bad_version(folder: Path, fault: str, damage: Callable[[bytes], bytes], *, restart: bool = False) -> Row:
    root = _repository(folder).root

    def publish() -> None:
        new = root / NAME / ".new"
        shutil.copytree(root / NAME / "1", new)
        model = new / "model.onnx"
        model.write_bytes(damage(model.read_bytes()))
        new.rename(root / NAME / "2")

    if restart:
        publish()
    return _break(folder, fault, (lambda: None) if restart else publish, rf"{NAME}@2\S* [^;\n]*|{NAME}/2[^;\n]*")


def _break(folder: Path, fault: str, do: Callable[[], object], reported: str) -> Row:
    """Break something while clients are answered, and wait until the log reports it."""
    server, pattern = ServerProcess(folder, *_serve(Repository(folder / "models"))), re.compile(reported)
    with clients_of(server, _image()) as clients:
        do()
        observed = server.wait_for_log(pattern)[0]
        clients.wait_for(8)
    return _row(fault, observed, clients)


def _row(fault: str, observed: str, clients: Clients) -> Row:
    answered = {status: count for status, count in sorted(clients.answers.items()) if status}
    ready = "ready" if not clients.not_ready else f"not ready: {next(iter(clients.not_ready))}"
    return Row(fault, observed, ready, _counts(answered), clients.answers[0])


def _counts(answers: dict[int, int]) -> str:
    return " ".join(f"{status}:{count}" for status, count in answers.items())


def _found(pattern: re.Pattern[str], server: ServerProcess) -> str:
    return "; ".join(dict.fromkeys(match[0] for match in pattern.finditer(server.log)))


def _repository(folder: Path) -> Repository:
    """Make a repository with a copy of the bundled model."""
    shutil.copytree(BUNDLED_REPOSITORY.root / NAME, folder / "models" / NAME, dirs_exist_ok=True)
    return Repository(folder / "models")


def _serve(repository: Repository) -> list[str]:
    return ["serve", f"--repository={repository.root}", "--poll=0.2"]


def _image() -> bytes:
    return min(SAMPLES.glob("*.jpg"), key=lambda path: path.stat().st_size).read_bytes()


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a small file system in memory."""
    folder.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounting.returncode:
        raise Skipped(f"cannot mount a file system ({mounting.stderr.decode().strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)  # or it is unmounted already


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def _status(connection: socket.socket) -> int:
    """Return the status of the next response, 0 if there is none."""
    try:
        line = connection.recv(1 << 16).split()
    except OSError:
        return 0
    return int(line[1]) if len(line) > 1 else 0


if __name__ == "__main__":
    main()
