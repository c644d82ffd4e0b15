"""ONNX Runtime: CPU, CUDA, TensorRT and OpenVINO behind one code path with IO binding.

On a CPU a run that is alone takes every core; under load each takes one thread, and as many run at a time as there are
cores: runs of many threads each wait for one another. A session has its number of threads for life, so there are two.
Shapes are fixed where they can be (15-20 % faster than dynamic ones); the batch stays dynamic where batching pays, on
GPUs. A session may be run by several threads at a time, so the workers share its weights; the sessions of all models
take the memory of their maps from one arena.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import sys
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort
from loky import cpu_count

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import PackageError
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, EngineOptions, EngineUnavailable, Outputs, Provider, blank_feeds, check_card
from model_zoo.runtime.int8 import to_uint8_activations
from model_zoo.runtime.thread_budget import ThreadBudget

GPU_BATCH: Final = 8
MAX_THREADS: Final = 8  # of a run; every model and canvas keeps them, though few are ever used at a time
NAMES: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
CPU_SWITCHES: Final = (
    "session.force_spinning_stop",  # no thread waits busily for the next run
    "session.use_env_allocators",  # the shared arena
    "session.use_device_allocator_for_initializers",  # weights are not of the arena, which gives nothing back
)
LOG = logging.getLogger(__name__)
THREAD_BUDGET: Final = ThreadBudget()  # models share the cores


class OnnxRuntimeEngine:
    """One model on one device: for each canvas size a session of one thread, and one of `threads` for lone runs."""

    def __init__(self, package: Package, options: EngineOptions, provider: Provider) -> None:
        on_cpu = provider in ("cpu", "openvino")
        self.card, self.device = package.card, str(provider)
        self.workers = options.workers or (cpu_count() if on_cpu else 1)
        self.max_batch = options.max_batch or (1 if on_cpu else GPU_BATCH)
        self.canvases = options.canvases(package.card)
        self.threads = min(cpu_count(only_physical_cores=True), MAX_THREADS) if provider == "cpu" else 1
        _load_libraries(provider)
        self._sessions = {
            (size, threads): self._session(package, provider, size, threads)
            for size in self.canvases
            for threads in {1, self.threads}
        }

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch of a known canvas size."""
        height, width = feeds["images"].shape[1:3]
        with THREAD_BUDGET.begin() as every_core:
            return _run(self._sessions[(height, width), self.threads if every_core else 1], feeds)

    def warm_up(self) -> None:
        """Run every session, with the smallest and the largest batch."""
        for (size, _), session in self._sessions.items():
            for batch in sorted({1, self.max_batch}):
                _run(session, blank_feeds(size, batch))

    def close(self) -> None:
        """Drop the sessions."""
        self._sessions.clear()

    def _session(self, package: Package, provider: Provider, size: Size, threads: int) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        if provider == "cpu":
            _share_arena()
            for switch in CPU_SWITCHES:
                options.add_session_config_entry(switch, "1")
        fixed = {"height": size[0], "width": size[1]} | ({"batch": 1} if self.max_batch == 1 else {})
        for name, value in fixed.items():
            options.add_free_dimension_override_by_name(name, value)
        if provider == "openvino":
            options.add_provider_for_devices(_openvino_cpus(), {"num_of_threads": "1"})
        providers = _providers(provider, size, self.max_batch)
        try:
            session = ort.InferenceSession(_file(package, provider), options, **providers)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise PackageError(f"{package.name}@{package.version}: ONNX Runtime cannot load it: {error}") from error
        if NAMES[provider] not in session.get_providers():
            raise _unavailable(provider)
        check_card(package, ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map))
        return session


