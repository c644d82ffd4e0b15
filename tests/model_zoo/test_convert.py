from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from model_zoo.contract.errors import CardError, LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.convert import export_plan, export_random, import_weights, load_weights, publish_plan
from model_zoo.export.card import build_card
from model_zoo.export.errors import ExportError
from model_zoo.export.options import ExportOptions
from model_zoo.export.tensorrt import PlanOptions
from model_zoo.registry import build
from model_zoo.weights import store
from tests.exports import ExportedModel, tiny_export
from tests.model_zoo.export.fake_tensorrt10 import FakeTensorRT10

PLAN = PlanOptions(compute_capabilities=("8.9",))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return tiny_export(tmp_path_factory)


@pytest.fixture
def published(tiny: ExportedModel, tmp_path: Path) -> Package:
    return Repository(tmp_path / "models").publish(tiny.card, {"model.onnx": tiny.path})


def test_plan_is_published_in_the_next_version(
    published: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTensorRT10().install(monkeypatch)
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    messages: list[str] = []
    package = publish_plan(Repository(tmp_path / "models"), "tiny", PlanOptions(), messages.append)
    package.verify()
    assert package.version == published.version + 1
    assert {file.name for file in package.files} == {"model.onnx", "model.engine", "card.json"}
    assert package.model_path.read_bytes() == published.model_path.read_bytes()
    assert "the plan has not been run" in messages[-1]


@pytest.mark.parametrize("options", [PLAN, PlanOptions()])
def test_plan_that_the_server_cannot_run_is_not_published(
    published: Package, tmp_path: Path, options: PlanOptions
) -> None:
    """TensorRT-RTX builds without a GPU, but the server has no engine for its plans."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    with pytest.raises(ExportError, match=r"a TensorRT-RTX plan is not published.* write it to a file with --output"):
        publish_plan(Repository(tmp_path / "models"), "tiny", options)
    assert Repository(tmp_path / "models").versions("tiny") == [1]


def test_version_compatible_plan_is_not_published(
    published: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTensorRT10().install(monkeypatch)
    with pytest.raises(ExportError, match="a version-compatible plan is not published"):
        publish_plan(Repository(tmp_path / "models"), "tiny", PlanOptions(version_compatible=True))
    assert Repository(tmp_path / "models").versions("tiny") == [1]


def test_plan_is_written_to_a_file(tiny: ExportedModel, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is published for x86-64 Linux only")
    export_plan(tiny.path, tmp_path / "a.engine", PLAN)
    assert (tmp_path / "a.engine").stat().st_size > 10_000


def test_unreadable_onnx_files_are_refused(tmp_path: Path) -> None:
    damaged, without_card = tmp_path / "damaged.onnx", tmp_path / "empty.onnx"
    damaged.write_bytes(b"\xff" * 64)
    without_card.write_bytes(b"")
    for path, error, message in (
        (tmp_path / "none.onnx", ExportError, "none.onnx does not exist"),
        (damaged, ExportError, "expected an ONNX file; got a file that starts with"),
        (without_card, CardError, "card"),
    ):
        with pytest.raises(error, match=message):
            export_plan(path, tmp_path / "a.engine", PLAN)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((640, 640, 3), "one positive number, or height and width"),
        ((100,), "multiples of 32"),
        ((0,), "positive"),
        ((999_999,), "at most 8192"),
    ],
)
def test_invalid_image_sizes_are_refused(size: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=message):
        export_random("yolov5-test", tmp_path / "a.onnx", ExportOptions(image_size=size))


@pytest.mark.parametrize(("shapes", "expected"), [("auto", "buckets"), ("square", "square")])
def test_canvases_are_those_of_the_original_unless_given(
    shapes: Literal["auto", "square"], expected: str, tmp_path: Path
) -> None:
    store.save(build("yolov5-test"), tmp_path / "a.safetensors")
    detector = load_weights(tmp_path / "a.safetensors", ExportOptions(shapes=shapes))
    assert build_card(detector).shapes == expected


def test_smaller_canvases_of_stretched_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected shapes square, as images fill a fixed canvas; got 'buckets'"):
        export_random("yolov2-test", tmp_path / "a.onnx", ExportOptions(shapes="buckets"))
    assert not list(tmp_path.iterdir())


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=r"none\.pt"):
        import_weights(tmp_path / "none.pt", Repository(tmp_path / "models"))
    assert not list(tmp_path.iterdir())
