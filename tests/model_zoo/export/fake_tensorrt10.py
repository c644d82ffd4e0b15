"""Fakes of TensorRT 10, which needs a GPU to build, and of the CUDA runtime.

The plan of the fake is the builder's options as JSON. A test checks its calls against TensorRT-RTX, which shares this
part of the API and works without a GPU. Plans of the real library are not tested.
"""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class ILogger:
    Severity = SimpleNamespace(ERROR=1)


class IProgressMonitor:
    pass


class ITimingCache:
    def __init__(self, contents: bytes) -> None:
        self.contents = contents

    def serialize(self) -> bytes:
        return self.contents


class INetworkDefinition:
    inputs = (("images", 4), ("score_threshold", 1), ("iou_threshold", 1), ("distance_weight", 1))
    num_outputs, num_inputs = 2, len(inputs)

    def get_input(self, index: int) -> SimpleNamespace:
        name, axes = self.inputs[index]
        return SimpleNamespace(name=name, shape=(-1,) * axes)


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = list(shapes)


class IBuilderConfig:
    progress_monitor: Any

    def __init__(self, gpu: str) -> None:
        self.options: dict[str, Any] = {}
        self.gpu = gpu.encode()

    def add_optimization_profile(self, profile: IOptimizationProfile) -> None:
        self.options["shapes"] = profile.shapes

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.options[pool] = size

    def set_flag(self, flag: str) -> None:
        self.options[flag] = True

    def create_timing_cache(self, contents: bytes) -> ITimingCache | None:
        return None if contents == b"damaged" else ITimingCache(contents or b"timings of " + self.gpu)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = cache
        return cache.contents.startswith(b"timings of " + self.gpu)

    def get_timing_cache(self) -> ITimingCache:
        return self.timings


class FakeTensorRT10(ModuleType):
    """The library on a machine with a GPU. `builds` counts its builds."""

    ILogger, IProgressMonitor = ILogger, IProgressMonitor
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(VERSION_COMPATIBLE="version compatible")

    def __init__(self) -> None:
        super().__init__("tensorrt")
        self.__version__ = "10.16.1.11"
        self.__spec__ = ModuleSpec("tensorrt", None, origin="fake")
        self.cuda = Cuda()
        self.builds = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bindings = ModuleType("cuda.bindings")
        bindings.runtime = self.cuda
        for name, module in {"tensorrt": self, "cuda": ModuleType("cuda"), "cuda.bindings": bindings}.items():
            monkeypatch.setitem(sys.modules, name, module)

    def OnnxParser(self, _network: INetworkDefinition, _logger: ILogger) -> SimpleNamespace:  # noqa: N802 - the name in TensorRT
        return SimpleNamespace(parse=lambda _: True)

    def Builder(self, _logger: ILogger) -> Builder:  # noqa: N802 - the name in TensorRT
        return Builder(self)


class Builder:
    def __init__(self, library: FakeTensorRT10) -> None:
        self.library = library

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 2
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self.library.cuda.name)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, _network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        self.library.builds += 1
        timings = config.timings.contents
        config.timings = ITimingCache(timings + b", measured")
        return json.dumps({**config.options, "initial timings": timings.decode()}).encode()


class Cuda:
    cudaError_t = SimpleNamespace(cudaSuccess=0)  # noqa: N815 - the name in CUDA

    def __init__(self) -> None:
        self.name = "NVIDIA L4"

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, Any]:  # noqa: N802 - the name in TensorRT
        assert device == 0
        if not self.name:
            return SimpleNamespace(name="cudaErrorNoDevice"), None
        return 0, SimpleNamespace(name=self.name.encode(), major=8, minor=9)
