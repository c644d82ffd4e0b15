"""Step `onnxruntime`: exported graphs with NMS inside, by the engine of `lineage serve`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from benchmarks.gpu_steps.engines import measure_engine
from benchmarks.gpu_steps.package import package_of
from benchmarks.gpu_steps.results import Options
from model_zoo.contract.card import Precision
from model_zoo.runtime.base import EngineOptions, Provider
from model_zoo.runtime.open import open_engine


def run(options: Options) -> None:
    """Measure float32 and float16 files with one and two workers, on all canvases."""
    provider: Provider = "cuda" if options.device == "cuda" else "cpu"
    precisions: list[Precision] = ["fp32", "fp16"] if options.device == "cuda" else ["fp32"]
    for precision in precisions:
        package = package_of(options, precision)
        largest = EngineOptions(provider=provider, shapes="buckets", max_batch=max(options.batches))
        with closing(open_engine(package, replace(largest, provider="cpu", workers=1))) as reference:
            for workers in (1, 2):
                with closing(open_engine(package, replace(largest, workers=workers))) as engine:
                    measure_engine(options, "onnxruntime", f"{provider}, {precision}", engine, reference)
