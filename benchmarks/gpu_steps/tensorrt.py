"""Step `tensorrt`: plans built on this GPU, by the engine of `lineage serve`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from benchmarks.gpu_steps.engines import measure_engine
from benchmarks.gpu_steps.package import package_of
from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, write_row
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine


def run(options: Options) -> None:
    """Build a float16 plan for each canvas and measure it with one and two workers."""
    if options.device != "cuda":
        raise CouldNotRun("TensorRT needs a GPU")
    import tensorrt

    from model_zoo.export.plan_cache import build_or_load_plan
    from model_zoo.export.tensorrt import PlanOptions

    write_row(options, Row("tensorrt", f"TensorRT {tensorrt.__version__}"))
    package = package_of(options, "fp16")
    with closing(open_engine(package, EngineOptions(provider="cpu", shapes="buckets", workers=1))) as reference:
        for height, width in options.sizes:
            shapes = PlanOptions((1, 8, 64), (height,) * 3, (width,) * 3)
            plan = build_or_load_plan(package.model_path, package.card, shapes, print)
            file = options.folder / "model.engine"
            file.write_bytes(plan)
            files: dict[str, str | Path] = {"model.onnx": package.model_path, "model.engine": file}
            served = Repository(options.folder / f"plans-{width}x{height}").publish(package.card, files)
            for workers in (1, 2):
                with closing(open_engine(served, EngineOptions(runtime="tensorrt", workers=workers))) as engine:
                    measure_engine(options, "tensorrt", "fp16", engine, reference)
