"""`lineage import` and `lineage export`: what they refuse, and plans for what is in a repository."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from lineage.cli.import_export import export_model, import_model
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import CardError, LineageError
from model_zoo.contract.package import Package, Repository
from model_zoo.export.errors import ExportError
from model_zoo.export.tensorrt import PlanOptions
from tests.model_zoo.export.conftest import Exported

PLAN = PlanOptions(compute_capabilities=("8.9",))


@pytest.fixture
def published(toy_file: Exported, tmp_path: Path) -> Package:
    return Repository(tmp_path / "models").publish(toy_file.card, {"model.onnx": toy_file.path})


def test_a_model_of_the_repository_gets_a_plan_in_its_next_version(
    published: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    export_model("toy", format="tensorrt", repository=tmp_path / "models", plan=PLAN)
    package = Repository(tmp_path / "models").resolve("toy")
    package.verify()
    assert package.version == published.version + 1
    assert {file.name for file in package.files} == {"model.onnx", "model.engine", "card.json"}
    assert package.model_path.read_bytes() == published.model_path.read_bytes()
    assert "it has not been run" in capsys.readouterr().out


def test_a_plan_goes_where_it_is_asked_to(toy_file: Exported, published: Package, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux alone")
    for source in ("toy", str(toy_file.path)):
        target = tmp_path / "a.engine"
        export_model(source, output=target, format="tensorrt", repository=tmp_path / "models", plan=PLAN)
        assert target.stat().st_size > 10_000
        target.unlink()
    assert Repository(tmp_path / "models").versions("toy") == [published.version]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("toy", "expected a weights file; there is none at toy; .* --format tensorrt alone"),
        ("nowhere.pt", "expected a weights file; there is none at nowhere.pt"),
        ("model.onnx", "is an ONNX file already"),
    ],
)
def test_sources_that_cannot_become_onnx(source: str, complaint: str) -> None:
    with pytest.raises(ExportError, match=complaint):
        export_model(source)


def test_onnx_files_that_cannot_become_a_plan(tmp_path: Path) -> None:
    damaged, foreign = tmp_path / "damaged.onnx", tmp_path / "empty.onnx"
    damaged.write_bytes(b"\xff" * 64)
    foreign.write_bytes(b"")
    for path, kind, complaint in (
        (tmp_path / "none.onnx", ExportError, "there is none at"),
        (damaged, ExportError, "expected an ONNX file; it cannot be read"),
        (foreign, CardError, "carries no card"),
    ):
        with pytest.raises(kind, match=complaint):
            export_model(str(path), format="tensorrt")


def test_a_size_has_one_or_two_sides_in_steps_of_the_stride() -> None:
    for size, complaint in (((640, 640, 3), "one number, or height and width"), ((100,), "steps of 32")):
        with pytest.raises(LineageError, match=complaint):
            export_model("yolov5-test", random_weights=True, image_size=size)


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected a checkpoint file; there is none at"):
        import_model(tmp_path / "none.pt", repository=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_untrained_variant_in_its_raw_form(tmp_path: Path) -> None:
    path = tmp_path / "try.onnx"
    export_model("yolov5-test", output=path, random_weights=True, raw=True, image_size=(96, 128))
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)
    assert (card.name, card.output, card.input_size, card.weights.origin) == ("try", "raw", (96, 128), "random")
    assert [value.name for value in session.get_outputs()] == ["boxes", "scores"]
