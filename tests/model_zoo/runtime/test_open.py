"""The runtime that opens a package."""

from __future__ import annotations

import sys

import pytest

from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions, EngineUnavailable
from model_zoo.runtime.onnxruntime import OnnxRuntimeEngine
from model_zoo.runtime.open import open_engine, require_runtime


def test_onnxruntime_is_the_default(toy: Package) -> None:
    assert isinstance(open_engine(toy), OnnxRuntimeEngine)


def test_missing_runtime_is_reported(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.tensorrt", raising=False)
    with pytest.raises(EngineUnavailable, match=r"engine tensorrt: .*yolo-lineage\[gpu\]"):
        require_runtime("tensorrt")
    with pytest.raises(EngineUnavailable, match="engine tensorrt"):
        open_engine(toy, EngineOptions(runtime="tensorrt"))
