"""Plans are loaded from the cache if nothing they depend on has changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.convert import export_plan
from model_zoo.export.errors import ExportError
from model_zoo.export.plan_cache import build_or_load_plan
from model_zoo.export.tensorrt import PlanOptions
from tests.exports import ExportedModel
from tests.model_zoo.export import fake_tensorrt10
from tests.model_zoo.export.fake_tensorrt10 import FakeTensorRT10

DEFAULTS = PlanOptions()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT10:
    library = FakeTensorRT10()
    library.install(monkeypatch)
    return library


@pytest.fixture
def model(tiny: ExportedModel, tmp_path: Path) -> Path:
    """A copy of the model file, which tests may change."""
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny.path.read_bytes())
    return path


def cached_plans(cache: Path) -> list[Path]:
    return sorted((cache / "plans").glob("*.plan"))


def test_builder_gets_the_options(library: FakeTensorRT10, tiny: ExportedModel, model: Path) -> None:
    options = PlanOptions(batch=(1, 2, 3), widths=(64, 160, 320), workspace_mib=512, version_compatible=True)
    options_of_plan = json.loads(build_or_load_plan(model, tiny.card, options))
    images = [[1, 128, 64, 3], [2, 128, 160, 3], [3, 128, 320, 3]]
    assert options_of_plan["shapes"]["images"] == images
    assert options_of_plan["shapes"]["iou_threshold"] == [[1], [2], [3]]
    assert (options_of_plan["workspace"], options_of_plan["version compatible"]) == (512 << 20, True)


def test_plan_is_built_once_and_then_loaded(
    library: FakeTensorRT10,
    tiny: ExportedModel,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cache: Path,
) -> None:
    for name in ("a", "b"):
        export_plan(model, tmp_path / f"{name}.engine", DEFAULTS, print)
        printed = capsys.readouterr().out
        assert ("loaded from the cache, built with tensorrt 10.16.1.11 for NVIDIA L4 8.9" in printed) == (name == "b")
    assert library.builds == len(cached_plans(cache)) == 1
    assert (tmp_path / "a.engine").read_bytes() == (tmp_path / "b.engine").read_bytes()
    assert [path.name[0] for path in (cache / "plans").iterdir()].count(".") == 0  # no incomplete files


def other_gpu(library: FakeTensorRT10, model: Path) -> PlanOptions:
    library.cuda.name = "NVIDIA A10"
    return DEFAULTS


def other_version(library: FakeTensorRT10, model: Path) -> PlanOptions:
    library.__version__ = "10.17.0.1"
    return DEFAULTS


def other_model(library: FakeTensorRT10, model: Path) -> PlanOptions:
    model.write_bytes(model.read_bytes() + b"\0")
    return DEFAULTS


def other_options(library: FakeTensorRT10, model: Path) -> PlanOptions:
    return PlanOptions(batch=(1, 2, 8))


@pytest.mark.parametrize("change", [other_gpu, other_version, other_model, other_options])
def test_changed_dependency_builds_another_plan(
    change: Callable[[FakeTensorRT10, Path], PlanOptions],
    library: FakeTensorRT10,
    tiny: ExportedModel,
    model: Path,
    cache: Path,
) -> None:
    build_or_load_plan(model, tiny.card, DEFAULTS)
    build_or_load_plan(model, tiny.card, change(library, model))
    assert library.builds == len(cached_plans(cache)) == 2


def test_equivalent_options_share_a_plan(
    library: FakeTensorRT10, tiny: ExportedModel, model: Path, tmp_path: Path
) -> None:
    for options in (DEFAULTS, PlanOptions(heights=(128, 128, 128)), PlanOptions(timing_cache=tmp_path / "timings")):
        build_or_load_plan(model, tiny.card, options)
    assert library.builds == 1


def truncated(entry: bytes) -> bytes:
    return entry[:-10]


def bit_flipped(entry: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


def with_other_key(entry: bytes) -> bytes:
    return entry.replace(b"NVIDIA L4", b"NVIDIA T4")


def garbage(entry: bytes) -> bytes:
    return b"\xff" * 100


@pytest.mark.parametrize("damage", [truncated, bit_flipped, with_other_key, garbage])
def test_damaged_entry_is_rebuilt(
    damage: Callable[[bytes], bytes], library: FakeTensorRT10, tiny: ExportedModel, model: Path, cache: Path
) -> None:
    build_or_load_plan(model, tiny.card, DEFAULTS)
    [path] = cached_plans(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert json.loads(build_or_load_plan(model, tiny.card, DEFAULTS))["shapes"]
    assert library.builds == 2
    build_or_load_plan(model, tiny.card, DEFAULTS)
    assert library.builds == 2


def test_unwritable_cache_does_not_fail_the_build(
    library: FakeTensorRT10, tiny: ExportedModel, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "file"))
    messages: list[str] = []
    assert json.loads(build_or_load_plan(model, tiny.card, DEFAULTS, messages.append))["shapes"]
    assert [line.startswith("could not be cached: ") for line in messages] == [True, True]  # timings and plan


def test_timing_cache_is_reused(
    library: FakeTensorRT10, tiny: ExportedModel, model: Path, cache: Path, tmp_path: Path
) -> None:
    def initial_timings(options: PlanOptions) -> str:
        return str(json.loads(build_or_load_plan(model, tiny.card, options))["initial timings"])

    assert initial_timings(DEFAULTS) == "timings of NVIDIA L4"
    assert initial_timings(PlanOptions(batch=(1, 2, 2))) == "timings of NVIDIA L4, measured"
    library.cuda.name = "NVIDIA A10"
    assert initial_timings(DEFAULTS) == "timings of NVIDIA A10"
    assert len(list((cache / "plans").glob("timings-10.16.1.11-NVIDIA-*-8.9"))) == 2
    path = tmp_path / "timings"
    for contents in (b"damaged", b"timings of NVIDIA L4"):
        path.write_bytes(contents)
        assert initial_timings(PlanOptions(batch=(1, 1, len(contents)), timing_cache=path)) == "timings of NVIDIA A10"
        assert path.read_bytes() == b"timings of NVIDIA A10, measured"


def test_missing_gpu_or_cuda_bindings_is_an_error(
    library: FakeTensorRT10, tiny: ExportedModel, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.cuda.name = ""
    with pytest.raises(ExportError, match=r"got none \(cudaErrorNoDevice\)\. .* --plan.compute-capabilities"):
        build_or_load_plan(model, tiny.card, DEFAULTS)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ExportError, match="requires the package cuda-bindings"):
        build_or_load_plan(model, tiny.card, DEFAULTS)


def test_plans_of_different_compute_capabilities_are_cached_separately(
    tiny: ExportedModel, model: Path, cache: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    plans = []
    for capabilities in (("8.9",), ("8.6", "12.0"), ("8.9",)):
        options = replace(DEFAULTS, compute_capabilities=capabilities)
        plans.append(build_or_load_plan(model, tiny.card, options))
    assert len(cached_plans(cache)) == 2
    assert plans[0] == plans[2] != plans[1]
    assert not list((cache / "plans").glob("timings-*"))


def test_fake_has_only_calls_of_the_real_library() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    fake_only = {"gpu", "options", "timings", "inputs", "shapes", "contents", "library"}
    kinds = ("ILogger", "IProgressMonitor", "ITimingCache", "INetworkDefinition", "IOptimizationProfile")
    for kind in (*kinds, "IBuilderConfig", "Builder"):
        names = {name for name in vars(getattr(fake_tensorrt10, kind)) if not name.startswith("_")}
        assert names - fake_only <= set(dir(getattr(real, kind)))
    assert real.MemoryPoolType.WORKSPACE
    assert real.BuilderFlag.VERSION_COMPATIBLE
    assert "STRONGLY_TYPED" in real.NetworkDefinitionCreationFlag.__members__
