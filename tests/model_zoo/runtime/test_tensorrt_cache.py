"""Folders of the engines that TensorRT builds inside ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo.runtime import tensorrt_cache
from model_zoo.runtime.tensorrt_cache import cache_options

PROFILE = {"trt_profile_max_shapes": "images:8x640x640x3"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    return tmp_path / "cache"


def test_engines_of_a_file_are_kept(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    options = cache_options(tmp_path / "model.onnx", PROFILE)
    assert options == cache_options(b"weights", PROFILE)
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert options["trt_timing_cache_path"] == str(cache / "plans" / "onnxruntime")
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"


def test_other_weights_shapes_and_libraries_have_other_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [cache_options(*key)["trt_engine_cache_path"] for key in ((b"a", PROFILE), (b"b", PROFILE), (b"a", {}))]
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.16"))
    folders.append(cache_options(b"a", PROFILE)["trt_engine_cache_path"])
    monkeypatch.setattr(tensorrt_cache.ort, "__version__", "2.0")
    folders.append(cache_options(b"a", PROFILE)["trt_engine_cache_path"])
    assert len(set(folders)) == 5


def test_unusable_folder_disables_the_cache(cache: Path) -> None:
    cache.write_text("a file in its place")
    assert cache_options(b"a", PROFILE) == {}
