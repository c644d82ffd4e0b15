"""ONNX Runtime sessions: the only place that creates them and chooses their options."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort

from model_zoo.contract.card import ModelCard, Precision
from model_zoo.contract.errors import PackageError
from model_zoo.contract.letterbox import Size
from model_zoo.runtime.base import EngineUnavailable, Provider
from model_zoo.runtime.int8 import adapt_int8
from model_zoo.runtime.tensorrt_cache import cache_options

PROVIDER_NAMES: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
CPU_OPTIONS: Final = {
    "session.force_spinning_stop": "1",  # threads do not spin between runs
    "session.intra_op.spin_duration_us": "20",  # nor for long within one, while others may need the core
    "session.use_env_allocators": "1",  # all sessions share one arena for activations
    "session.use_device_allocator_for_initializers": "1",  # weights stay outside the arena, which never shrinks
}


def make_session(
    model: Path | bytes,
    *,
    label: str = "model",
    provider: Provider = "cpu",
    threads: int = 1,
    size: Size | None = None,
    max_batch: int | None = None,
    precision: Precision = "fp32",
    optimize: bool = True,
) -> ort.InferenceSession:
    """Create a session for a model file or its bytes.

    Args:
        model: Path of an ONNX file, or its contents.
        label: Name of the model in error messages.
        provider: Execution provider of `PROVIDER_NAMES`.
        threads: Threads of one run on the CPU.
        size: Canvas (height, width) to fix; by default the size stays dynamic. Fixed shapes are no faster on the CPU.
        max_batch: Max batch size; 1 fixes the batch. By default it stays dynamic.
        precision: Precision of the file; activations of int8 files are adapted to the provider.
        optimize: Whether to optimize the graph. Without, int8 layers are computed in float32.

    Raises:
        EngineUnavailable: the provider does not work on this machine.
        PackageError: ONNX Runtime cannot load the model.
    """
    _load_libraries(provider)
    options = _session_options(provider, threads)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    fixed = {"height": size[0], "width": size[1]} if size else {}
    for name, value in (fixed | ({"batch": 1} if max_batch == 1 else {})).items():
        options.add_free_dimension_override_by_name(name, value)
    contents = adapt_int8(model, provider) if precision == "int8" else model
    providers = _providers(provider, contents, size, max_batch)
    try:
        session = ort.InferenceSession(contents, options, **providers)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise PackageError(f"{label}: ONNX Runtime cannot load it: {error}") from error
    if PROVIDER_NAMES[provider] not in session.get_providers():
        raise _unavailable(provider)
    return session


def session_card(session: ort.InferenceSession) -> ModelCard:
    """Return the card in a session's metadata.

    Raises:
        CardError: the file has no card, or an invalid one.
    """
    return ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)


def read_card(path: Path) -> ModelCard:
    """Return the card inside an ONNX file, without optimizing the graph.

    Raises:
        PackageError: ONNX Runtime cannot load the file.
        CardError: the file has no card, or an invalid one.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(path, options, providers=[PROVIDER_NAMES["cpu"]])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise PackageError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    return session_card(session)


def is_available(provider: Provider) -> bool:
    """Return True if this build of ONNX Runtime has the provider."""
    return PROVIDER_NAMES[provider] in ort.get_available_providers()


def _session_options(provider: Provider, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if provider == "cpu":
        _share_arena()
        for option, value in CPU_OPTIONS.items():
            options.add_session_config_entry(option, value)
    return options


@functools.cache
def _share_arena() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


def _load_libraries(provider: Provider) -> None:
    """Load the GPU libraries from their wheels: outside the container they are not on the loader's path."""
    if provider in ("cuda", "tensorrt"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints the libraries it cannot find
            ort.preload_dlls()
    if provider == "tensorrt":
        with contextlib.suppress(ImportError):  # the library may be on the loader's path instead
            importlib.import_module("tensorrt")  # which loads its libraries


def _providers(provider: Provider, model: Path | bytes, size: Size | None, max_batch: int | None) -> dict[str, Any]:
    """Return the arguments that select the provider. Each provider leaves unsupported nodes to the next one."""
    cuda = (PROVIDER_NAMES["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"})  # a search would stall every new batch
    cpu: tuple[str, dict[str, str]] = (PROVIDER_NAMES["cpu"], {})
    chains: dict[str, list[tuple[str, dict[str, str]]]] = {"cpu": [cpu], "cuda": [cuda, cpu], "tensorrt": [cuda, cpu]}
    if not is_available(provider):
        raise _unavailable(provider)
    if provider == "tensorrt":
        profile = _tensorrt_profile(size, max_batch) if size and max_batch else {}
        chains[provider].insert(0, (PROVIDER_NAMES[provider], profile | cache_options(model, profile)))
    return {"providers": chains[provider]}


def _tensorrt_profile(size: Size, max_batch: int) -> dict[str, str]:
    """Return the min, optimal and max shapes, so that TensorRT builds a single engine."""

    def shapes(batch: int) -> str:
        vectors = (f"{name}:{batch}" for name in ("score_threshold", "iou_threshold", "distance_weight"))
        return ",".join([f"images:{batch}x{size[0]}x{size[1]}x3", *vectors])

    batches = {"min": 1, "opt": max_batch, "max": max_batch}
    return {f"trt_profile_{bound}_shapes": shapes(batch) for bound, batch in batches.items()}


def _unavailable(provider: Provider) -> EngineUnavailable:
    return EngineUnavailable(
        f"provider {provider}: {PROVIDER_NAMES[provider]} does not work on this machine; use auto or cpu"
    )
