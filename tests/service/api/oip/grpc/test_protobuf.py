"""The description of the protocol, compared with its source and with that of a client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc", reason="needs the extra grpc")

from service.api.errors import BadRequest
from service.api.oip.grpc import protobuf

SOURCE = protobuf.COMPILED.with_suffix(".proto")


def test_compiled_description_is_that_of_the_source(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools")
    target = tmp_path / "compiled.binpb"
    command = ["-m", "grpc_tools.protoc", f"-I{SOURCE.parent}", f"--descriptor_set_out={target}", str(SOURCE)]
    subprocess.run([sys.executable, *command], check=True)
    assert target.read_bytes() == protobuf.COMPILED.read_bytes(), "run: make proto"


def described(kind: Any) -> dict[str, tuple[int, int, bool, str]]:
    """Return number, type, repetition and message of each field."""
    return {
        f.name: (f.number, f.type, f.is_repeated, f.message_type.full_name if f.message_type else "")
        for f in kind.fields
    }


def all_messages(kinds: Any) -> list[Any]:
    return [found for kind in kinds for found in (kind, *all_messages(kind.nested_types))]


def test_messages_are_those_that_clients_send() -> None:
    pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
    from google.protobuf import descriptor_pool

    ours = protobuf.POOL.FindServiceByName(protobuf.SERVICE).file
    messages = all_messages(ours.message_types_by_name.values())
    assert len(messages) > 40
    for kind in messages:
        theirs = described(descriptor_pool.Default().FindMessageTypeByName(kind.full_name))
        assert {name: theirs.get(name) for name in described(kind)} == described(kind), kind.full_name
    for kind in ours.enum_types_by_name.values():
        theirs = descriptor_pool.Default().FindEnumTypeByName(kind.full_name)
        assert theirs.values_by_name.keys() == kind.values_by_name.keys()
        assert all(theirs.values_by_name[name].number == value.number for name, value in kind.values_by_name.items())


def test_damaged_bytes_are_a_bad_request() -> None:
    request = protobuf.message("ModelInferRequest")()
    with pytest.raises(BadRequest, match=r"type inference\.ModelInferRequest; its bytes are damaged"):
        protobuf.parse(request, b"\x0a\xff\xff")
