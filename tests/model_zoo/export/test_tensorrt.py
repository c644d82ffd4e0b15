"""Plans are built ahead of time, without a GPU; nothing here says how they run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.export.errors import ExportError
from model_zoo.export.tensorrt import PlanOptions, build_plan
from tests.model_zoo.export.conftest import Exported

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")


@pytest.mark.parametrize("capabilities", [("7.5",), ("8.9",), ("7.5", "8.9", "12.0"), ()])
def test_a_plan_is_built_for_gpus_that_are_not_there(toy_file: Exported, capabilities: tuple[str, ...]) -> None:
    options = PlanOptions(
        batch=(1, 2, 8),
        heights=(64, 128, 256),
        widths=(64, 160, 256),
        compute_capabilities=capabilities,
        workspace_mib=512,
    )
    phases: list[str] = []
    assert len(build_plan(toy_file.path, toy_file.card, options, phases.append)) > 10_000
    assert phases


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (PlanOptions(compute_capabilities=("6.1",)), r"expected one of 7\.5, .* got '6\.1'"),
        (PlanOptions(batch=(4, 1, 8)), "smallest, usual and largest"),
        (PlanOptions(heights=(64, 100, 128)), "sides in steps of 16"),
        (PlanOptions(compute_capabilities=("8.9",), timing_cache=Path("timings")), "leave the timing cache out"),
    ],
)
def test_what_cannot_be_built_is_refused(toy_file: Exported, options: PlanOptions, complaint: str) -> None:
    with pytest.raises(ExportError, match=complaint):
        build_plan(toy_file.path, toy_file.card, options)


def test_a_fixed_size_is_not_stretched(toy_file: Exported) -> None:
    card = replace(toy_file.card, dynamic_size=False)
    with pytest.raises(ExportError, match="expected its only input size, 128 x 160"):
        build_plan(toy_file.path, card, PlanOptions(heights=(64, 128, 256)))


def test_what_is_no_onnx_file_is_refused(toy_file: Exported, tmp_path: Path) -> None:
    (tmp_path / "note.onnx").write_bytes(b"not a graph")
    with pytest.raises(ExportError, match=r"tensorrt_rtx .* cannot read note\.onnx"):
        build_plan(tmp_path / "note.onnx", toy_file.card, PlanOptions(compute_capabilities=("8.9",)))