def load(package: Package, options: EngineOptions) -> Engine:
    """Load a package; `auto` takes CUDA where it works and the CPU elsewhere.

    TensorRT is never taken by itself: it builds its engines for minutes.
    """
    if options.provider != "auto":
        return OnnxRuntimeEngine(package, options, options.provider)
    if "CUDAExecutionProvider" in ort.get_available_providers():
        try:
            return OnnxRuntimeEngine(package, options, "cuda")
        except EngineUnavailable as error:
            LOG.warning("%s; the CPU is used", error)
    return OnnxRuntimeEngine(package, options, "cpu")


def _run(session: Any, feeds: Feeds) -> Outputs:
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    for name in ("detections", "count"):
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    rows, counts = binding.copy_outputs_to_cpu()
    return rows, counts


def _file(package: Package, provider: Provider) -> Path | bytes:
    """Return the model file, with int8 as the provider takes it best.

    On x86 CPUs with VNNI unsigned maps are multiplied faster; without VNNI sums of their products overflow 16 bits.
    OpenVINO 2026.4 gets convolutions of signed maps wrong where these come from a concatenation.
    """
    unsigned = provider == "openvino" or (provider == "cpu" and _has_vnni())
    if unsigned and package.card.precision == "int8":
        return to_uint8_activations(package.model_path.read_bytes())
    return package.model_path


def _has_vnni() -> bool:
    with contextlib.suppress(OSError):  # not Linux
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return False


@functools.cache
def _share_arena() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


def _load_libraries(provider: Provider) -> None:
    """Load a GPU's libraries from their wheels: outside the container no path of the loader leads there."""
    if provider in ("cuda", "tensorrt"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            ort.preload_dlls()
    if provider == "tensorrt":
        with contextlib.suppress(ImportError):  # it may lie on the loader's path instead
            importlib.import_module("tensorrt")  # which loads its own


def _providers(provider: Provider, size: Size, max_batch: int) -> dict[str, Any]:
    """Return the arguments that choose the provider; each leaves to the next what it cannot run."""
    cuda = (NAMES["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"})  # else every new batch size waits for a search
    cpu: tuple[str, dict[str, str]] = (NAMES["cpu"], {})
    tensorrt = (NAMES["tensorrt"], _tensorrt_profile(size, max_batch) | {"trt_engine_cache_enable": "1"})
    chains = {"cpu": [cpu], "cuda": [cuda, cpu], "tensorrt": [tensorrt, cuda, cpu]}
    if provider not in chains:
        return {}  # a plugin, which the session options name
    if NAMES[provider] not in ort.get_available_providers():
        raise _unavailable(provider)
    return {"providers": chains[provider]}


def _tensorrt_profile(size: Size, max_batch: int) -> dict[str, str]:
    """Name the smallest, usual and largest shapes, so that TensorRT builds one engine and no more."""

    def shapes(batch: int) -> str:
        vectors = (f"{name}:{batch}" for name in ("score_threshold", "iou_threshold", "distance_weight"))
        return ",".join([f"images:{batch}x{size[0]}x{size[1]}x3", *vectors])

    batches = {"min": 1, "opt": max_batch, "max": max_batch}
    return {f"trt_profile_{which}_shapes": shapes(batch) for which, batch in batches.items()}


def _openvino_cpus() -> list[Any]:
    try:
        import onnxruntime_ep_openvino as plugin
    except ModuleNotFoundError as error:
        raise EngineUnavailable("provider openvino: pip install 'yolo-lineage[openvino]'") from error
    if not any(device.ep_name == NAMES["openvino"] for device in ort.get_ep_devices()):
        ort.register_execution_provider_library("openvino", plugin.get_library_path())
    ours = [device for device in ort.get_ep_devices() if device.ep_name == NAMES["openvino"]]
    cpus = [device for device in ours if device.ep_metadata.get("ov_device") == "CPU"]
    if not cpus:
        raise _unavailable("openvino")
    return cpus


def _unavailable(provider: Provider) -> EngineUnavailable:
    return EngineUnavailable(f"provider {provider}: {NAMES[provider]} does not work on this machine; set auto or cpu")
