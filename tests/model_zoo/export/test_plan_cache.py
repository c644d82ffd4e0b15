"""Plans come from the cache where nothing they depend on has changed, and only there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.convert import export_plan
from model_zoo.export.errors import ExportError
from model_zoo.export.plan_cache import plan_for
from model_zoo.export.tensorrt import PlanOptions
from tests.model_zoo.export import tensorrt10
from tests.model_zoo.export.conftest import Exported
from tests.model_zoo.export.tensorrt10 import TensorRT10

ANY = PlanOptions()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> TensorRT10:
    library = TensorRT10()
    library.install(monkeypatch)
    return library


@pytest.fixture
def model(toy_file: Exported, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    path = tmp_path / "model.onnx"
    path.write_bytes(toy_file.path.read_bytes())
    return path


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "plans").glob("*.plan"))


def test_the_builder_is_told_what_was_asked_for(library: TensorRT10, toy_file: Exported, model: Path) -> None:
    options = PlanOptions(batch=(1, 2, 3), widths=(64, 160, 320), workspace_mib=512, version_compatible=True)
    told = json.loads(plan_for(model, toy_file.card, options))
    images = [[1, 128, 64, 3], [2, 128, 160, 3], [3, 128, 320, 3]]
    assert told["shapes"]["images"] == images
    assert told["shapes"]["iou_threshold"] == [[1], [2], [3]]
    assert (told["workspace"], told["version compatible"]) == (512 << 20, True)


def test_a_plan_is_built_once_and_said_to_come_from_the_cache(
    library: TensorRT10,
    toy_file: Exported,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cache: Path,
) -> None:
    for name in ("a", "b"):
        export_plan(model, tmp_path / f"{name}.engine", ANY, print)
        said = capsys.readouterr().out
        assert ("found in the cache, built before with tensorrt 10.16.1.11 for NVIDIA L4 8.9" in said) == (name == "b")
    assert library.builds == len(kept(cache)) == 1
    assert (tmp_path / "a.engine").read_bytes() == (tmp_path / "b.engine").read_bytes()
    assert [path.name[0] for path in (cache / "plans").iterdir()].count(".") == 0  # nothing half written is left


def other_gpu(library: TensorRT10, model: Path) -> PlanOptions:
    library.cuda.name = "NVIDIA A10"
    return ANY


def other_version(library: TensorRT10, model: Path) -> PlanOptions:
    library.__version__ = "10.17.0.1"
    return ANY


def other_model(library: TensorRT10, model: Path) -> PlanOptions:
    model.write_bytes(model.read_bytes() + b"\0")
    return ANY


def other_options(library: TensorRT10, model: Path) -> PlanOptions:
    return PlanOptions(batch=(1, 2, 8))


@pytest.mark.parametrize("change", [other_gpu, other_version, other_model, other_options])
def test_what_a_plan_depends_on_makes_another(
    change: Callable[[TensorRT10, Path], PlanOptions],
    library: TensorRT10,
    toy_file: Exported,
    model: Path,
    cache: Path,
) -> None:
    plan_for(model, toy_file.card, ANY)
    plan_for(model, toy_file.card, change(library, model))
    assert library.builds == len(kept(cache)) == 2


def test_what_changes_no_plan_makes_no_other(
    library: TensorRT10, toy_file: Exported, model: Path, tmp_path: Path
) -> None:
    for options in (ANY, PlanOptions(heights=(128, 128, 128)), PlanOptions(timing_cache=tmp_path / "timings")):
        plan_for(model, toy_file.card, options)
    assert library.builds == 1


def cut_short(entry: bytes) -> bytes:
    return entry[:-10]


def changed(entry: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


def of_other_needs(entry: bytes) -> bytes:
    return entry.replace(b"NVIDIA L4", b"NVIDIA T4")


def no_entry(entry: bytes) -> bytes:
    return b"\xff" * 100


@pytest.mark.parametrize("damage", [cut_short, changed, of_other_needs, no_entry])
def test_a_damaged_entry_is_built_again(
    damage: Callable[[bytes], bytes], library: TensorRT10, toy_file: Exported, model: Path, cache: Path
) -> None:
    plan_for(model, toy_file.card, ANY)
    [path] = kept(cache)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert json.loads(plan_for(model, toy_file.card, ANY))["shapes"]
    assert library.builds == 2
    plan_for(model, toy_file.card, ANY)
    assert library.builds == 2


def test_a_cache_that_cannot_be_written_costs_no_plan(
    library: TensorRT10, toy_file: Exported, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "file"))
    said: list[str] = []
    assert json.loads(plan_for(model, toy_file.card, ANY, said.append))["shapes"]
    assert [line.startswith("not kept for the next time: ") for line in said] == [True, True]  # timings and plan


def test_measurements_go_from_one_build_to_the_next(
    library: TensorRT10, toy_file: Exported, model: Path, cache: Path, tmp_path: Path
) -> None:
    def begun(options: PlanOptions) -> str:
        return str(json.loads(plan_for(model, toy_file.card, options))["begun"])

    assert begun(ANY) == "timings of NVIDIA L4"
    assert begun(PlanOptions(batch=(1, 2, 2))) == "timings of NVIDIA L4, measured"
    library.cuda.name = "NVIDIA A10"
    assert begun(ANY) == "timings of NVIDIA A10"
    assert len(list((cache / "plans").glob("timings-10.16.1.11-NVIDIA-*-8.9"))) == 2
    named = tmp_path / "named"
    for contents in (b"damaged", b"timings of NVIDIA L4"):
        named.write_bytes(contents)
        assert begun(PlanOptions(batch=(1, 1, len(contents)), timing_cache=named)) == "timings of NVIDIA A10"
        assert named.read_bytes() == b"timings of NVIDIA A10, measured"


def test_without_a_gpu_or_what_tells_it_nothing_is_built(
    library: TensorRT10, toy_file: Exported, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.cuda.name = ""
    with pytest.raises(ExportError, match=r"there is none \(cudaErrorNoDevice\); .* --plan.compute-capabilities"):
        plan_for(model, toy_file.card, ANY)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ExportError, match="needs the package cuda-bindings"):
        plan_for(model, toy_file.card, ANY)


def test_plans_for_gpus_that_are_not_there_are_kept_by_what_they_are_for(
    toy_file: Exported, model: Path, cache: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    plans = []
    for capabilities in (("8.9",), ("8.6", "12.0"), ("8.9",)):
        options = replace(ANY, compute_capabilities=capabilities)
        plans.append(plan_for(model, toy_file.card, options))
    assert len(kept(cache)) == 2
    assert plans[0] == plans[2] != plans[1]
    assert not list((cache / "plans").glob("timings-*"))


def test_the_calls_exist_in_tensorrt() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    ours = {"gpu", "told", "timings", "inputs", "shapes", "known", "library"}
    kinds = ("ILogger", "IProgressMonitor", "ITimingCache", "INetworkDefinition", "IOptimizationProfile")
    for kind in (*kinds, "IBuilderConfig", "Builder"):
        names = {name for name in vars(getattr(tensorrt10, kind)) if not name.startswith("_")}
        assert names - ours <= set(dir(getattr(real, kind)))
    assert real.MemoryPoolType.WORKSPACE
    assert real.BuilderFlag.VERSION_COMPATIBLE
    assert "STRONGLY_TYPED" in real.NetworkDefinitionCreationFlag.__members__
