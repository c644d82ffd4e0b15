"""The WebSocket of a real server: a camera, clients that misbehave, several processes, and the end."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync import client as websockets

from service.access.key_file import add_key
from tests.conftest import ROOT
from tests.e2e.browser import launched, needs_chromium
from tests.e2e.server import Server
from tests.service.conftest import SAMPLES

pytestmark = pytest.mark.slow

IMAGE = (SAMPLES / "file-manager-phone.jpg").read_bytes()
MEBIBYTE = 1 << 20
HANDSHAKE = (
    "GET /ws/detect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(None, log_level="info", keep_alive_timeout=60) as server:
        yield server.wait_until_ready()


def address(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws/detect"


def test_fast_camera_gets_the_newest_images_and_memory_stays_flat(server: Server) -> None:
    with websockets.connect(address(server), proxy=None) as camera:
        for _ in range(5):
            camera.send(IMAGE)
            camera.recv()
        before, sent, answers = server.memory(), 5, []
        end = time.monotonic() + 20
        while time.monotonic() < end:
            camera.send(IMAGE)
            sent += 1
            time.sleep(0.002)
        try:
            while True:
                answers.append(json.loads(camera.recv(timeout=2)))
        except TimeoutError:
            pass
    frames = [answer["frame"] for answer in answers]
    assert frames == sorted(frames)
    assert frames[-1] == sent - 1
    assert len(frames) < sent / 2
    assert all(answer["detections"] for answer in answers)
    assert server.memory() - before < 32 * MEBIBYTE


def send_forever(client: socket.socket, data: bytes) -> NoReturn:
    while True:
        client.sendall(data)


def test_client_that_never_reads_is_cut_off_and_memory_stays_flat(server: Server) -> None:
    """Its answers fill the buffers, then nothing is read, and the ping after 20 s is not answered within 20 s."""
    before = server.memory()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(HANDSHAKE)
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        client.settimeout(60)
        text = b"x" * 100  # each is answered by a problem
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_forever(client, (bytes([0x81, 0x80 | len(text)]) + bytes(4) + text) * 1000)
        assert server.memory() - before < 32 * MEBIBYTE


def test_thousand_silent_clients_do_not_disturb_a_camera(server: Server) -> None:
    before = server.memory()
    with ExitStack() as stack:
        for _ in range(1000):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(HANDSHAKE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
        with websockets.connect(address(server), proxy=None) as camera:
            for number in range(10):
                camera.send(IMAGE)
                assert json.loads(camera.recv())["frame"] == number
        text = server.client.get("/metrics").text
        assert "lineage_live_connections 1000.0" in text
        assert server.memory() - before < 64 * MEBIBYTE


def test_parts_of_huge_messages_never_exceed_the_memory(tmp_path: Path) -> None:
    """200 clients send 8 MiB of a message of 16 MiB, at most 64 MiB are kept."""
    limits = {"max_pending": 64 * MEBIBYTE, "max_body": 64 * MEBIBYTE}
    with Server(None, tmp_path, **limits) as server, ExitStack() as stack:
        server.wait_until_ready()
        before = server.memory()
        part = bytes([0x82, 0xFF]) + (16 * MEBIBYTE).to_bytes(8) + bytes(4) + bytes(8 * MEBIBYTE)
        for _ in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(HANDSHAKE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
            try:
                client.sendall(part)
            except OSError:  # closed with 1013
                continue
        assert server.memory() - before < 160 * MEBIBYTE
        assert server.client.post("/detect", files={"file": IMAGE}).status_code in (200, 503)


@pytest.mark.parametrize("processes", [1, 2])
def test_stop_tells_cameras_to_connect_again(processes: int, tmp_path: Path) -> None:
    with Server(None, tmp_path, processes=processes) as server:
        server.wait_until_ready()
        with ExitStack() as stack:
            cameras = [stack.enter_context(websockets.connect(address(server), proxy=None)) for _ in range(4)]
            for camera in cameras:
                camera.send(IMAGE)
                assert json.loads(camera.recv())["detections"]
            server.process.send_signal(signal.SIGTERM)
            for camera in cameras:
                with pytest.raises(ConnectionClosed) as closed:
                    camera.recv(timeout=20)
                assert closed.value.rcvd.code == 1012
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log


@needs_chromium
def test_snippets_of_the_document_run_in_a_browser(tmp_path: Path) -> None:
    """The first one as written, the second one with the key and the calls of the first."""
    first, second = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "live.md").read_text(encoding="utf-8"), re.DOTALL)
    key = add_key(tmp_path / "keys.json", "page", ("detect",))
    calls = first.partition("\n")[2]
    programs = {None: first.replace("?model=yolov5n", "?model=ui-elements"), key: second + calls}
    for token, program in programs.items():
        with Server(None, tmp_path, **({"keys": tmp_path / "keys.json"} if token else {})) as server:
            server.wait_until_ready()
            program = program.replace("wss://host", "ws://localhost:8000").replace(
                "localhost:8000", f"127.0.0.1:{server.port}"
            )
            with launched() as browser:
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{server.port}/")
                script = f"""([key]) => new Promise((resolve) => {{
                    const canvas = Object.assign(document.createElement("canvas"), {{ width: 64, height: 48 }});
                    canvas.getContext("2d");
                    const console = {{ log: resolve }};
                    {program}
                    socket.onclose = (event) => resolve(event.code);
                }})"""
                answer = page.evaluate(script, [token])
        assert (answer["frame"], answer["width"], answer["height"]) == (0, 64, 48), answer
