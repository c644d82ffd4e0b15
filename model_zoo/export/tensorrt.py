"""Build a TensorRT plan from an exported ONNX file, with the subset that TensorRT 10 and TensorRT-RTX share.

Networks are strongly typed: the precision is the file's, the builder changes none. TensorRT 10 builds on the machine
and GPU that will run the plan, and measures as it builds; TensorRT-RTX builds ahead of time, without a GPU, for named
compute capabilities or for all from 8.0 on. Whether a plan is right and how fast it is can be told only where it runs;
nothing here claims either.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import write_atomic
from model_zoo.export.errors import ExportError

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
Progress = Callable[[str], None]
Three = tuple[int, int, int]  # smallest, usual, largest


@dataclass(frozen=True)
class PlanOptions:
    """What a TensorRT plan is built for.

    Attributes:
        batch: Smallest, usual and largest batch.
        heights: Smallest, usual and largest input height; by default the card's alone.
        widths: Smallest, usual and largest input width; by default the card's alone.
        compute_capabilities: Of GPUs, such as 8.9, to build ahead of time without one; TensorRT-RTX only.
        workspace_mib: Limit of scratch memory.
        version_compatible: Build a plan that later versions take too. It carries the lean runtime, code that runs on
            the host, which a program must be told to allow; `lineage serve` does not.
        timing_cache: File that keeps measurements from one build to the next, by default one of the cache folder for
            each GPU and version; TensorRT only: RTX measures nothing while it builds.
    """

    batch: Three = (1, 4, 8)
    heights: Three | None = None
    widths: Three | None = None
    compute_capabilities: tuple[str, ...] = ()
    workspace_mib: int | None = None
    version_compatible: bool = False
    timing_cache: Path | None = None


def build_plan(model: Path, card: ModelCard, options: PlanOptions, progress: Progress = lambda _: None) -> bytes:
    """Parse and build; returns the serialized plan. ExportError carries what the parser or the builder had to say."""
    trt = library(options)
    complaints = _logger(trt)
    builder = trt.Builder(complaints)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, complaints, model)
    config = _configure(trt, builder, network, card, options)
    config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{trt.__name__} {trt.__version__} cannot build {model.name}: {complaints.text()}")
    if options.timing_cache:
        keep(options.timing_cache, progress, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def keep(path: Path, progress: Progress, *parts: bytes) -> None:
    """Write a file for the next build; where that fails it is said, and this build is not lost."""
    try:
        write_atomic(path, b"".join(parts))
    except OSError as error:
        progress(f"not kept for the next time: {error}")


def library(options: PlanOptions) -> Any:
    """Import TensorRT, or TensorRT-RTX where it is not there or compute capabilities are asked for."""
    for name in (RTX,) if options.compute_capabilities else (TENSORRT, RTX):
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:  # a folder of type stubs has none
            if name == RTX and options.timing_cache:
                raise ExportError("TensorRT-RTX measures nothing while it builds; leave the timing cache out")
            return importlib.import_module(name)
    wanted = "tensorrt-rtx-cu13" if options.compute_capabilities else "tensorrt-cu13 or tensorrt-rtx-cu13"
    raise ExportError(f"--format tensorrt needs the package {wanted}, which is not installed here")


def _logger(trt: Any) -> Any:
    class Complaints(trt.ILogger):  # type: ignore[misc]  # the library has no types
        """Collects what the library complains of instead of printing it."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

        def text(self) -> str:
            return "; ".join(self.errors) or "no reason given"

    return Complaints()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library has no types
        """Names every outermost phase of the build once."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, _steps: int) -> None:
            if not parent:
                progress(name)

        def step_complete(self, _name: str, _step: int) -> bool:
            return True  # go on

        def phase_finish(self, _name: str) -> None:
            pass

    return Monitor()


def _parse(trt: Any, network: Any, logger: Any, model: Path) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(model)) and network.num_outputs:  # what is no ONNX parses to nothing
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    reasons = "; ".join(f"{e.node_name() or 'graph'}: {e.desc()}" for e in errors) or logger.text()
    raise ExportError(f"{trt.__name__} {trt.__version__} cannot read {model.name}: {reasons}")


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
        _recall_timings(config, options.timing_cache)
    return config


def _recall_timings(config: Any, path: Path) -> None:
    """Let the builder begin with what it measured before; what is damaged or of elsewhere is measured again."""
    for known in (path.read_bytes() if path.is_file() else b"", b""):
        timings = config.create_timing_cache(known)
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return


def _profile(builder: Any, network: Any, card: ModelCard, options: PlanOptions) -> Any:
    """Give every input its smallest, usual and largest shape."""
    images = list(zip(options.batch, *input_sides(card, options), (3, 3, 3), strict=True))
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        profile.set_shape(tensor.name, *(shape[: len(tensor.shape)] for shape in images))
    return profile


def input_sides(card: ModelCard, options: PlanOptions) -> tuple[Three, Three]:
    """Return the smallest, usual and largest heights, and widths; ExportError if the model does not take them."""
    height, width = card.input_size
    heights, widths = options.heights or (height, height, height), options.widths or (width, width, width)
    fixed = {*zip(heights, widths, strict=True)} == {card.input_size}
    if not fixed and not card.dynamic_size:
        raise ExportError(f"{card.name}: expected its only input size, {height} x {width}; got {heights} x {widths}")
    if any(side < card.stride or side % card.stride for side in (*heights, *widths)):
        raise ExportError(f"{card.name}: expected sides in steps of {card.stride}; got {heights} x {widths}")
    ordered = all(list(three) == sorted(three) for three in (options.batch, heights, widths))
    if not ordered or options.batch[0] < 1:
        raise ExportError(f"expected smallest, usual and largest; got batch {options.batch}, {heights} x {widths}")
    return heights, widths


def _capability(trt: Any, text: str) -> Any:
    known = {name: value for name, value in trt.ComputeCapability.__members__.items() if name.startswith("SM")}
    name = "SM" + text.replace(".", "")
    if name not in known:
        offered = ", ".join(f"{k[2:-1]}.{k[-1]}" for k in known)
        raise ExportError(f"compute capability: expected one of {offered}; got {text!r}")
    return known[name]
