from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from model_zoo import convert
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.export.options import ExportOptions
from model_zoo.onnx_import import importer
from model_zoo.registry import build
from model_zoo.weights import store
from tests.model_zoo.onnx_import.foreign_files import save, v8
from tests.tiny_onnx import toy_card


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    store.save(build("yolov5-test", 2).eval(), path)
    return path


def test_weights_are_published_with_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def import_weights(*arguments: Any, **options: Any) -> Package:
        calls.append((arguments, options))
        return Package("mine", 2, tmp_path / "mine" / "2", toy_card("mine"), ())

    monkeypatch.setattr(convert, "import_weights", import_weights)
    flags = [
        "--repository",
        "other",
        "--name",
        "mine",
        "--image-size",
        "64",
        "--shapes",
        "square",
        "--license",
        "MIT",
        "--variant",
        "yolov5n",
    ]
    assert main(["import", "a.pt", *flags, "--precision", "int8", "--calibration", "images"]) == 0
    [(arguments, options)] = calls
    export_options = ExportOptions(image_size=(64,), shapes="square", precision="int8", calibration=Path("images"))
    assert arguments == (Path("a.pt"), Repository(Path("other")), "mine", export_options)
    assert options == {"variant": "yolov5n", "cfg": None, "names": None, "license": "MIT", "log": print}
    out = capsys.readouterr().out
    assert f"published mine@2 in {tmp_path / 'mine' / '2'}" in out
    assert "serve it: lineage serve --repository other" in out


def test_explain_publishes_nothing(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(weights), "--explain", "--repository", str(tmp_path / "models")]) == 0
    assert "family yolov5, variant yolov5-test" in capsys.readouterr().out
    assert not (tmp_path / "models").exists()


def test_missing_file_is_a_user_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "none.pt")]) == 2
    assert "none.pt" in capsys.readouterr().err


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return save(v8(), tmp_path / "net.onnx")


def test_onnx_file_is_published_and_served(onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    flags = ["--repository", str(models), "--license", "MIT", "--letterbox", "stretch"]
    assert main(["import", str(onnx_file), *flags]) == 0
    assert "layout v8: output0" in (out := capsys.readouterr().out)
    assert "published net@1" in out
    card = Repository(models).resolve("net").card
    assert (card.family, card.weights.license, card.letterbox.align) == ("onnx", "MIT", "stretch")
    assert main(["models", "verify", "net", "--repository", str(models)]) == 0


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run without a child process, to save time."""
    monkeypatch.setattr(importer, "run_guarded", lambda function, *arguments, memory: function(*arguments))


@pytest.mark.usefixtures("in_process")
def test_onnx_file_is_explained_whatever_its_suffix(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = onnx_file.rename(onnx_file.with_suffix(".pt"))
    assert main(["import", str(other), "--explain"]) == 0
    assert "layout v8" in (out := capsys.readouterr().out)
    assert out.endswith("nothing was published\n")


@pytest.mark.parametrize("flag", [["--precision", "fp16"], ["--variant", "yolov5n"], ["--cfg", "a.cfg"]])
def test_options_of_weights_do_not_apply_to_onnx_files(
    flag: list[str], onnx_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(onnx_file), *flag]) == 2
    assert f"{flag[0]}: not supported here, because an ONNX file has its network" in capsys.readouterr().err


def test_options_of_onnx_files_do_not_apply_to_weights(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(weights), "--color", "bgr"]) == 2
    assert "--color: not supported here" in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
def test_refused_onnx_file_is_a_user_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.onnx").write_bytes(b"<html>")
    assert main(["import", str(tmp_path / "page.onnx")]) == 2
    assert "page.onnx: expected an ONNX file; got" in capsys.readouterr().err
