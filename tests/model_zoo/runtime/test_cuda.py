"""Buffers, streams and recorded runs, against a stand-in for the CUDA runtime."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from tests.model_zoo.runtime.fake_cuda import SUCCESS, FakeCuda, install_cuda


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return install_cuda(monkeypatch)


@pytest.fixture
def cuda(fake: FakeCuda) -> Iterator[ModuleType]:
    """The module under test, imported with the stand-in."""
    yield importlib.import_module("model_zoo.runtime.cuda")
    sys.modules.pop("model_zoo.runtime.cuda")


def test_buffer_copies_between_host_and_device(cuda: ModuleType, fake: FakeCuda) -> None:
    stream, buffer = cuda.Stream(), cuda.Buffer(16)
    buffer.view((2, 2), np.float32)[:] = [[1, 2], [3, 4]]
    buffer.upload(16, stream)
    stream.wait()
    buffer.view((4,), np.float32)[:] = 0
    buffer.download(8, stream)
    stream.wait()
    assert buffer.view((4,), np.float32).tolist() == [1, 2, 0, 0]
    buffer.close()
    stream.close()
    assert (fake.device, fake.host, fake.streams) == ({}, {}, {})


def test_recorded_work_is_done_when_it_is_launched(cuda: ModuleType, fake: FakeCuda) -> None:
    stream, buffer = cuda.Stream(), cuda.Buffer(4)
    buffer.view((4,), np.uint8)[:] = 7
    graph = stream.record(lambda: buffer.upload(4, stream))
    stream.wait()
    assert bytes(fake.device[buffer.address]) == bytes(4)
    stream.launch(graph)
    stream.wait()
    assert bytes(fake.device[buffer.address]) == b"\7" * 4


@pytest.mark.parametrize("raises", [True, False])
def test_work_that_waits_is_not_recorded_and_leaves_no_error(cuda: ModuleType, fake: FakeCuda, raises: bool) -> None:
    """Whether the library that waits raises an error, or only CUDA notices."""
    stream = cuda.Stream()
    assert stream.record(stream.wait if raises else lambda: fake.cudaStreamSynchronize(stream.handle)) is None
    assert fake.last_error == SUCCESS
    assert stream.record(lambda: None) is not None


def test_failed_call_is_named(cuda: ModuleType, fake: FakeCuda) -> None:
    fake.failing.add("cudaMallocHost")
    with pytest.raises(cuda.CudaError, match="cudaMallocHost failed with 2"):
        cuda.Buffer(4)


def test_cuda_bindings_have_the_called_functions() -> None:
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    for name in [name for name in vars(FakeCuda) if name.startswith("cuda")]:
        assert hasattr(real, name)
