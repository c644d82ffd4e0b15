"""The TensorRT engine against stand-ins for TensorRT and the CUDA runtime.

The stand-ins keep device memory in host memory, so that copies and addresses are real. TensorRT-RTX shares this part of
the interface and installs without a GPU: it confirms that the called functions exist.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions, EngineUnavailable, Outputs
from tests.service.conftest import flat
from tests.service.fake_engine import FakeEngine
from tests.tiny_onnx import toy_card

DTYPES = {"images": np.uint8, "detections": np.float32, "count": np.int32}


class Logger:
    WARNING = 2

    def __init__(self, level: int) -> None:
        assert level == self.WARNING


class Cuda(ModuleType):
    """A stand-in for the CUDA runtime, with host memory."""

    cudaError_t = SimpleNamespace(cudaSuccess=0)  # noqa: N815 - as there
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815 - as there

    def __init__(self) -> None:
        super().__init__("runtime")
        self.memory: dict[int, Any] = {}
        self.streams = 0
        self.failing = False

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        self.streams += 1
        return 0, 7

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        assert stream == 7
        self.streams -= 1
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        assert stream == 7
        return (2 if self.failing else 0,)

    def cudaMalloc(self, size: int) -> tuple[int, int]:  # noqa: N802 - name in the CUDA runtime
        buffer = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        del self.memory[address]
        return (0,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802 - name in the CUDA runtime
        on_device = target if kind == 1 else source
        assert size <= len(self.memory[on_device]), "a copy must not pass the end of its buffer"
        ctypes.memmove(target, source, size)
        return (0 if stream == 7 else 1,)


class Plan:
    """Engine and execution context of a plan for 1 to 4 images of 64 x 64. Computes the results of `FakeEngine`."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.works = True

    def create_execution_context(self) -> Plan:
        return self

    def get_tensor_profile_shape(self, name: str, _: int) -> list[tuple[int, ...]]:
        assert name == "images"
        return [(1, 64, 64, 3), (4, 64, 64, 3), (4, 64, 64, 3)]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = self.shapes["images"][0]
        return (batch, 1, 6) if name == "detections" else (batch,)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        feeds = {name: self._view(name, shape) for name, shape in self.shapes.items()}
        for name, value in zip(("detections", "count"), FakeEngine(toy_card()).run(feeds), strict=True):
            self._view(name, self.get_tensor_shape(name))[:] = value
        return self.works and stream == 7

    def _view(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(DTYPES.get(name, np.float32))
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer((ctypes.c_char * size).from_address(self.addresses[name]), dtype).reshape(shape)


@pytest.fixture
def plan() -> Plan:
    return Plan()


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, plan: Plan, cuda: Cuda) -> Iterator[ModuleType]:
    """The engine module, imported with the stand-ins."""
    library, bindings = ModuleType("tensorrt"), ModuleType("cuda.bindings")
    read = {b"plan": plan, b"of another machine": None}
    library.Logger = Logger
    library.Runtime = lambda _: SimpleNamespace(deserialize_cuda_engine=read.get)
    bindings.runtime = cuda
    for name, module in {"tensorrt": library, "cuda": ModuleType("cuda"), "cuda.bindings": bindings}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.tensorrt", raising=False)
    yield importlib.import_module("model_zoo.runtime.tensorrt")
    sys.modules.pop("model_zoo.runtime.tensorrt")


def publish(repository: Repository, folder: Path, plan: bytes | None = b"plan") -> Package:
    files = {"model.onnx": folder / "model.onnx"} | ({"model.engine": folder / "plan"} if plan else {})
    for path in files.values():
        path.write_bytes(plan or b"")
    return repository.publish(toy_card(), files)


def run(engine: Any, *reds: int) -> Outputs:
    card = toy_card()
    items = [pipeline.preprocess(card, flat(red)) for red in reds]
    queries = [pipeline.make_query(card, score=0.1 + n / 10) for n in range(len(reds))]
    outputs: Outputs = engine.run(pipeline.collate(items, queries))
    return outputs


def test_batches_run_on_the_device(tensorrt: ModuleType, cuda: Cuda, repository: Repository, tmp_path: Path) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions())
    assert (engine.workers, engine.max_batch, list(engine.canvases)) == (1, 4, [(64, 64)])
    engine.warm_up()
    for reds in ((50,), (10, 20, 30, 40), (60, 70)):
        rows, counts = run(engine, *reds)
        assert rows[:, 0, 0].tolist() == list(reds)
        assert rows[:, 0, 4] == pytest.approx([0.1 + n / 10 for n in range(len(reds))])
        assert counts.tolist() == [1] * len(reds)
    assert len(cuda.memory) == 6
    engine.close()
    assert (cuda.memory, cuda.streams) == ({}, 0)


def test_batch_is_limited_by_the_plan(tensorrt: ModuleType, repository: Repository, tmp_path: Path) -> None:
    package = publish(repository, tmp_path)
    assert tensorrt.load(package, EngineOptions(max_batch=2)).max_batch == 2
    assert tensorrt.load(package, EngineOptions(max_batch=64)).max_batch == 4
    with pytest.raises(RuntimeError, match="larger profile"):
        run(tensorrt.load(package, EngineOptions()), 1, 2, 3, 4, 5)


def test_library_errors_are_raised(
    tensorrt: ModuleType, cuda: Cuda, plan: Plan, repository: Repository, tmp_path: Path
) -> None:
    engine = tensorrt.load(publish(repository, tmp_path), EngineOptions())
    plan.works = False
    with pytest.raises(RuntimeError, match="rejected the batch"):
        run(engine, 1)
    plan.works = True
    cuda.failing = True
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
        (real.ICudaEngine, "create_execution_context"),
        (real.ICudaEngine, "get_tensor_profile_shape"),
        (real.IExecutionContext, "set_input_shape"),
        (real.IExecutionContext, "get_tensor_shape"),
        (real.IExecutionContext, "set_tensor_address"),
        (real.IExecutionContext, "execute_async_v3"),
    ):
        assert callable(getattr(owner, name))
    assert real.Logger.WARNING
