"""TensorRT engine: runs the serialized plan `model.engine` of a package.

A plan fits one kind of GPU and one version of TensorRT; build it on the machine that runs it. Each worker has a lane: a
stream and page-locked buffers of its own, so that one batch is copied while another one is computed.

The warm-up records single images and full batches as CUDA graphs, which take one launch each. Plans that wait for the
GPU within a run cannot be recorded, and run in the ordinary way.

This engine is type-checked and tested against stand-ins for the two libraries. It has not been measured on a GPU.
"""

from __future__ import annotations

import logging
import math
from itertools import product
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from model_zoo.contract.errors import PackageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.letterbox import Size
from model_zoo.contract.manifest import PLAN
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import GPU_WORKERS, Engine, EngineOptions, EngineUnavailable, Outputs, blank_feeds
from model_zoo.runtime.choice import Choice

try:
    from cuda.bindings import runtime as cuda
    from tensorrt import ExecutionContextAllocationStrategy, Logger, Runtime

    from model_zoo.runtime.cuda import Buffer, Shape, Stream, call
except ImportError as error:
    raise EngineUnavailable(f"engine tensorrt: {error}; run pip install 'yolo-lineage[gpu]' cuda-bindings") from error

OUTPUTS: Final = {"detections": np.dtype(np.float32), "count": np.dtype(np.int32)}
LOG = logging.getLogger(__name__)


