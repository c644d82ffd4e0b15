"""Server reflection, as clients without the description of the services ask for it."""

from __future__ import annotations

import pytest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")
reflection_pb2 = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2", reason="needs the extra grpc")

from google.protobuf.descriptor_pb2 import FileDescriptorProto  # ty: ignore[missing-module-member]  # made when imported

from service.api.oip.grpc.protobuf import SERVICE
from service.api.oip.grpc.reflection import NAMES
from tests.service.grpc_server import GrpcClient


@pytest.mark.parametrize("name", NAMES)
def test_services_are_listed_and_described(server: GrpcClient, name: str) -> None:
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="cars"),
    ]
    stub = server.channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    services, described, unknown = stub(iter(questions), timeout=30)
    assert {SERVICE, "grpc.health.v1.Health"} <= {service.name for service in services.list_services_response.service}
    [file] = map(FileDescriptorProto.FromString, described.file_descriptor_response.file_descriptor_proto)
    assert "ModelInfer" in [method.name for method in file.service[0].method]
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_damaged_questions_are_refused(server: GrpcClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(server.channel.stream_stream(f"/{NAMES[0]}/ServerReflectionInfo")(iter([b"\x0a\xff"]), timeout=30))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
