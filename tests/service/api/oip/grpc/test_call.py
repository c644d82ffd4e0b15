"""Calls without a connection: codes of errors, context, spans."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")

from grpc import StatusCode

from model_zoo.contract import errors as contract
from service.access.access import Access
from service.api import errors as http
from service.api.oip.grpc.call import CODES, Call, Failure, make_scope
from service.api.problems import STATUS_BY_ERROR
from service.inference import errors as inference
from service.inference.memory import MemoryBudget
from service.telemetry.logs import request_id, trace_id
from service.telemetry.metrics import Metrics
from service.telemetry.request import CURRENT_REQUEST, RequestRecord

ERRORS: dict[Exception, StatusCode] = {
    http.BadRequest("x"): StatusCode.INVALID_ARGUMENT,
    http.Unauthorized("x"): StatusCode.UNAUTHENTICATED,
    http.Forbidden("x"): StatusCode.PERMISSION_DENIED,
    contract.PackageNotFound("x"): StatusCode.NOT_FOUND,
    contract.ChangeRefused("x"): StatusCode.FAILED_PRECONDITION,
    contract.ImageTooLarge("x"): StatusCode.INVALID_ARGUMENT,
    contract.UnsupportedImage("x"): StatusCode.INVALID_ARGUMENT,
    contract.QueryError("x"): StatusCode.INVALID_ARGUMENT,
    http.RateLimited("x", 2.5): StatusCode.RESOURCE_EXHAUSTED,
    inference.NotReady("x"): StatusCode.UNAVAILABLE,
    inference.MemoryFull("x"): StatusCode.UNAVAILABLE,
    inference.InferenceQueueFull("x"): StatusCode.UNAVAILABLE,
    inference.DeadlineExceeded("x"): StatusCode.DEADLINE_EXCEEDED,
    http.BodyTooSlow("x"): StatusCode.DEADLINE_EXCEEDED,
    ZeroDivisionError("secret"): StatusCode.INTERNAL,
}
ONLY_HTTP = (406, 426, 431)  # Accept, WebSockets, and the size of a head


class Recorder:
    """A tracer that has one span and keeps what it is given."""

    trace_id = "a" * 32

    def start(self, name: str, attributes: Mapping[str, Any], traceparent: str) -> Recorder:
        self.started = (name, dict(attributes), traceparent)
        return self

    def finish(self, record: RequestRecord, attributes: Mapping[str, Any], *, failed: bool, name: str) -> None:
        self.finished = (record.problem, dict(attributes), failed)


class Rpc:
    """A connection's part of a call."""

    def __init__(self, peer: str, *metadata: tuple[str, str | bytes]) -> None:
        self._peer, self._metadata = peer, metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    yield
    CURRENT_REQUEST.set(None)
    request_id.set("-")
    trace_id.set("")


def make_state(tracer: Recorder | None = None) -> Any:
    settings = SimpleNamespace(timeout=30.0)
    return SimpleNamespace(
        tracer=tracer, metrics=Metrics(), settings=settings, access=Access(), memory=MemoryBudget(100)
    )


def make_call(state: Any, *metadata: tuple[str, str | bytes]) -> Call:
    return Call(state, make_scope(Rpc("ipv4:192.0.2.7:5000", *metadata), "a.Service/Method"))


@pytest.mark.parametrize(("error", "code"), ERRORS.items(), ids=lambda value: type(value).__name__)
def test_errors_have_codes(error: Exception, code: StatusCode) -> None:
    failure = make_call(make_state()).fail(error)
    assert failure.code == code
    assert failure.text == "x" if code != StatusCode.INTERNAL else "secret" not in failure.text
    pushback = dict(failure.metadata).get("grpc-retry-pushback-ms")
    retried = code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED)
    assert pushback == (("2500" if isinstance(error, http.RateLimited) else "1000") if retried else None)


def test_every_status_has_a_code() -> None:
    assert {status for status, _ in STATUS_BY_ERROR.values()} - set(ONLY_HTTP) <= CODES.keys()


def test_long_texts_are_cut() -> None:
    assert len(make_call(make_state()).fail(http.BadRequest("x" * 100_000)).text) == 1000


PEERS = {"ipv4:192.0.2.7:5000": "192.0.2.7", "ipv6:%5B2001:db8::1%5D:5000": "2001:db8::1", "unix:": ""}


@pytest.mark.parametrize(("peer", "host"), PEERS.items(), ids=PEERS)
def test_peers_are_addresses(peer: str, host: str) -> None:
    assert make_scope(Rpc(peer), "a.Service/Method")["client"] == (host, 0)


def test_context_is_that_of_the_metadata() -> None:
    async def run() -> None:
        now = asyncio.get_running_loop().time()
        sent = (("x-request-priority", "low"), ("x-request-id", "7"), ("blob-bin", b"\xff"), ("x-request-timeout", "3"))
        for seconds, expected in ((None, 3), (2.0, 2), (60.0, 3)):
            with make_call(make_state(), *sent) as call:
                context, memory = call.admit("detect", seconds)
                memory.add(100)
                assert context.deadline - now == pytest.approx(expected, abs=1)
                assert (context.client, context.priority, context.request_id) == ("192.0.2.7", "low", "7")
                assert "blob-bin" not in context.metadata

    asyncio.run(run())


def test_memory_is_released_at_the_end() -> None:
    async def run() -> int:
        state = make_state()
        with make_call(state) as call:
            call.admit("detect", None)[1].add(100)
        return int(state.memory.free)

    assert asyncio.run(run()) == 100


def test_span_has_the_attributes_of_the_conventions() -> None:
    tracer = Recorder()
    with make_call(make_state(tracer), ("traceparent", "parent")) as call:
        call.fail(ZeroDivisionError())
    attributes = {"rpc.system.name": "grpc", "rpc.method": "a.Service/Method", "client.address": "192.0.2.7"}
    assert tracer.started == ("a.Service/Method", attributes, "parent")
    assert tracer.finished == ("internal-error", {"rpc.response.status_code": "INTERNAL"}, True)


def test_cancelled_work_is_recorded_as_such() -> None:
    async def run() -> float | None:
        state = make_state()

        async def work() -> Failure:
            with make_call(state) as call:
                return await call.attempt(asyncio.sleep(60))

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        labels = {"protocol": "oip-grpc", "model": "", "version": "", "code": "CANCELLED"}
        value: float | None = state.metrics.registry.get_sample_value("lineage_requests_total", labels)
        return value

    assert asyncio.run(run()) == 1
