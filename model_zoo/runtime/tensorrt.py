"""TensorRT engine: runs the serialized plan `model.engine` of a package.

A plan fits one kind of GPU and one version of TensorRT; build it on the machine that runs it. This engine is
type-checked and tested against stand-ins for the two libraries. It has not been measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import PackageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from model_zoo.contract.manifest import PLAN
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, EngineOptions, EngineUnavailable, Outputs, blank_feeds

try:
    from cuda.bindings import runtime as cuda
    from tensorrt import Logger, Runtime
except ImportError as error:
    raise EngineUnavailable(f"engine tensorrt: {error}; run pip install 'yolo-lineage[gpu]' cuda-bindings") from error

OUTPUTS: Final = {"detections": np.dtype(np.float32), "count": np.dtype(np.int32)}


class TensorRTEngine:
    """One plan with one execution context and one stream: one run at a time."""

    def __init__(self, package: Package, options: EngineOptions) -> None:
        self.card, self.device, self.workers = options.resize(package.card), "tensorrt", 1
        self._runtime = Runtime(Logger(Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(_read_plan(package))
        if self._engine is None:  # TensorRT logs the reason and returns nothing
            raise PackageError(
                f"{package.reference}: {PLAN} was built for another GPU or TensorRT version, or as version-compatible; "
                "build it on this machine, without --plan.version-compatible"
            )
        self._context = self._engine.create_execution_context()
        batch, height, width, _ = self._engine.get_tensor_profile_shape("images", 0)[2]  # the largest
        self.max_batch = min(options.max_batch or batch, batch)
        self._canvas: Size = (height, width)
        if options.image_size and options.image_size != self._canvas:
            sizes = f"runs at {format_size(self._canvas)}; got {format_size(options.image_size)}"
            raise PackageError(f"{package.reference}: {PLAN} {sizes}")
        self._stream = _call(cuda.cudaStreamCreate)
        self._addresses = self._allocate(blank_feeds(self._canvas, batch))

    @property
    def canvases(self) -> Sequence[Size]:
        """The largest size the plan was built for."""
        return [self._canvas]

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch. Copies and inference are queued on one stream, which is synchronized once."""
        self._set_shapes(feeds)
        to_device, to_host = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for name, value in feeds.items():
            self._copy(self._addresses[name], value.ctypes.data, value.nbytes, to_device)
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeError("TensorRT rejected the batch; see its log for the reason")
        rows, counts = (self._empty(name) for name in OUTPUTS)
        for name, value in zip(OUTPUTS, (rows, counts), strict=True):
            self._copy(value.ctypes.data, self._addresses[name], value.nbytes, to_host)
        _call(cuda.cudaStreamSynchronize, self._stream)
        return rows, counts

    def warm_up(self) -> None:
        """Run the smallest and the largest batch."""
        for batch in sorted({1, self.max_batch}):
            self.run(blank_feeds(self._canvas, batch))

    def close(self) -> None:
        """Free the device memory."""
        for address in self._addresses.values():
            _call(cuda.cudaFree, address)
        _call(cuda.cudaStreamDestroy, self._stream)
        del self._context, self._engine, self._runtime

    def _allocate(self, largest: Feeds) -> dict[str, int]:
        """Allocate device memory for the largest shape of every tensor and bind it to the context."""
        self._set_shapes(largest)
        sizes = {name: value.nbytes for name, value in largest.items()}
        sizes |= {name: self._empty(name).nbytes for name in OUTPUTS}
        addresses = {name: int(_call(cuda.cudaMalloc, size)) for name, size in sizes.items()}
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)
        return addresses

    def _set_shapes(self, feeds: Feeds) -> None:
        for name, value in feeds.items():
            if not self._context.set_input_shape(name, value.shape):
                raise RuntimeError(f"{name}: the plan rejects shape {value.shape}; build it with a larger profile")

    def _empty(self, name: str) -> NDArray[Any]:
        """Allocate host memory for an output, whose shape follows from the input shapes."""
        shape = tuple(self._context.get_tensor_shape(name))
        if any(side < 0 for side in shape):
            raise RuntimeError(f"{name}: expected a fixed output shape, as the graph contract defines; got {shape}")
        return np.empty(shape, OUTPUTS[name])

    def _copy(self, target: int, source: int, size: int, kind: object) -> None:
        _call(cuda.cudaMemcpyAsync, target, source, size, kind, self._stream)


def load(package: Package, options: EngineOptions) -> Engine:
    """Load the plan of a package.

    Raises:
        PackageError: the package has no plan, or one that does not fit this machine.
    """
    return TensorRTEngine(package, options)


def _read_plan(package: Package) -> bytes:
    try:
        return (package.path / PLAN).read_bytes()
    except FileNotFoundError as error:
        raise PackageError(f"{package.reference}: has no {PLAN}; export it with --format tensorrt") from error


def _call(function: Callable[..., tuple[Any, ...]], *arguments: object) -> Any:
    """Call a CUDA runtime function, which returns an error code and optionally a result."""
    code, *result = function(*arguments)
    if code != cuda.cudaError_t.cudaSuccess:
        raise RuntimeError(f"CUDA: {function.__name__} failed with {code}")
    return result[0] if result else None
