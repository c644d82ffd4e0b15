from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from model_zoo import convert
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.export.options import ExportOptions
from model_zoo.registry import build
from model_zoo.weights import store
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
        "--license",
        "MIT",
        "--variant",
        "yolov5n",
    ]
    assert main(["import", "a.pt", *flags, "--precision", "int8", "--calibration", "images"]) == 0
    [(arguments, options)] = calls
    export_options = ExportOptions(image_size=(64,), precision="int8", calibration=Path("images"))
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
