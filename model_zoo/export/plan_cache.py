"""Plans that were built before. Building one takes TensorRT minutes, and gives what it gave the last time.

A plan is kept in the cache folder as `plans/<digest>.plan`: a line of JSON, then the plan. The line says all that the
plan depends on (library and version, GPU or compute capabilities, sha256 of the model file, options) and the plan's
sha256; the file's name is a digest of the former. What does not fit its line is not used but built again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model_zoo.cache_folder import cache_folder
from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import file_sha256
from model_zoo.export.errors import ExportError
from model_zoo.export.tensorrt import RTX, PlanOptions, Progress, build_plan, input_sides, keep, library

Needs = dict[str, Any]  # all that a plan depends on, as JSON has it


def plan_for(model: Path, card: ModelCard, options: PlanOptions, progress: Progress = lambda _: None) -> bytes:
    """Return the serialized plan of a model file: the one that was built before, or a new one, which is kept.

    ExportError where there is no TensorRT, where TensorRT 10 finds no GPU, or as `build_plan` raises it.
    """
    trt = library(options)
    target = ", ".join(options.compute_capabilities) or "any" if trt.__name__ == RTX else _gpu()
    needs = {
        "library": f"{trt.__name__} {trt.__version__}",
        "target": target,
        "model": file_sha256(model),
        "options": _options(card, options),
    }
    path = cache_folder() / "plans" / f"{_digest(needs)}.plan"
    plan = _kept(path, needs)
    if plan:
        progress(f"found in the cache, built before with {needs['library']} for {target}: {path}")
        return plan
    plan = build_plan(model, card, _with_timings(trt, options, target), progress)
    line = json.dumps({"needs": needs, "sha256": hashlib.sha256(plan).hexdigest()})
    keep(path, progress, line.encode() + b"\n", plan)
    return plan


def _options(card: ModelCard, options: PlanOptions) -> Needs:
    """Return the options that a plan depends on, those left to the card as the card has them."""
    heights, widths = input_sides(card, options)
    chosen = asdict(replace(options, heights=heights, widths=widths, timing_cache=None))
    return dict(json.loads(json.dumps(chosen)))


def _digest(needs: Needs) -> str:
    return hashlib.sha256(json.dumps(needs, sort_keys=True).encode()).hexdigest()


def _kept(path: Path, needs: Needs) -> bytes | None:
    """Read a kept plan; None where there is none or where it is not whole."""
    try:
        line, _, plan = path.read_bytes().partition(b"\n")
        expected = {"needs": needs, "sha256": hashlib.sha256(plan).hexdigest()}
        return plan if json.loads(line) == expected else None
    except (OSError, ValueError):
        return None


def _with_timings(trt: Any, options: PlanOptions, gpu: str) -> PlanOptions:
    """Keep what TensorRT 10 measures of a GPU, unless a file is named for it."""
    if trt.__name__ == RTX or options.timing_cache:
        return options
    of = f"{trt.__version__}-{gpu}".replace(" ", "-").replace("/", "-")
    return replace(options, timing_cache=cache_folder() / "plans" / f"timings-{of}")


def _gpu() -> str:
    """Name the GPU that TensorRT 10 builds on: its kind and compute capability."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise ExportError(
            "--format tensorrt needs the package cuda-bindings beside tensorrt: pip install it"
        ) from error
    code, found = runtime.cudaGetDeviceProperties(0)
    if code != runtime.cudaError_t.cudaSuccess:
        raise ExportError(
            f"TensorRT builds on the GPU that will run the plan, and there is none ({code.name}); for one that is "
            "elsewhere, TensorRT-RTX builds with --plan.compute-capabilities"
        )
    return f"{found.name.decode()} {found.major}.{found.minor}"
