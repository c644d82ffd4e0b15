"""Messages of the protocol, from its compiled description `proto/inference.binpb`.

They have a pool of descriptors of their own: a client in the same process brings messages of the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from service.api.errors import BadRequest
from service.api.oip.grpc.wire import check_parts

PACKAGE: Final = "inference"
SERVICE: Final = f"{PACKAGE}.GRPCInferenceService"
COMPILED: Final = Path(__file__).parents[1] / "proto" / "inference.binpb"
POOL: Final = DescriptorPool()


def message(name: str) -> Any:
    """Return the class of a message, such as ModelInferRequest."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse(target: Any, data: bytes) -> None:
    """Read a message from its bytes into `target`.

    Raises:
        BadRequest: they are no such message, or have too many parts.
    """
    check_parts(target.DESCRIPTOR, data)
    try:
        target.MergeFromString(data)
    except DecodeError as error:
        raise BadRequest(f"expected a message of type {target.DESCRIPTOR.full_name}; its bytes are damaged") from error


def load_description() -> bytes:
    """Return the description of the protocol: a serialized FileDescriptorProto."""
    [file] = FileDescriptorSet.FromString(COMPILED.read_bytes()).file
    description: bytes = file.SerializeToString()
    return description


POOL.AddSerializedFile(load_description())
