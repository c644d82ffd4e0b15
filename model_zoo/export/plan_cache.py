"""Cache of TensorRT plans, which take TensorRT 10 minutes to build.

A plan is stored in the cache folder as `plans/<digest>.plan`: a line of JSON, then the plan. The line has the plan's
key (library and version, GPU or compute capabilities, SHA-256 of the model file, options) and its SHA-256. The file
name is a digest of the key. An entry that does not match its line is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model_zoo.contract.cache_folder import cache_folder
from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import file_sha256
from model_zoo.export.errors import ExportError
from model_zoo.export.log import Log, silent
from model_zoo.export.tensorrt import RTX, PlanOptions, build_plan, import_tensorrt, input_sides, write_cache_file

PlanKey = dict[str, Any]  # everything a plan depends on, as JSON


def build_or_load_plan(model: Path, card: ModelCard, options: PlanOptions, log: Log = silent) -> bytes:
    """Return the serialized plan of a model file, from the cache if possible.

    Raises:
        ExportError: TensorRT is not installed, finds no GPU, or cannot build the plan.
    """
    trt = import_tensorrt(options)
    target = ", ".join(options.compute_capabilities) or "any" if trt.__name__ == RTX else _gpu()
    key = {
        "library": f"{trt.__name__} {trt.__version__}",
        "target": target,
        "model": file_sha256(model),
        "options": _plan_options(card, options),
    }
    path = cache_folder() / "plans" / f"{_digest(key)}.plan"
    plan = _load(path, key)
    if plan:
        log(f"loaded from the cache, built with {key['library']} for {target}: {path}")
        return plan
    plan = build_plan(model, card, _with_timing_cache(trt, options, target), log)
    line = json.dumps({"key": key, "sha256": hashlib.sha256(plan).hexdigest()})
    write_cache_file(path, log, line.encode() + b"\n", plan)
    return plan


def _plan_options(card: ModelCard, options: PlanOptions) -> PlanKey:
    """Return the options that a plan depends on, with the card's defaults filled in."""
    heights, widths = input_sides(card, options)
    resolved = asdict(replace(options, heights=heights, widths=widths, timing_cache=None))
    return dict(json.loads(json.dumps(resolved)))


def _digest(key: PlanKey) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _load(path: Path, key: PlanKey) -> bytes | None:
    """Return a cached plan, or None if it is missing or damaged."""
    try:
        line, _, plan = path.read_bytes().partition(b"\n")
        expected = {"key": key, "sha256": hashlib.sha256(plan).hexdigest()}
        return plan if json.loads(line) == expected else None
    except (OSError, ValueError):
        return None


def _with_timing_cache(trt: Any, options: PlanOptions, gpu: str) -> PlanOptions:
    """Add a timing cache file for the GPU and TensorRT 10, unless the options have one."""
    if trt.__name__ == RTX or options.timing_cache:
        return options
    suffix = f"{trt.__version__}-{gpu}".replace(" ", "-").replace("/", "-")
    return replace(options, timing_cache=cache_folder() / "plans" / f"timings-{suffix}")


def _gpu() -> str:
    """Return name and compute capability of the GPU that TensorRT 10 builds on."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise ExportError(
            "--format tensorrt requires the package cuda-bindings besides tensorrt. Install it with pip"
        ) from error
    code, properties = runtime.cudaGetDeviceProperties(0)
    if code != runtime.cudaError_t.cudaSuccess:
        raise ExportError(
            f"expected the GPU that will run the plan, because TensorRT builds on it; got none ({code.name}). "
            "For a GPU of another machine, build with TensorRT-RTX and --plan.compute-capabilities"
        )
    return f"{properties.name.decode()} {properties.major}.{properties.minor}"
