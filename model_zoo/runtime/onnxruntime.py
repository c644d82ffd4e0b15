"""ONNX Runtime engine: CPU, CUDA and TensorRT behind one code path with IO binding.

On CPU, a single in-flight run uses all cores where that is faster; concurrent runs use one thread each
(docs/adr/0006-cores.md). Engines with a given number of threads do not count as concurrent. A session has a fixed
number of threads, so the engine keeps two. They run all canvases (docs/adr/0009-canvases.md); other providers have a
session per canvas. The batch is dynamic where batching pays, on GPUs. Workers share a session and its weights; all
sessions share one arena for activations.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from threading import Lock
from typing import Any, Final

from loky import cpu_count

from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime import sessions
from model_zoo.runtime.base import (
    GPU_WORKERS,
    Engine,
    EngineOptions,
    EngineUnavailable,
    Outputs,
    Provider,
    blank_feeds,
    check_batch,
    check_card,
)
from model_zoo.runtime.choice import Choice
from model_zoo.runtime.thread_budget import THREAD_BUDGET, ThreadChoice, all_cores

GPU_BATCH: Final = 8
LOG = logging.getLogger(__name__)


class OnnxRuntimeEngine:
    """One model on one device. On the CPU, two sessions: one thread, or `threads` for runs without overlap."""

    def __init__(self, package: Package, options: EngineOptions, provider: Provider) -> None:
        on_cpu = provider == "cpu"
        self.card = options.resize(package.card)
        self.choice, self.device = Choice(provider), str(provider)
        self.workers = options.workers or (cpu_count() if on_cpu else GPU_WORKERS)
        self.max_batch = options.max_batch or (1 if on_cpu else GPU_BATCH)
        self.canvases = options.canvases(self.card, few=not on_cpu)
        self._any_size = on_cpu and len(self.canvases) > 1
        self.threads = options.threads or (all_cores() if on_cpu else 1)
        self._shared_threads, self._fixed_threads = options.threads or 1, options.threads is not None
        self._thread_choice = ThreadChoice()
        self._package = package
        self._sessions: dict[tuple[Size | None, int], Any] = {}
        self._making = Lock()
        for threads in {self._shared_threads, self.threads}:
            self._session(self.card.input_size, threads)

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch of a known canvas size.

        Raises:
            LineageError: The batch is larger than `max_batch`.
        """
        check_batch(feeds, self.max_batch)
        size = (feeds["images"].shape[1], feeds["images"].shape[2])
        with nullcontext(False) if self._fixed_threads else THREAD_BUDGET.run() as may_use_all:
            if not may_use_all or self.threads == self._shared_threads:
                return _run(self._session(size, self._shared_threads), feeds)
            use_all, started = self._thread_choice.choose(), time.perf_counter()
            outputs = _run(self._session(size, self.threads if use_all else self._shared_threads), feeds)
            self._thread_choice.record(use_all, (time.perf_counter() - started) / feeds["images"].size)
            return outputs

    def warm_up(self) -> None:
        """Run every canvas and number of threads with the smallest and the largest batch."""
        for size in [self.card.input_size] if self._any_size else self.canvases:
            for threads in {self._shared_threads, self.threads}:
                for batch in sorted({1, self.max_batch}):
                    _run(self._session(size, threads), blank_feeds(size, batch))

    def close(self) -> None:
        """Release the sessions."""
        self._sessions.clear()

    def _session(self, size: Size, threads: int) -> Any:
        """Return the session for a canvas. It is made at its first use, unless the engine was warmed up."""
        key = (None if self._any_size else size, threads)
        if key not in self._sessions:
            with self._making:
                if key not in self._sessions:
                    self._sessions[key] = self._make_session(*key)
        return self._sessions[key]

    def _make_session(self, size: Size | None, threads: int) -> Any:
        session = sessions.make_session(
            self._package.model_path,
            label=self._package.reference,
            provider=self.choice.provider,
            threads=threads,
            size=size,
            max_batch=self.max_batch,
            precision=self._package.card.precision,
        )
        check_card(self._package, sessions.session_card(session))
        if session.get_inputs()[0].shape[0] == 1:  # a network that was exported with a fixed batch
            self.max_batch = 1
        return session


def load(package: Package, options: EngineOptions) -> Engine:
    """Load a package. Provider `auto` uses CUDA where it works and the CPU otherwise. OpenVINO has its own engine.

    `auto` never selects TensorRT, which takes minutes to build its engines.

    Raises:
        EngineUnavailable: the requested provider does not work on this machine.
        PackageError: ONNX Runtime cannot load the file, or it does not belong to the package's card.
    """
    if options.provider == "openvino":
        from model_zoo.runtime import openvino  # it may not be installed

        return openvino.load(package, options)
    if options.provider != "auto":
        return OnnxRuntimeEngine(package, options, options.provider)
    if sessions.is_available("cuda"):
        try:
            return OnnxRuntimeEngine(package, options, "cuda")
        except EngineUnavailable as error:
            LOG.warning("%s; falling back to the CPU", error)
    return OnnxRuntimeEngine(package, options, "cpu")


def _run(session: Any, feeds: Feeds) -> Outputs:
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    for name in ("detections", "count"):
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    rows, counts = binding.copy_outputs_to_cpu()
    return rows, counts
