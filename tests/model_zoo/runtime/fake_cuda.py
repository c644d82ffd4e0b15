"""A stand-in for the CUDA runtime: device memory is host memory, and work is done when a stream is waited for."""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SUCCESS, FAILED, CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED = 0, 2, 900, 901
UPLOAD, DOWNLOAD = 1, 2
Work = Callable[[], None]


class Stream:
    """Queued work, and the work that is recorded instead while the stream is capturing."""

    def __init__(self) -> None:
        self.pending: list[Work] = []
        self.recorded: list[Work] | None = None
        self.invalid = False


class FakeCuda(ModuleType):
    """Names and results are those of `cuda.bindings.runtime`. `calls` has what was queued, launched and waited for."""

    cudaError_t = SimpleNamespace(cudaSuccess=SUCCESS)  # noqa: N815 - as there
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=UPLOAD, cudaMemcpyDeviceToHost=DOWNLOAD)  # noqa: N815 - as there
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")  # noqa: N815 - as there
    cudaStreamNonBlocking = 1  # noqa: N815 - as there

    def __init__(self) -> None:
        super().__init__("runtime")
        self.device: dict[int, Any] = {}
        self.host: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.calls: list[tuple[object, ...]] = []
        self.failing: set[str] = set()
        self.last_error = SUCCESS
        self.barrier: threading.Barrier | None = None
        self._handles = itertools.count(7)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and name in super().__getattribute__("failing"):
            return _failing(name)
        return super().__getattribute__(name)

    def queue(self, stream: int, call: tuple[object, ...], work: Work) -> None:
        owner = self.streams[stream]
        if owner.recorded is None:
            self.calls.append(call)
            owner.pending.append(work)
        else:
            owner.recorded.append(work)

    def is_invalid(self, stream: int) -> bool:
        return self.streams[stream].invalid

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        assert flags == self.cudaStreamNonBlocking
        handle = next(self._handles)
        self.streams[handle] = Stream()
        return SUCCESS, handle

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        del self.streams[stream]
        return (SUCCESS,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        owner = self.streams[stream]
        if owner.recorded is not None:
            owner.invalid, self.last_error = True, CAPTURE_UNSUPPORTED
            return (CAPTURE_UNSUPPORTED,)
        if self.barrier:
            self.barrier.wait()
        self.calls.append(("wait",))
        for work in owner.pending:
            work()
        owner.pending.clear()
        return (SUCCESS,)

    def cudaStreamBeginCapture(self, stream: int, mode: str) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        assert mode == "thread"
        self.streams[stream].recorded = []
        return (SUCCESS,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802 - name in the CUDA runtime
        owner = self.streams[stream]
        recorded, invalid = owner.recorded, owner.invalid
        owner.recorded, owner.invalid = None, False
        return (CAPTURE_INVALIDATED, None) if invalid else (SUCCESS, recorded)

    def cudaGetLastError(self) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        error, self.last_error = self.last_error, SUCCESS
        return (error,)

    def cudaGraphInstantiate(self, graph: list[Work], flags: int) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        assert flags == 0
        handle = next(self._handles)
        self.graphs[handle] = graph
        return SUCCESS, handle

    def cudaGraphDestroy(self, graph: list[Work]) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        assert isinstance(graph, list)
        return (SUCCESS,)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        del self.graphs[graph]
        return (SUCCESS,)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        self.queue(stream, ("launch",), lambda: [work() for work in self.graphs[graph]] and None)
        return (SUCCESS,)

    def cudaMalloc(self, size: int) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        return SUCCESS, _allocate(self.device, size)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        del self.device[address]
        return (SUCCESS,)

    def cudaMallocHost(self, size: int) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        return SUCCESS, _allocate(self.host, size)

    def cudaFreeHost(self, address: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        del self.host[address]
        return (SUCCESS,)

    def cudaMemcpy(self, target: int, source: int, size: int, kind: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        assert kind == UPLOAD
        assert size <= len(self.device[target]), "a copy must not pass the end of its buffer"
        ctypes.memmove(target, source, size)
        return (SUCCESS,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        device, host = (target, source) if kind == UPLOAD else (source, target)
        assert size <= len(self.device[device]), "a copy must not pass the end of its buffer"
        assert size <= len(self.host[host]), "only page-locked memory is copied without waiting"
        name = "upload" if kind == UPLOAD else "download"
        self.queue(stream, (name, size), lambda: ctypes.memmove(target, source, size) and None)
        return (SUCCESS,)


def install_cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Replace the CUDA runtime until the end of a test, for modules that are imported from now on."""
    cuda, bindings = FakeCuda(), ModuleType("cuda.bindings")
    bindings.runtime = cuda  # type: ignore[attr-defined]
    for name, module in {"cuda": ModuleType("cuda"), "cuda.bindings": bindings}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.cuda", raising=False)
    return cuda


def _allocate(memory: dict[int, Any], size: int) -> int:
    buffer = ctypes.create_string_buffer(size)
    memory[ctypes.addressof(buffer)] = buffer
    return ctypes.addressof(buffer)


def _failing(name: str) -> Callable[..., tuple[int, None]]:
    def fail(*_: object) -> tuple[int, None]:
        return FAILED, None

    fail.__name__ = name
    return fail
