"""The standard health service."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2", reason="needs the extra grpc")

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.api.oip.grpc import handlers
from service.api.oip.grpc.protobuf import SERVICE
from tests.service.grpc_server import GrpcClient, GrpcServer, refused

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
STATUS = health_pb2.HealthCheckResponse


def ask(service: str) -> bytes:
    return bytes(health_pb2.HealthCheckRequest(service=service).SerializeToString())


@pytest.mark.parametrize("service", ["", SERVICE])
def test_known_services_are_serving(server: GrpcClient, service: str) -> None:
    assert STATUS.FromString(server.call(CHECK, ask(service)).result()).status == STATUS.SERVING


def test_unknown_services_are_not_found(server: GrpcClient) -> None:
    code, text = refused(server.call(CHECK, ask("cars")))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"expected the service {SERVICE} or none; got 'cars'")
    watching = server.channel.unary_stream(WATCH, response_deserializer=STATUS.FromString)(ask("cars"))
    assert next(watching).status == STATUS.SERVICE_UNKNOWN
    watching.cancel()


def test_watchers_leave_calls_to_others(server: GrpcClient) -> None:
    watch = server.channel.unary_stream(WATCH)
    with ExitStack() as watching:
        for _ in range(handlers.MAX_OPEN):
            call = watch(b"")
            watching.callback(call.cancel)
            next(call)
        for path in (WATCH, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            code, text = refused(server.call(path, b""))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "streams of health and reflection are open" in text
        assert server.call(CHECK, b"").result()


def test_damaged_questions_are_refused(server: GrpcClient) -> None:
    assert refused(server.call(CHECK, b"\x0a\xff"))[0] == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        next(server.channel.unary_stream(WATCH)(b"\x0a\xff"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_watchers_learn_of_the_end(toy_package: Package) -> None:
    with GrpcServer(Repository(toy_package.path.parents[1]), drain_seconds=3600) as server:
        server.wait_until_ready()
        watching = server.channel.unary_stream(WATCH, response_deserializer=STATUS.FromString)(ask(""))
        assert next(watching).status == STATUS.SERVING
        server.signal(signal.SIGTERM)
        assert next(watching).status == STATUS.NOT_SERVING
        assert STATUS.FromString(server.call(CHECK, ask("")).result()).status == STATUS.NOT_SERVING
        assert not server.ask("ServerReady").ready
        assert server.ask("ServerLive").live
        server.signal(signal.SIGTERM)
        assert list(watching) == []
