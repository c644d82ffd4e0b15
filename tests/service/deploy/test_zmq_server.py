"""Frigate's ZeroMQ detector on a real socket, with the requests that Frigate sends."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.app import create_app
from service.deploy.zmq_server import ZmqServer
from service.settings import Settings
from service.state import AppState
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import POISON, GatedEngines

zmq = pytest.importorskip("zmq", reason="needs the extra zmq")
asyncio_zmq = pytest.importorskip("zmq.asyncio", reason="needs the extra zmq")

LOOPBACK = "tcp://127.0.0.1:*"
NONE = bytes(480)
IMAGE = flat(200, 120, 30)
HEADER = json.dumps({"shape": [1, 64, 64, 3], "dtype": "uint8", "model_type": "yolo-generic"}).encode()
Send = Callable[..., Awaitable[bytes]]


@asynccontextmanager
async def listening(
    repository: Repository, open_engine: OpenEngine = open_engine, **settings: object
) -> AsyncIterator[tuple[ZmqServer, AppState, Send]]:
    """Yield a server, its state, and a function that sends frames from a new REQ socket and returns the answer."""
    chosen = Settings(repository=repository.root, **{"zmq": LOOPBACK} | settings)
    app, context = create_app(chosen, open_engine), asyncio_zmq.Context()
    async with app.router.lifespan_context(app) as state:
        service: AppState = state["service"]
        server = ZmqServer(chosen)
        await server.start(service)

        async def send(*frames: bytes) -> bytes:
            with context.socket(zmq.REQ) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.IPV6, int("[" in server.endpoint))
                socket.connect(server.endpoint)
                await socket.send_multipart(frames or [HEADER, IMAGE.tobytes()])
                async with asyncio.timeout(30):
                    return bytes(await socket.recv())

        while service.store.missing():
            await asyncio.sleep(0.005)
        try:
            yield server, service, send
        finally:
            await server.stop()
            context.term()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def rows(answer: bytes) -> np.ndarray:
    return np.frombuffer(answer, np.float32).reshape(20, 6)


def series(state: AppState, code: int) -> float | None:
    labels = {"protocol": "frigate-zmq", "code": str(code)}
    found = [
        sample.value
        for family in state.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "lineage_requests_total" and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


def test_rehearsal_of_frigate(toy: Package) -> None:
    async def test() -> None:
        async with listening(Repository(toy.path.parents[1])) as (_, state, send):
            asked = await send(b'{"model_request": true, "model_name": "yolov9-t.onnx"}')
            assert json.loads(asked) == {"model_available": True, "model_loaded": True}
            found = rows(await send())
            y_max, x_max = (120 + 21.45) / 512, 210 / 512
            expected = [[0, 200 / 255, 15 / 64, 25 / 64, y_max, x_max], [1, 120 / 255, 15 / 64, 25 / 64, y_max, x_max]]
            np.testing.assert_allclose(found[:2], expected, rtol=1e-4)
            assert not found[2:].any()
            planes = (IMAGE.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
            header = json.dumps({"shape": planes.shape, "dtype": "float32"}).encode()
            np.testing.assert_array_equal(rows(await send(header, planes.tobytes())), found)
            assert series(state, 200) == 3

    run(test)


def test_images_of_any_size_are_letterboxed(toy: Package) -> None:
    async def test() -> None:
        async with listening(Repository(toy.path.parents[1])) as (_, _, send):
            wide = flat(200, 120, 30, size=(64, 128))
            header = json.dumps({"shape": [1, 64, 128, 3], "dtype": "uint8"}).encode()
            found = rows(await send(header, wide.tobytes()))
            assert found[0, 0] == 0
            assert (found[:, 2:] >= 0).all()
            assert (found[:, 2:] <= 1).all()

    run(test)


def test_model_is_not_received(toy: Package) -> None:
    async def test() -> None:
        async with listening(Repository(toy.path.parents[1])) as (_, _, send):
            answer = await send(b'{"model_data": true, "model_name": "yolov9-t.onnx"}', bytes(1000))
            assert json.loads(answer) == {"model_saved": False, "model_loaded": True}

    run(test)


def test_every_request_is_answered(repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture) -> None:
    publish("ants")
    publish("bees")
    malformed = [[b""], [b"{}"], [b"x" * 10_000], [HEADER], [HEADER, b"short"], [HEADER, b"", b""], [HEADER] * 20]

    async def test() -> None:
        async with listening(repository, GatedEngines()) as (_, state, send):
            for frames in malformed:
                assert await send(*frames) == NONE
            assert await send() == NONE  # two models, and no default
            asked = await send(b'{"model_request": true}')
            assert json.loads(asked) == {"model_available": True, "model_loaded": False}
            assert (series(state, 400), series(state, 422)) == (len(malformed), 1)

    caplog.set_level(logging.WARNING)
    run(test)
    lines = [r.getMessage() for r in caplog.records if r.name.endswith("frigate.detector.refusals")]
    assert 2 <= len(lines) <= 4  # each kind once per second
    assert "expected JSON such as" in lines[0]


def test_faulty_image_is_answered_and_the_next_one_too(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    engines.gate.set()

    async def test() -> None:
        async with listening(repository, engines) as (_, state, send):
            assert await send(HEADER, flat(POISON).tobytes()) == NONE
            assert series(state, 500) == 1
            assert rows(await send())[0, 1] == pytest.approx(0.4)

    run(test)


def test_slow_requests_block_nobody_and_are_given_up(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()

    async def test() -> None:
        lazy = {"warm_up": False, "verify_on_load": False}
        async with listening(repository, engines, timeout=0.5, **lazy) as (_, state, send):
            slow = [asyncio.create_task(send()) for _ in range(3)]
            while not engines.started:
                await asyncio.sleep(0.005)
            asked = await send(b'{"model_request": true}')
            assert json.loads(asked)["model_loaded"]
            assert not any(task.done() for task in slow)
            assert await asyncio.gather(*slow) == [NONE] * 3
            assert series(state, 504) == 3
            engines.gate.set()

    run(test)


def test_requests_of_clients_that_left_are_canceled(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()

    async def test() -> None:
        async with listening(repository, engines, warm_up=False, verify_on_load=False) as (_, state, send):
            (model,) = state.store.loaded.values()
            running = asyncio.create_task(send())
            while not engines.started:
                await asyncio.sleep(0.005)
            leaving = asyncio.create_task(send())
            while model.waiting != 1:
                await asyncio.sleep(0.005)
            leaving.cancel()  # closes its socket, as Frigate does
            while model.waiting:
                await asyncio.sleep(0.005)
            engines.gate.set()
            assert rows(await running)[0, 1] == pytest.approx(0.4)
            assert (engines.batches, series(state, 499)) == ([1], 1)

    run(test)


def test_accepted_requests_are_answered_at_the_end(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()

    async def test() -> None:
        async with listening(repository, engines, warm_up=False, verify_on_load=False) as (server, _, send):
            asked = asyncio.create_task(send())
            while not engines.started:
                await asyncio.sleep(0.005)
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0.02)
            engines.gate.set()
            assert rows(await asked)[0, 1] == pytest.approx(0.4)
            await stopping
            await server.stop()  # a second time

    run(test)


def test_limits_apply(toy: Package) -> None:
    limits: dict[str, Any] = {"max_body": 100_000, "max_pending": 100_000, "rate_per_address": 0.001, "rate_burst": 2}

    async def test() -> None:
        async with listening(Repository(toy.path.parents[1]), **limits) as (_, state, send):
            state.memory.free = 10_000
            assert await send() == NONE
            state.memory.free = 100_000
            assert await send() != NONE
            assert await send() == NONE
            assert (series(state, 503), series(state, 429)) == (1, 1)
            with pytest.raises(TimeoutError):  # libzmq closes the connection of a message that is too large
                await asyncio.wait_for(send(HEADER, bytes(200_000)), 0.2)

    run(test)


def test_dealer_socket_gets_its_answers_by_its_own_envelope(toy: Package) -> None:
    async def test() -> None:
        async with listening(Repository(toy.path.parents[1])) as (server, _, _):
            context = asyncio_zmq.Context()
            with context.socket(zmq.DEALER) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.connect(server.endpoint)
                for _ in range(8):
                    await socket.send_multipart([HEADER, IMAGE.tobytes()])
                for _ in range(8):
                    assert rows(await socket.recv())[0, 1] > 0.7
            context.term()

    run(test)


@pytest.mark.parametrize("endpoint", [LOOPBACK, "tcp://*:*", "tcp://[::1]:*", "ipc"])
def test_endpoints(toy: Package, tmp_path: Path, endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    if "[" in endpoint and not Path("/proc/net/if_inet6").exists():
        pytest.skip("needs IPv6")
    chosen = f"ipc://{tmp_path}/s" if endpoint == "ipc" else endpoint

    async def test() -> None:
        async with listening(Repository(toy.path.parents[1]), zmq=chosen) as (server, _, send):
            assert re.fullmatch(r"(tcp://.+:\d+|ipc://.+/s)", server.endpoint)
            if "*:" not in endpoint:
                assert rows(await send())[0, 1] > 0.7

    caplog.set_level(logging.INFO)
    run(test)
    assert "listening on " in caplog.text
    assert ("everybody who can reach" in caplog.text) == ("*:" in endpoint)


def test_endpoint_in_use_is_reported(toy: Package) -> None:
    async def test() -> None:
        async with listening(Repository(toy.path.parents[1])) as (server, state, _):
            other = ZmqServer(Settings(zmq=server.endpoint))
            with pytest.raises(OSError, match=r"in use; choose another --zmq"):
                await other.start(state)
            await other.stop()

    run(test)


def test_many_clients_get_their_own_answers_beside_malformed_requests(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    engines.gate.set()

    async def test() -> None:
        async with listening(repository, engines, queue_size=64) as (_, _, send):
            images = [flat(20 + number, number) for number in range(32)]
            good = [send(HEADER, image.tobytes()) for image in images]
            bad = [send(HEADER, b"short") for _ in range(8)]
            answers = await asyncio.gather(*good, *bad)
            corners = [64 * rows(answer)[0, [3, 2]] for answer in answers[:32]]
            assert np.rint(corners).tolist() == [[20 + number, number] for number in range(32)]
            assert answers[32:] == [NONE] * 8

    run(test)
