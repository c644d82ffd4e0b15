"""The TensorRT engine against stand-ins for TensorRT and the CUDA runtime.

The stand-ins keep device memory in host memory, so that copies and addresses are real. Work is done when a stream is
waited for. TensorRT-RTX shares this part of the interface and installs without a GPU. It confirms that the functions
exist.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, EngineUnavailable, Outputs
from tests.model_zoo.runtime.fake_cuda import FakeCuda, install_cuda
from tests.service.conftest import flat
from tests.service.fake_engine import FakeEngine
from tests.tiny_onnx import toy_card

DTYPES = {"images": np.uint8, "detections": np.float32, "count": np.int32}
SUCCESS = 0


class Logger:
    WARNING = 2

    def __init__(self, level: int) -> None:
        assert level == self.WARNING


class Plan:
    """A plan for 1 to 4 images of 32 to 64 pixels that computes the results of `FakeEngine`."""

    device_memory_size_v2 = 1000

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.works, self.waits = cuda, True, False
        self.contexts: list[Context] = []
        self.smallest = 64

    def create_execution_context(self, strategy: str) -> Context:
        assert strategy == "user managed"
        self.contexts.append(Context(self))
        return self.contexts[-1]

    def get_tensor_profile_shape(self, name: str, _: int) -> list[tuple[int, ...]]:
        assert name == "images"
        return [(1, self.smallest, self.smallest, 3), (4, 64, 64, 3), (4, 64, 64, 3)]


class Context:
    """An execution context. Its kernels are queued on the stream like copies."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory = 0

    def set_device_memory(self, address: int, size: int) -> None:
        assert len(self.plan.cuda.device[address]) >= size
        self.memory = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = self.shapes["images"][0]
        return (batch, 1, 6) if name == "detections" else (batch,)

    def set_tensor_address(self, name: str, address: int) -> None:
        assert address in self.plan.cuda.device
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert self.memory
        if self.plan.waits:
            self.plan.cuda.cudaStreamSynchronize(stream)
        self.plan.cuda.queue(stream, ("run", self.shapes["images"][0]), self._compute)
        return self.plan.works and not self.plan.cuda.is_invalid(stream)

    def _compute(self) -> None:
        feeds = {name: self._view(name, shape) for name, shape in self.shapes.items()}
        for name, value in zip(("detections", "count"), FakeEngine(toy_card()).run(feeds), strict=True):
            self._view(name, self.get_tensor_shape(name))[:] = value

    def _view(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(DTYPES.get(name, np.float32))
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer((ctypes.c_char * size).from_address(self.addresses[name]), dtype).reshape(shape)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return install_cuda(monkeypatch)


@pytest.fixture
def plan(cuda: FakeCuda) -> Plan:
    return Plan(cuda)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> Iterator[ModuleType]:
    """The engine module, imported with the stand-ins."""
    library = ModuleType("tensorrt")
    library.Logger = Logger
    library.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
    library.Runtime = lambda _: SimpleNamespace(
        deserialize_cuda_engine={b"plan": plan, b"of another machine": None}.get
    )
    monkeypatch.setitem(sys.modules, "tensorrt", library)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.tensorrt", raising=False)
    yield importlib.import_module("model_zoo.runtime.tensorrt")
    sys.modules.pop("model_zoo.runtime.tensorrt")


def publish(
    repository: Repository, folder: Path, plan: bytes | None = b"plan", card: ModelCard | None = None
) -> Package:
    files = {"model.onnx": folder / "model.onnx"} | ({"model.engine": folder / "plan"} if plan else {})
    for path in files.values():
        path.write_bytes(plan or b"")
    return repository.publish(card or toy_card(), files)


def run(engine: Any, *reds: int) -> Outputs:
    card = toy_card()
    items = [pipeline.preprocess(card, flat(red)) for red in reds]
    queries = [pipeline.make_query(card, score=0.1 + n / 10) for n in range(len(reds))]
    outputs: Outputs = engine.run(pipeline.collate(items, queries))
    return outputs


def test_batches_run_on_the_device(
    tensorrt: ModuleType, cuda: FakeCuda, repository: Repository, tmp_path: Path
) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions())
    assert (engine.workers, engine.max_batch, list(engine.canvases)) == (2, 4, [(64, 64)])
    engine.warm_up()
    for reds in ((50,), (10, 20, 30, 40), (60, 70)):
        rows, counts = run(engine, *reds)
        assert rows[:, 0, 0].tolist() == list(reds)
        assert rows[:, 0, 4] == pytest.approx([0.1 + n / 10 for n in range(len(reds))])
        assert counts.tolist() == [1] * len(reds)
    assert (len(cuda.device), len(cuda.host), len(cuda.streams)) == (2 * 7, 2 * 6, 2)
    engine.close()
    assert (cuda.device, cuda.host, cuda.streams, cuda.graphs) == ({}, {}, {}, {})


def test_results_stay_valid_after_later_runs(tensorrt: ModuleType, repository: Repository, tmp_path: Path) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions(workers=1))
    first, _ = run(engine, 50)
    run(engine, 90)
    assert first[0, 0, 0] == 50


