"""Calls of raw bytes, and a server with gRPC in a thread of this process. Importing it needs the extra `grpc`.

Event loops of one process share a thread of gRPC, so only one such server may run at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import grpc
import numpy as np
from httpx2 import Client

from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import OpenEngine
from model_zoo.runtime.open import open_engine
from service.api.oip.grpc.protobuf import SERVICE, message
from service.deploy import grpc_server
from service.deploy.uvicorn import create_server, listen
from service.settings import Settings

PATIENCE = 30.0
Metadata = Sequence[tuple[str, str]]


class GrpcClient:
    """Calls methods of a server, whose HTTP side `http` asks."""

    def __init__(self, address: str, http: Client) -> None:
        self.address, self.http, self.channel = address, http, grpc.insecure_channel(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def wait_until_ready(self) -> Self:
        end = time.monotonic() + PATIENCE
        while not self.ask("ServerReady").ready:
            assert time.monotonic() < end
            time.sleep(0.005)
        return self

    def call(self, method: str, data: bytes, metadata: Metadata = (), **options: Any) -> Any:
        """Start a call of raw bytes."""
        stub = self.channel.unary_unary(method if "/" in method else f"/{SERVICE}/{method}")
        return stub.future(data, timeout=PATIENCE, metadata=metadata, wait_for_ready=True, **options)

    def ask(self, method: str, metadata: Metadata = (), **fields: Any) -> Any:
        """Return the answer to a message."""
        answer = message(f"{method}Response")()
        request = message(f"{method}Request")(**fields).SerializeToString()
        answer.MergeFromString(self.call(method, request, metadata).result())
        return answer

    def stream(self, requests: Iterator[Any], metadata: Metadata = ()) -> Iterator[Any]:
        """Yield the answers to the requests of a stream."""
        stub = self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
            response_deserializer=message("ModelStreamInferResponse").FromString,
        )
        return stub(requests, timeout=PATIENCE, metadata=metadata)

    def metrics(self) -> str:
        return self.http.get("/metrics").text


class GrpcServer(GrpcClient):
    """Runs in the block. `signal` delivers a signal."""

    def __init__(self, repository: Repository, open_engine: OpenEngine = open_engine, **settings: Any) -> None:
        options = Settings(repository=repository.root, port=0, grpc_port=0, **settings)
        self._server, self._socket = create_server(options, open_engine), listen(options)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        [listener] = self._server._listeners
        assert isinstance(listener, grpc_server.GrpcServer)
        end = time.monotonic() + PATIENCE
        while not listener.port:
            assert time.monotonic() < end
            time.sleep(0.005)
        http = Client(base_url=f"http://127.0.0.1:{self._socket.getsockname()[1]}", timeout=PATIENCE)
        super().__init__(f"127.0.0.1:{listener.port}", http)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        super().__exit__()
        self._server.should_exit = True
        self.wait()
        self._socket.close()

    def signal(self, number: int) -> None:
        self._server.handle_exit(number, None)

    def wait(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return code and text of a call that must be refused."""
    error = call.exception(PATIENCE)
    assert error is not None
    return error.code(), error.details()


def files_request(*files: bytes, model: str = "toy", **fields: Any) -> Any:
    """Return a request with encoded images."""
    request = message("ModelInferRequest")(model_name=model, **fields)
    request.inputs.add(name="image", datatype="BYTES", shape=[len(files)])
    request.raw_input_contents.append(b"".join(len(file).to_bytes(4, "little") + file for file in files))
    return request


def outputs_of(answer: Any) -> dict[str, np.ndarray]:
    """Return the tensors of an answer."""
    types = {"FP32": "<f4", "INT32": "<i4"}
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return {tensor.name: np.frombuffer(data, types[tensor.datatype]).reshape(tensor.shape) for tensor, data in pairs}
