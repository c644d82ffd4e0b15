"""CUDA as far as an engine needs it: buffers on both sides, streams, and work that is recorded as a CUDA graph."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda
from numpy.typing import DTypeLike, NDArray

Shape = tuple[int, ...]


class CudaError(RuntimeError):
    """A CUDA function failed."""


def call(function: Callable[..., tuple[Any, ...]], *arguments: object) -> Any:
    """Call a CUDA runtime function, which returns an error code and optionally a result.

    Raises:
        CudaError: it failed.
    """
    code, *result = function(*arguments)
    if code != cuda.cudaError_t.cudaSuccess:
        raise CudaError(f"CUDA: {function.__name__} failed with {code}")
    return result[0] if result else None


class Stream:
    """Work that the GPU does in order, beside that of other streams."""

    def __init__(self) -> None:
        self.handle = call(cuda.cudaStreamCreateWithFlags, cuda.cudaStreamNonBlocking)

    def wait(self) -> None:
        """Wait until all work is done."""
        call(cuda.cudaStreamSynchronize, self.handle)

    def record(self, queue: Callable[[], None]) -> Any:
        """Record the work that `queue` adds instead of doing it. Return a graph to launch, or None if CUDA refuses.

        Calls of other threads are not affected. Work that waits for the GPU in between cannot be recorded.
        """
        call(cuda.cudaStreamBeginCapture, self.handle, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            queue()
            refused = False
        except RuntimeError:
            refused = True
        code, graph = cuda.cudaStreamEndCapture(self.handle)
        if refused or code != cuda.cudaError_t.cudaSuccess:
            cuda.cudaGetLastError()  # clears the error
            return None
        executable = call(cuda.cudaGraphInstantiate, graph, 0)
        call(cuda.cudaGraphDestroy, graph)
        return executable

    def launch(self, graph: object) -> None:
        """Add the work of a recorded graph."""
        call(cuda.cudaGraphLaunch, graph, self.handle)

    def close(self) -> None:
        """Release the stream."""
        call(cuda.cudaStreamDestroy, self.handle)


class Buffer:
    """Memory of a tensor on the GPU, and page-locked memory on the host, which the GPU copies without the CPU."""

    def __init__(self, size: int) -> None:
        self.address = int(call(cuda.cudaMalloc, size))
        self._host = int(call(cuda.cudaMallocHost, size))
        self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self._host))

    def view(self, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
        """Return the start of the host memory as an array."""
        array: NDArray[Any] = self._bytes[: math.prod(shape) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
        return array

    def upload(self, size: int, stream: Stream) -> None:
        """Add a copy of the first bytes from the host to the GPU."""
        self._copy(self.address, self._host, size, cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, stream)

    def download(self, size: int, stream: Stream) -> None:
        """Add a copy of the first bytes from the GPU to the host."""
        self._copy(self._host, self.address, size, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream)

    def close(self) -> None:
        """Free the memory on both sides. Views must not be used again."""
        call(cuda.cudaFree, self.address)
        call(cuda.cudaFreeHost, self._host)

    def _copy(self, target: int, source: int, size: int, kind: object, stream: Stream) -> None:
        call(cuda.cudaMemcpyAsync, target, source, size, kind, stream.handle)