def test_copies_and_kernels_are_queued_and_waited_for_once(
    tensorrt: ModuleType, cuda: FakeCuda, repository: Repository, tmp_path: Path
) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions(cuda_graphs=False))
    engine.warm_up()
    cuda.calls.clear()
    run(engine, 1, 2)
    kinds = [call[0] for call in cuda.calls]
    assert kinds == ["upload"] * 4 + ["run"] + ["download"] * 2 + ["wait"]
    assert not cuda.graphs


def test_batches_run_at_the_same_time_on_streams_of_their_own(
    tensorrt: ModuleType, cuda: FakeCuda, repository: Repository, tmp_path: Path
) -> None:
    """Both runs are on the GPU before either is finished, else the barrier would break."""
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions(cuda_graphs=False))
    cuda.barrier = threading.Barrier(2, timeout=10)
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda red: run(engine, red)[0][0, 0, 0], (30, 60)))
    assert results == [30, 60]


def test_single_images_and_full_batches_are_launched_as_graphs(
    tensorrt: ModuleType, cuda: FakeCuda, plan: Plan, repository: Repository, tmp_path: Path
) -> None:
    plan.smallest = 32
    card = dataclasses.replace(toy_card(), shapes="buckets", stride=16)
    engine = tensorrt.load(publish(repository, tmp_path, card=card), EngineOptions(workers=1))
    canvases = len(engine.canvases)
    assert canvases > 1
    engine.warm_up()
    assert len(cuda.graphs) == 2 * canvases
    assert len(plan.contexts) == 1 + 2 * canvases, "the shapes of a recorded context must not change"
    for reds, calls in (((1,), ["launch", "wait"]), ((5, 6, 7, 8), ["launch", "wait"])):
        cuda.calls.clear()
        rows, _ = run(engine, *reds)
        assert [call[0] for call in cuda.calls] == calls
        assert rows[:, 0, 0].tolist() == list(reds)
    cuda.calls.clear()
    assert run(engine, 5, 6)[0][:, 0, 0].tolist() == [5, 6]
    assert ("run", 2) in cuda.calls


def test_plan_that_cannot_be_recorded_runs_in_the_ordinary_way(
    tensorrt: ModuleType,
    cuda: FakeCuda,
    plan: Plan,
    repository: Repository,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a loop over data may: its condition is read on the host."""
    plan.waits = True
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions())
    with caplog.at_level("INFO"):
        engine.warm_up()
    assert caplog.text.count("CUDA cannot record this plan") == 1
    assert (cuda.graphs, cuda.last_error) == ({}, SUCCESS)
    assert run(engine, 70)[0][0, 0, 0] == 70


def test_batch_is_limited_by_the_plan(tensorrt: ModuleType, repository: Repository, tmp_path: Path) -> None:
    package = publish(repository, tmp_path)
    assert tensorrt.load(package, EngineOptions(max_batch=2)).max_batch == 2
    assert tensorrt.load(package, EngineOptions(max_batch=64)).max_batch == 4
    with pytest.raises(RuntimeError, match="larger profile"):
        run(tensorrt.load(package, EngineOptions()), 1, 2, 3, 4, 5)


def test_size_outside_the_plan_is_refused(tensorrt: ModuleType, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="runs at 64 x 64; got 96 x 96"):
        tensorrt.load(publish(repository, tmp_path), EngineOptions(image_size=(96, 96)))


def test_library_errors_are_raised(
    tensorrt: ModuleType, cuda: FakeCuda, plan: Plan, repository: Repository, tmp_path: Path
) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions())
    plan.works = False
    with pytest.raises(RuntimeError, match="rejected the batch"):
        run(engine, 1)
    plan.works = True
    cuda.failing.add("cudaStreamSynchronize")
    with pytest.raises(RuntimeError, match="cudaStreamSynchronize failed with 2"):
        run(engine, 1)


def test_missing_or_incompatible_plan_is_refused(tensorrt: ModuleType, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"has no model\.engine"):
        tensorrt.load(publish(repository, tmp_path, None), EngineOptions())
    with pytest.raises(PackageError, match="built for another GPU"):
        tensorrt.load(publish(repository, tmp_path, b"of another machine"), EngineOptions())


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.tensorrt", raising=False)
    with pytest.raises(EngineUnavailable, match=r"yolo-lineage\[gpu\]"):
        importlib.import_module("model_zoo.runtime.tensorrt")


def test_tensorrt_has_the_called_functions() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    for owner, name in (
        (real.Runtime, "deserialize_cuda_engine"),
        (real.IExecutionContext, "set_device_memory"),
        (real.ICudaEngine, "create_execution_context"),
        (real.ICudaEngine, "get_tensor_profile_shape"),
        (real.IExecutionContext, "set_input_shape"),
        (real.IExecutionContext, "get_tensor_shape"),
        (real.IExecutionContext, "set_tensor_address"),
        (real.IExecutionContext, "execute_async_v3"),
    ):
        assert callable(getattr(owner, name))
    assert real.Logger.WARNING
    assert real.ExecutionContextAllocationStrategy.USER_MANAGED
    assert real.ICudaEngine.device_memory_size_v2