class TensorRTEngine:
    """One plan with a lane for each worker."""

    def __init__(self, package: Package, options: EngineOptions) -> None:
        self.card, self.device, self.choice = options.resize(package.card), "tensorrt", Choice()
        self.workers = options.workers or GPU_WORKERS
        self._runtime = Runtime(Logger(Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(_read_plan(package))
        if self._engine is None:  # TensorRT logs the reason and returns nothing
            raise PackageError(
                f"{package.reference}: {PLAN} was built for another GPU or TensorRT version, or as version-compatible; "
                "build it on this machine, without --plan.version-compatible"
            )
        smallest, _, largest = (tuple(shape) for shape in self._engine.get_tensor_profile_shape("images", 0))
        self.max_batch = min(options.max_batch or largest[0], largest[0])
        if options.image_size and not _between(options.image_size, smallest, largest):
            sizes = f"runs at {format_size(largest[1:3])}; got {format_size(options.image_size)}"
            raise PackageError(f"{package.reference}: {PLAN} {sizes}")
        fitting = [size for size in options.canvases(self.card) if _between(size, smallest, largest)]
        self.canvases: list[Size] = fitting or [(largest[1], largest[2])]
        blank = blank_feeds((largest[1], largest[2]), largest[0])
        self._record = options.cuda_graphs
        self._lanes = [Lane(self._engine, blank) for _ in range(self.workers)]
        self._idle: SimpleQueue[Lane] = SimpleQueue()
        for lane in self._lanes:
            self._idle.put(lane)

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch on a lane that is idle."""
        lane = self._idle.get()
        try:
            return lane.run(feeds)
        finally:
            self._idle.put(lane)

    def warm_up(self) -> None:
        """Run single images and full batches of every canvas on every lane, and record them as CUDA graphs."""
        for lane, size, batch in product(self._lanes, self.canvases, sorted({1, self.max_batch})):
            feeds = blank_feeds(size, batch)
            lane.run(feeds)
            if self._record and not lane.record(feeds):
                self._record = False
                LOG.info(f"{self.card.name}: CUDA cannot record this plan; its kernels are launched one by one")

    def close(self) -> None:
        """Free the memory."""
        for lane in self._lanes:
            lane.close()
        del self._lanes, self._idle, self._engine, self._runtime


class Lane:
    """A stream with buffers for the largest batch: one run at a time.

    A recorded run is copies and kernels as one CUDA graph. It keeps a context of its own, because the shapes of its
    context must not change. All contexts of a lane share the memory for activations.
    """

    def __init__(self, engine: Any, largest: Feeds) -> None:
        self._engine, self._stream = engine, Stream()
        self._memory = call(cuda.cudaMalloc, max(engine.device_memory_size_v2, 1))
        self._recorded: dict[Shape, tuple[Any, Any]] = {}  # by shape of the images: context and graph
        self._buffers: dict[str, Buffer] = {}
        self._context = self._new_context()
        _set_shapes(self._context, largest)
        sizes = {name: value.nbytes for name, value in largest.items()}
        sizes |= {name: _output_bytes(self._context, name) for name in OUTPUTS}
        self._buffers |= {name: Buffer(size) for name, size in sizes.items()}
        self._bind(self._context)

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch: fill the page-locked memory, do all else on the stream, and wait for it once."""
        context, graph = self._recorded.get(feeds["images"].shape, (self._context, None))
        if graph is None:
            _set_shapes(context, feeds)
        for name, value in feeds.items():
            np.copyto(self._buffers[name].view(value.shape, value.dtype), value)
        if graph is None:
            self._queue(context, feeds)
        else:
            self._stream.launch(graph)
        self._stream.wait()
        views = (self._buffers[name].view(_output_shape(context, name), OUTPUTS[name]) for name in OUTPUTS)
        rows, counts = (view.copy() for view in views)
        return rows, counts

    def record(self, feeds: Feeds) -> bool:
        """Record the run of a shape for later runs. Return False if the plan cannot be recorded."""
        context = self._new_context()
        self._bind(context)
        _set_shapes(context, feeds)
        self._queue(context, feeds)  # TensorRT prepares itself in the first run of a shape
        self._stream.wait()
        graph = self._stream.record(lambda: self._queue(context, feeds))
        if graph is not None:
            self._recorded[feeds["images"].shape] = context, graph
        return graph is not None

    def close(self) -> None:
        """Free the memory."""
        for _, graph in self._recorded.values():
            call(cuda.cudaGraphExecDestroy, graph)
        self._recorded.clear()
        del self._context, self._engine
        for buffer in self._buffers.values():
            buffer.close()
        call(cuda.cudaFree, self._memory)
        self._stream.close()

    def _new_context(self) -> Any:
        context = self._engine.create_execution_context(ExecutionContextAllocationStrategy.USER_MANAGED)
        context.set_device_memory(int(self._memory), self._engine.device_memory_size_v2)
        return context

    def _bind(self, context: Any) -> None:
        for name, buffer in self._buffers.items():
            context.set_tensor_address(name, buffer.address)

    def _queue(self, context: Any, feeds: Feeds) -> None:
        """Add a run to the stream: upload, kernels, download."""
        for name, value in feeds.items():
            self._buffers[name].upload(value.nbytes, self._stream)
        if not context.execute_async_v3(int(self._stream.handle)):
            raise RuntimeError("TensorRT rejected the batch; see its log for the reason")
        for name in OUTPUTS:
            self._buffers[name].download(_output_bytes(context, name), self._stream)


def _set_shapes(context: Any, feeds: Feeds) -> None:
    for name, value in feeds.items():
        if not context.set_input_shape(name, value.shape):
            raise RuntimeError(f"{name}: the plan rejects shape {value.shape}; build it with a larger profile")


def _output_bytes(context: Any, name: str) -> int:
    return math.prod(_output_shape(context, name)) * OUTPUTS[name].itemsize


def _output_shape(context: Any, name: str) -> Shape:
    """Return the shape of an output, which follows from the input shapes."""
    shape = tuple(context.get_tensor_shape(name))
    if any(side < 0 for side in shape):
        raise RuntimeError(f"{name}: expected a fixed output shape, as the graph contract defines; got {shape}")
    return shape


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


def _between(size: Size, smallest: Shape, largest: Shape) -> bool:
    """Return True if a canvas lies between two shapes of images (B, H, W, 3)."""
    return all(low <= side <= high for low, side, high in zip(smallest[1:3], size, largest[1:3], strict=True))
