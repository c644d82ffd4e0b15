"""`lineage export`: the kind of source decides what is done, and options of other kinds are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from lineage.cli.export import RUN_CONFIG
from lineage.cli.main import main
from model_zoo import convert
from model_zoo.contract.card import ModelCard
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card
from training.run import publish
from training.run.run_folder import CONFIG

Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """Record calls of the library functions instead of exporting."""
    made: Calls = []
    package = Package("mine", 3, tmp_path / "models" / "mine" / "3", toy_card("mine"), ())

    def record(name: str) -> Callable[..., Package]:
        def call(*arguments: Any, **options: Any) -> Package:
            made.append(((name, *arguments), options))
            return package

        return call

    monkeypatch.setattr(publish, "publish_run", record("publish_run"))
    for name in ("export_weights", "export_random", "export_plan", "publish_plan"):
        monkeypatch.setattr(convert, name, record(name))
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "yolov5n"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({}))
    return folder


def test_run_folder_is_published(calls: Calls, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--name", "mine", "--repository", "models", "--precision", "fp16", "--largest-drop", "0.1"]
    assert main(["export", str(run_folder), *flags]) == 0
    [(arguments, options)] = calls
    assert arguments == ("publish_run", run_folder, Repository(Path("models")), "mine")
    assert (options["precision"], options["candidates"], options["largest_drop"]) == ("fp16", 3840, 0.1)
    assert "published mine@3" in capsys.readouterr().out


def test_weights_file_is_exported_to_the_current_folder(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.pt").touch()
    assert main(["export", "weights/a.pt", "--raw", "--image-size", "64", "96"]) == 0
    [(arguments, options)] = calls
    name, source, target, export_options = arguments
    assert (name, source, target) == ("export_weights", Path("weights/a.pt"), Path("a.onnx"))
    assert (export_options.image_size, options["raw"], options["variant"]) == ((64, 96), True, None)


def test_weights_file_is_exported_to_a_plan(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    flags = ["--format", "tensorrt", "--output", "b.engine", "--plan.batch", "1", "2", "3"]
    assert main(["export", "a.pt", *flags]) == 0
    (first, _), ((name, model, target, plan, _), _) = calls
    assert first[:3] == ("export_weights", Path("a.pt"), model)
    assert (name, model.name, target, plan.batch) == ("export_plan", "b.onnx", Path("b.engine"), (1, 2, 3))
    assert not model.parent.exists(), "only the file asked for is written"


@pytest.mark.parametrize("name", ["net", "net.bin", "my net (1).onnx", "a.b.onnx"])
def test_output_is_exactly_the_file_asked_for(name: str, calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    assert main(["export", "a.pt", "--output", name]) == 0
    [(arguments, _)] = calls
    assert arguments[2] == Path(name)


def test_variant_is_exported_with_random_weights(calls: Calls) -> None:
    assert main(["export", "yolov5n", "--random-weights"]) == 0
    [(arguments, _)] = calls
    assert arguments[:3] == ("export_random", "yolov5n", Path("yolov5n.onnx"))


def test_onnx_file_and_package_get_a_plan(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "in/a.onnx", "--format", "tensorrt"]) == 0
    assert main(["export", "toy", "--format", "tensorrt", "--repository", "other"]) == 0
    (plan, _), (package, _) = calls
    assert plan[:3] == ("export_plan", Path("in/a.onnx"), Path("a.engine"))
    assert package[:3] == ("publish_plan", Repository(Path("other")), "toy")
    assert "published mine@3" in capsys.readouterr().out


def test_plan_of_a_package_is_written_to_a_file(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    package = Repository(tmp_path / "models").publish(toy_card("toy"), {"model.onnx": tmp_path / "model.onnx"})
    flags = ["--format", "tensorrt", "--output", "a.engine"]
    assert main(["export", "toy", *flags]) == 0
    [(arguments, _)] = calls
    assert arguments[1:3] == (Path("models") / package.model_path.relative_to(tmp_path / "models"), Path("a.engine"))
    package.model_path.write_bytes(b"damaged")
    assert main(["export", "toy", *flags]) == 2
    assert len(calls) == 1


def test_config_file_name_is_that_of_runs() -> None:
    assert RUN_CONFIG == CONFIG


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("toy", [], "expected a weights file or the folder of a run; toy is neither"),
        ("nowhere.pt", [], "expected a weights file or the folder of a run; nowhere.pt is neither"),
        ("model.onnx", [], "is an ONNX file already"),
        ("runs", ["--name", "x"], "--name: not supported here, because runs is not the folder of a run"),
        ("runs/none", ["--name", "x"], "it needs the folder of a run, and runs/none does not exist"),
        ("runs/yolov5n", ["--raw", "--plan.batch", "1", "1", "1"], "--raw, --plan.batch: not supported here"),
        ("runs/yolov5n", ["--image-size", "64"], "--image-size: not supported here"),
        ("runs/yolov5n", ["--precision", "int8"], "--precision: expected fp32 or fp16 for a run"),
    ],
)
def test_unsupported_sources_and_options_are_refused(
    source: str, flags: list[str], message: str, calls: Calls, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", source, *flags]) == 2
    assert message in capsys.readouterr().err
    assert calls == []


@pytest.mark.slow
def test_variant_is_exported_in_raw_form(tmp_path: Path) -> None:
    path = tmp_path / "try.onnx"
    flags = ["--output", str(path), "--random-weights", "--raw", "--image-size", "96", "128"]
    assert main(["export", "yolov5-test", *flags]) == 0
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)
    assert (card.name, card.output, card.input_size, card.weights.origin) == ("try", "raw", (96, 128), "random")
    assert [value.name for value in session.get_outputs()] == ["boxes", "scores"]
