"""Server reflection: the description of the services, for clients such as grpcurl."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from service.api.errors import BadRequest
from service.api.oip.grpc import health
from service.api.oip.grpc.calls import Calls
from service.api.oip.grpc.protobuf import SERVICE, load_description, parse

# Both versions have the same messages.
NAMES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def make_reflection() -> aio.ReflectionServicer:
    """Return what describes the services of the server."""
    pool = DescriptorPool()
    for description in (
        load_description(),
        health_pb2.DESCRIPTOR.serialized_pb,
        reflection_pb2.DESCRIPTOR.serialized_pb,
    ):
        pool.AddSerializedFile(description)
    return aio.ReflectionServicer([SERVICE, health.NAME, NAMES[1]], pool)


async def reflect(servicer: aio.ReflectionServicer, calls: Calls, _: object, rpc: ServicerContext) -> None:
    """Answer the questions of a stream."""
    try:
        async for answer in servicer.ServerReflectionInfo(_questions(calls, rpc), rpc):
            await rpc.write(answer.SerializeToString())
    except BadRequest as error:
        await rpc.abort(StatusCode.INVALID_ARGUMENT, str(error))


async def _questions(calls: Calls, rpc: ServicerContext) -> AsyncIterator[Any]:
    async for data in calls.messages(rpc):
        question = reflection_pb2.ServerReflectionRequest()
        parse(question, data)
        yield question
