"""Cache of what TensorRT builds inside ONNX Runtime, which takes minutes.

ONNX Runtime names the engine of a graph by its structure and the GPU. Two versions of a model that differ in their
weights alone would share it, so each file has a folder of its own. Measurements of kernels are shared.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from model_zoo.contract.cache_folder import cache_folder


def cache_options(model: Path | bytes, profile: Mapping[str, str]) -> dict[str, str]:
    """Return the provider's options for a model file and its shapes, or none if the folder cannot be used."""
    folder = cache_folder() / "plans" / "onnxruntime"
    try:
        engines = folder / _digest(model, profile)
        engines.mkdir(parents=True, exist_ok=True)
    except OSError:  # it is built at every start
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def _digest(model: Path | bytes, profile: Mapping[str, str]) -> str:
    contents = model if isinstance(model, bytes) else model.read_bytes()
    tensorrt = getattr(sys.modules.get("tensorrt"), "__version__", "")
    key = [hashlib.sha256(contents).hexdigest(), dict(profile), ort.__version__, tensorrt]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
