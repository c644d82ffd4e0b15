"""Build a TensorRT plan from an exported ONNX file, with the API that TensorRT 10 and TensorRT-RTX share.

Networks are strongly typed, so the builder keeps the precision of the file. TensorRT 10 builds on the GPU that will run
the plan, and measures kernels while building. TensorRT-RTX builds ahead of time, without a GPU, for given compute
capabilities or for all from 8.0 on. The plan is not run here, so its results and speed are not verified.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size
from model_zoo.export.errors import ExportError
from model_zoo.export.log import Log, silent
from model_zoo.runtime.int8 import without_optional_maps

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
Range = tuple[int, int, int]  # min, optimum, max


@dataclass(frozen=True)
class PlanOptions:
    """Options of a TensorRT plan."""

    batch: Range = (1, 4, 8)
    """Min, optimal and max batch size."""
    heights: Range | None = None
    """Min, optimal and max input height. If omitted, those of the card's canvases."""
    widths: Range | None = None
    """Min, optimal and max input width. If omitted, those of the card's canvases."""
    compute_capabilities: tuple[str, ...] = ()
    """Compute capabilities to build for without a GPU, such as 8.9. TensorRT-RTX only."""
    workspace_mib: int | None = None
    """Max scratch memory in MiB."""
    version_compatible: bool = False
    """Build a plan for later TensorRT versions, too. It contains host code, which `lineage serve` does not allow."""
    timing_cache: Path | None = None
    """File with the measurements of earlier builds. If omitted, one per GPU in the cache folder. TensorRT 10 only."""


def build_plan(model: Path, card: ModelCard, options: PlanOptions, log: Log = silent) -> bytes:
    """Build a plan and return it serialized.

    Raises:
        ExportError: TensorRT is not installed, or cannot parse the file or build the plan. The message has its errors.
    """
    trt = import_tensorrt(options)
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, logger, model)
    config = _configure(trt, builder, network, card, options)
    config.progress_monitor = _monitor(trt, log)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{trt.__name__} {trt.__version__} cannot build {model.name}: {logger.text()}")
    if options.timing_cache:
        write_cache_file(options.timing_cache, log, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def write_cache_file(path: Path, log: Log, *parts: bytes) -> None:
    """Write a file for later builds. A failure is logged and does not fail this build."""
    try:
        write_atomic(path, b"".join(parts))
    except OSError as error:
        log(f"could not be cached: {error}")


def import_tensorrt(options: PlanOptions) -> Any:
    """Import TensorRT, or TensorRT-RTX if TensorRT is missing or compute capabilities are given.

    Raises:
        ExportError: The library is not installed, or does not support a timing cache.
    """
    for name in (RTX,) if options.compute_capabilities else (TENSORRT, RTX):
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:  # None for a folder of type stubs
            if name == RTX and options.timing_cache:
                raise ExportError("expected no timing cache: TensorRT-RTX does not measure kernels while building")
            return importlib.import_module(name)
    package = "tensorrt-rtx-cu13" if options.compute_capabilities else "tensorrt-cu13 or tensorrt-rtx-cu13"
    raise ExportError(f"--format tensorrt requires the package {package}, which is not installed")


def check_servable(options: PlanOptions) -> None:
    """Check that `lineage serve` can run the plan that these options build.

    Raises:
        ExportError: TensorRT-RTX would build it, or it would be version-compatible.
    """
    kind = "TensorRT-RTX" if import_tensorrt(options).__name__ == RTX else "version-compatible"
    if kind == "TensorRT-RTX" or options.version_compatible:
        raise ExportError(
            f"a {kind} plan is not published, because `lineage serve` cannot run it; write it to a file with --output, "
            "or build it with tensorrt-cu13 on the GPU that serves, without --plan.compute-capabilities and "
            "--plan.version-compatible"
        )


def _logger(trt: Any) -> Any:
    class ErrorLogger(trt.ILogger):  # type: ignore[misc]  # the library has no types
        """Collect the library's errors instead of printing them."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

        def text(self) -> str:
            return "; ".join(self.errors) or "no error message"

    return ErrorLogger()


def _monitor(trt: Any, log: Log) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library has no types
        """Log each top-level phase of the build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, _steps: int) -> None:
            if not parent:
                log(name)

        def step_complete(self, _name: str, _step: int) -> bool:
            return True  # continue

        def phase_finish(self, _name: str) -> None:
            pass

    return Monitor()


def _parse(trt: Any, network: Any, logger: Any, model: Path) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(without_optional_maps(model.read_bytes())) and network.num_outputs:  # other files parse to nothing
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    reasons = "; ".join(f"{e.node_name() or 'graph'}: {e.desc()}" for e in errors) or logger.text()
    raise ExportError(f"{trt.__name__} {trt.__version__} cannot parse {model.name}: {reasons}")


def _configure(trt: Any, builder: Any, network: Any, card: ModelCard, options: PlanOptions) -> Any:
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, card, options))
    if options.compute_capabilities:
        config.num_compute_capabilities = len(options.compute_capabilities)
    for index, text in enumerate(options.compute_capabilities):
        config.set_compute_capability(_capability(trt, text), index)
    if options.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.timing_cache:
        _load_timing_cache(config, options.timing_cache)
    return config


def _load_timing_cache(config: Any, path: Path) -> None:
    """Load the measurements of earlier builds. Start with none if they are damaged or of another GPU."""
    for contents in (path.read_bytes() if path.is_file() else b"", b""):
        timings = config.create_timing_cache(contents)
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return


def _profile(builder: Any, network: Any, card: ModelCard, options: PlanOptions) -> Any:
    """Return a profile with the min, optimal and max shape of each input. A fixed batch stays as it is."""
    is_fixed = network.get_input(0).shape[0] == 1
    shapes = list(zip((1, 1, 1) if is_fixed else options.batch, *input_sides(card, options), (3, 3, 3), strict=True))
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        profile.set_shape(tensor.name, *(shape[: len(tensor.shape)] for shape in shapes))
    return profile


def input_sides(card: ModelCard, options: PlanOptions) -> tuple[Range, Range]:
    """Return the min, optimal and max height and width.

    Raises:
        ExportError: The model does not support these sizes.
    """
    canvases = pipeline.canvases(card) if card.shapes == "buckets" else [card.input_size]
    ranges = [(min(lengths), lengths[0], max(lengths)) for lengths in zip(*canvases, strict=True)]  # the card's first
    heights, widths = options.heights or ranges[0], options.widths or ranges[1]
    fixed = {*zip(heights, widths, strict=True)} == {card.input_size}
    sides = f"widths {widths} and heights {heights}"
    if not fixed and not card.dynamic_size:
        raise ExportError(f"{card.name}: expected its fixed input size {format_size(card.input_size)}; got {sides}")
    if any(side < card.stride or side % card.stride for side in (*heights, *widths)):
        raise ExportError(f"{card.name}: expected multiples of {card.stride} pixels; got {sides}")
    ordered = all(list(values) == sorted(values) for values in (options.batch, heights, widths))
    if not ordered or options.batch[0] < 1:
        raise ExportError(f"expected min, optimum and max in increasing order; got batch {options.batch}, {sides}")
    return heights, widths


def _capability(trt: Any, text: str) -> Any:
    supported = {name: value for name, value in trt.ComputeCapability.__members__.items() if name.startswith("SM")}
    name = "SM" + text.replace(".", "")
    if name not in supported:
        expected = ", ".join(f"{k[2:-1]}.{k[-1]}" for k in supported)
        raise ExportError(f"compute capability: expected one of {expected}; got {text!r}")
    return supported[name]
