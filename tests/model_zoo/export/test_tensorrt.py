"""TensorRT-RTX plans are built without a GPU. They are not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.export.errors import ExportError
from model_zoo.export.int8_maps import Peaks
from model_zoo.export.onnx import write_onnx
from model_zoo.export.quantize import quantize
from model_zoo.export.tensorrt import PlanOptions, build_plan, input_sides
from model_zoo.onnx_import.convert import convert
from model_zoo.onnx_import.options import Request
from tests.exports import ExportedModel
from tests.model_zoo.export.graphs import DOWN, STEM
from tests.model_zoo.onnx_import.foreign_files import save, v8
from tests.tiny_onnx import toy_card

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")


@pytest.mark.parametrize("capabilities", [("7.5",), ("8.9",), ("7.5", "8.9", "12.0"), ()])
def test_plan_is_built_without_a_gpu(tiny: ExportedModel, capabilities: tuple[str, ...]) -> None:
    options = PlanOptions(
        batch=(1, 2, 8),
        heights=(64, 128, 256),
        widths=(64, 160, 256),
        compute_capabilities=capabilities,
        workspace_mib=512,
    )
    phases: list[str] = []
    assert len(build_plan(tiny.path, tiny.card, options, phases.append)) > 10_000
    assert phases


def test_plan_of_int8_is_built(tiny: ExportedModel, peaks: Peaks, tmp_path: Path) -> None:
    """TensorRT refuses zero points other than 0, which optional maps have."""
    write_onnx(quantize(tiny.end_to_end, [STEM, DOWN], peaks), tmp_path / "int8.onnx")
    assert build_plan(tmp_path / "int8.onnx", tiny.card, PlanOptions(compute_capabilities=("8.9",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PlanOptions(compute_capabilities=("6.1",)), r"expected one of 7\.5, .* got '6\.1'"),
        (PlanOptions(batch=(4, 1, 8)), "min, optimum and max"),
        (PlanOptions(heights=(64, 100, 128)), "multiples of 16 pixels"),
        (PlanOptions(compute_capabilities=("8.9",), timing_cache=Path("timings")), "expected no timing cache"),
    ],
)
def test_invalid_options_are_refused(tiny: ExportedModel, options: PlanOptions, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        build_plan(tiny.path, tiny.card, options)


def test_plan_has_the_canvases_of_the_card() -> None:
    card = toy_card(size=(640, 640))
    assert input_sides(card, PlanOptions()) == ((640, 640, 640), (640, 640, 640))
    buckets = replace(card, shapes="buckets")
    assert input_sides(buckets, PlanOptions()) == ((384, 640, 640), (384, 640, 640))
    assert input_sides(buckets, PlanOptions(heights=(64, 64, 64))) == ((64, 64, 64), (384, 640, 640))


def test_fixed_input_size_cannot_be_changed(tiny: ExportedModel) -> None:
    card = replace(tiny.card, dynamic_size=False)
    with pytest.raises(ExportError, match="expected its fixed input size 160 x 128"):
        build_plan(tiny.path, card, PlanOptions(heights=(64, 128, 256)))


@pytest.mark.slow
def test_plan_of_a_fixed_batch_has_batch_1(tmp_path: Path) -> None:
    converted = convert(save(v8(), tmp_path / "net.onnx"), Request("net"), tmp_path)
    assert len(build_plan(converted.files["model.onnx"], converted.card, PlanOptions(compute_capabilities=("8.9",))))


def test_invalid_onnx_file_is_refused(tiny: ExportedModel, tmp_path: Path) -> None:
    (tmp_path / "note.onnx").write_bytes(b"not a graph")
    with pytest.raises(ExportError, match=r"tensorrt_rtx .* cannot parse note\.onnx"):
        build_plan(tmp_path / "note.onnx", tiny.card, PlanOptions(compute_capabilities=("8.9",)))
