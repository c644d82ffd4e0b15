"""Messages between a front end and the engine host, on a Unix socket.

A message is a JSON object, with bytes behind it. Their lengths come first. The images of a connection are not part of
its messages: they lie in memory that both processes map. Its descriptor travels with the first message.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from model_zoo.contract import errors, typed_json
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package, open_package
from model_zoo.runtime.base import EngineOptions, EngineUnavailable
from model_zoo.runtime.choice import Choice

Document = dict[str, Any]
HEAD: Final = struct.Struct("!II")
_ERRORS: Final = {
    kind.__name__: kind
    for kind in (*vars(errors).values(), EngineUnavailable)
    if isinstance(kind, type) and issubclass(kind, LineageError)
}


class RemoteError(Exception):
    """An unexpected error in the engine host."""


def pack(document: Mapping[str, object], data: bytes = b"") -> bytes:
    """Return a message."""
    text = json.dumps(document).encode()
    return HEAD.pack(len(text), len(data)) + text + data


def receive(connection: socket.socket) -> tuple[Document, bytes]:
    """Read a message from a blocking socket.

    Raises:
        ConnectionError: the other process has ended.
    """
    text, data = HEAD.unpack(_receive(connection, HEAD.size))
    return json.loads(_receive(connection, text)), _receive(connection, data)


def receive_first(connection: socket.socket) -> tuple[Document, int]:
    """Read the first message of a connection, and the descriptor of its memory.

    Raises:
        ConnectionError: the other process has ended, or sent no descriptor.
    """
    head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, 1)
    if not descriptors:
        raise ConnectionError("expected a descriptor with the first message; got none")
    try:
        text, _ = HEAD.unpack(head + _receive(connection, HEAD.size - len(head)))
        return json.loads(_receive(connection, text)), descriptors[0]
    except BaseException:
        os.close(descriptors[0])
        raise


async def read(reader: asyncio.StreamReader) -> Document:
    """Read a message without bytes in an event loop.

    Raises:
        asyncio.IncompleteReadError: the other process has ended.
    """
    text, _ = HEAD.unpack(await reader.readexactly(HEAD.size))
    return dict(json.loads(await reader.readexactly(text)))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (part := connection.recv(size - len(data))):
            raise ConnectionError("the engine process has ended")
        data += part
    return bytes(data)


def describe_error(error: Exception) -> Document:
    """Return the answer to a request that failed."""
    return {"error": type(error).__name__, "message": str(error)}


def raise_error(answer: Document) -> None:
    """Raise the error that an answer describes. The kinds that users can fix keep their type.

    Raises:
        LineageError: the engine cannot be opened.
        RemoteError: anything else failed.
    """
    if name := answer.get("error"):
        raise _ERRORS[name](answer["message"]) if name in _ERRORS else RemoteError(f"{name}: {answer['message']}")


def describe_package(package: Package) -> Document:
    """Return where to find a package."""
    return {"folder": str(package.path.absolute()), "name": package.name, "version": package.version}


def find_package(document: Document) -> Package:
    """Open the package of a document.

    Raises:
        PackageError: it is gone or damaged.
    """
    return open_package(Path(document["folder"]), document["name"], document["version"])


def parse_options(document: Document) -> EngineOptions:
    """Return the options of a document that `asdict` made."""
    return EngineOptions(**typed_json.read_fields(EngineOptions, document))


def parse_choice(document: Document) -> Choice:
    """Return the choice of a document that `asdict` made."""
    return Choice(**typed_json.read_fields(Choice, document))
