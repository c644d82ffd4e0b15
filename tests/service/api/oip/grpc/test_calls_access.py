"""API keys of calls: where they are accepted, what they open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")

from grpc import StatusCode

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key
from tests.service.app_client import png
from tests.service.conftest import flat
from tests.service.grpc_server import GrpcClient, GrpcServer, files_request, refused

RED = png(flat(255))
TOKENS: dict[str, str] = {}


@pytest.fixture(scope="module")
def guarded(toy_package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServer]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    TOKENS.update(user=add_key(path, "user", ("detect",)), operator=add_key(path, "operator", ("admin",)))
    with GrpcServer(Repository(toy_package.path.parents[1]), keys=path) as server:
        yield server.wait_until_ready()


def bearer(name: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {TOKENS[name]}")]


def test_keys_open_what_they_open_over_http(guarded: GrpcServer) -> None:
    data = files_request(RED).SerializeToString()
    for metadata in ((), [("x-api-key", "wrong")], [("authorization", "Basic abc")]):
        code, text = refused(guarded.call("ModelInfer", data, metadata))
        assert code == StatusCode.UNAUTHENTICATED
        assert "expected an API key as Authorization: Bearer KEY or X-Api-Key: KEY" in text
    for metadata in (bearer("user"), [("x-api-key", TOKENS["operator"])]):
        assert guarded.call("ModelInfer", data, metadata).result()
    code, text = refused(guarded.call("RepositoryModelUnload", b"", bearer("user")))
    assert code == StatusCode.PERMISSION_DENIED
    assert "expected a key with the scope admin; user has detect" in text
    assert guarded.ask("RepositoryIndex", bearer("user")).models[0].name == "toy"


def test_probes_need_no_key(guarded: GrpcServer) -> None:
    assert guarded.ask("ServerLive").live
    assert guarded.call("/grpc.health.v1.Health/Check", b"").result() == b"\x08\x01"


def test_streams_need_a_key(guarded: GrpcServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(guarded.stream(iter([files_request(RED)])))
    assert caught.value.code() == StatusCode.UNAUTHENTICATED
    [answer] = guarded.stream(iter([files_request(RED)]), bearer("user"))
    assert not answer.error_message


def test_changes_need_keys_to_exist(server: GrpcClient) -> None:
    code, text = refused(server.call("RepositoryModelLoad", b""))
    assert code == StatusCode.PERMISSION_DENIED
    assert "needs API keys: start the server with --keys FILE" in text
