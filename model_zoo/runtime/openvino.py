"""OpenVINO engine: runs the ONNX file of a package on a CPU, in float32 or bfloat16.

Runs of a fixed size are faster, so each canvas is compiled on its own (docs/adr/0009-canvases.md). Each worker has a
stream of OpenVINO. Streams are not pinned to cores, because the first ones of all canvases would share a core.
OpenVINO's cache is not used: a damaged file in it gives wrong detections without an error.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Final

from loky import cpu_count

from model_zoo.contract.card import METADATA_KEY, ModelCard, Precision
from model_zoo.contract.errors import PackageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import (
    Compute,
    Engine,
    EngineOptions,
    EngineUnavailable,
    Outputs,
    blank_feeds,
    check_batch,
    check_card,
)
from model_zoo.runtime.choice import Choice
from model_zoo.runtime.int8 import adapt_int8
from model_zoo.runtime.thread_budget import THREAD_BUDGET

try:
    # Without this package, which sends usage data at the import, OpenVINO has no telemetry.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino as ov
except ImportError as error:
    raise EngineUnavailable("provider openvino: run pip install 'yolo-lineage[openvino]'") from error

HINTS: Final[dict[Compute, str]] = {"auto": "f32", "fp32": "f32", "bf16": "bf16"}  # its own default may be bfloat16


class OpenVINOEngine:
    """One model on the CPU. A canvas is compiled at its first run, unless the engine was warmed up."""

    def __init__(self, package: Package, options: EngineOptions) -> None:
        self.card = options.resize(package.card)
        self.choice = Choice("openvino", "bf16" if options.compute == "bf16" else "fp32")
        self.device = "openvino bf16" if self.choice.compute == "bf16" else "openvino"
        self.canvases = options.canvases(self.card)
        self._label, self._threads = package.reference, options.threads
        self._model = read_model(package.model_path, label=self._label, precision=package.card.precision)
        check_card(package, _card(self._model))
        fixed_batch = self._model.input("images").partial_shape[0] == 1
        self.workers = options.workers or int(cpu_count())
        self.max_batch = 1 if fixed_batch else options.max_batch or 1
        self._networks: dict[Size, Network] = {}
        self._compiling = Lock()

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch.

        Raises:
            LineageError: The batch is larger than `max_batch`.
            PackageError: OpenVINO cannot compile the canvas.
        """
        check_batch(feeds, self.max_batch)
        network = self._network((feeds["images"].shape[1], feeds["images"].shape[2]))
        with nullcontext() if self._threads else THREAD_BUDGET.run():
            return network.run(feeds)

    def warm_up(self) -> None:
        """Run every canvas with the smallest and the largest batch."""
        for size in self.canvases:
            for batch in sorted({1, self.max_batch}):
                self._network(size).run(blank_feeds(size, batch))

    def close(self) -> None:
        """Free the memory."""
        self._networks.clear()
        del self._model

    def _network(self, size: Size) -> Network:
        if size not in self._networks:
            with self._compiling:
                if size not in self._networks:
                    self._networks[size] = Network(
                        compile_model(
                            self._model,
                            label=self._label,
                            size=size,
                            max_batch=self.max_batch,
                            streams=self.workers,
                            threads=self._threads or 1,
                            compute=self.choice.compute,
                        )
                    )
        return self._networks[size]


class Network:
    """A compiled canvas. Each run in flight has a request, which holds its activations."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: deque[Any] = deque()

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch, and return copies of the outputs."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        outputs = request.infer(dict(feeds), share_inputs=True)
        self._idle.append(request)
        return outputs["detections"], outputs["count"]


def load(package: Package, options: EngineOptions) -> Engine:
    """Load a package.

    Raises:
        PackageError: OpenVINO cannot load the file, or it does not belong to the package's card.
    """
    return OpenVINOEngine(package, options)


def read_model(model: Path | bytes, *, label: str = "model", precision: Precision = "fp32") -> Any:
    """Return OpenVINO's form of an ONNX file, given as path or contents. Activations of int8 files are adapted.

    Raises:
        PackageError: OpenVINO cannot load it.
    """
    contents = adapt_int8(model, "openvino") if precision == "int8" else model
    try:
        return _core().read_model(contents)
    except RuntimeError as error:
        raise PackageError(f"{label}: OpenVINO cannot load it: {_reason(error)}") from error


def compile_model(
    model: Any,
    *,
    label: str = "model",
    size: Size | None = None,
    max_batch: int = 1,
    streams: int = 1,
    threads: int = 1,
    compute: Compute = "auto",
) -> Any:
    """Compile a model that `read_model` returned. The result can be called with feeds.

    Args:
        model: The model. It does not change.
        label: Name of the model in error messages.
        size: Canvas (height, width). None leaves all shapes as they are in the file.
        max_batch: Max batch size of the canvas. 1 fixes the batch.
        streams: Runs at the same time.
        threads: Threads of each run.
        compute: Precision of float32 layers.

    Raises:
        PackageError: OpenVINO cannot compile it.
    """
    config = {
        "INFERENCE_PRECISION_HINT": HINTS[compute],
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(threads * streams),
        "ENABLE_CPU_PINNING": "NO",
    }
    shaped = model.clone()
    try:
        if size:
            batch = ov.Dimension(1, max_batch)
            shapes = {port: [batch, *size, 3] if "images" in port.names else [batch] for port in shaped.inputs}
            shaped.reshape({port: ov.PartialShape(shape) for port, shape in shapes.items()})
        return _core().compile_model(shaped, "CPU", config)
    except RuntimeError as error:
        raise PackageError(f"{label}: OpenVINO cannot compile it: {_reason(error)}") from error


@functools.cache
def _core() -> Any:
    return ov.Core()


def _card(model: Any) -> ModelCard:
    """Return the card in the metadata of a model.

    Raises:
        CardError: there is no card, or it is invalid.
    """
    path = ["framework", METADATA_KEY]
    return ModelCard.from_metadata(
        {METADATA_KEY: model.get_rt_info(path).astype(str)} if model.has_rt_info(path) else {}
    )


def _reason(error: RuntimeError) -> str:
    """Return the lines of a message as one."""
    return " ".join(str(error).split())
