from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.onnx_import import importer
from model_zoo.onnx_import.guard import run_guarded
from model_zoo.onnx_import.importer import explain_onnx, import_onnx
from model_zoo.onnx_import.options import Request
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.golden import check_golden
from model_zoo.runtime.open import open_engine
from tests.conftest import ROOT
from tests.model_zoo.onnx_import.foreign_files import SIZE, dynamic, save, v8
from tests.model_zoo.onnx_import.hostile_files import endless


def test_package_of_a_fixed_batch_runs_image_by_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "run_guarded", lambda function, *arguments, memory: function(*arguments))
    package = import_onnx(save(v8(), tmp_path / "net.onnx"), Repository(tmp_path / "models"), Request("net"))
    engine = open_engine(package, EngineOptions(max_batch=8))
    assert engine.max_batch == 1
    assert check_golden(package, engine) > 0
    [found] = pipeline.detect(
        package.card, engine.run, list(synthetic_images(SIZE, 1)), pipeline.make_query(package.card)
    )
    assert np.isfinite(found.boxes).all()
    engine.close()


@pytest.mark.slow
def test_explanation_lists_the_reasons_and_publishes_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    converted = explain_onnx(save(v8(dynamic()), tmp_path / "net.onnx"), Request("net", image_size=(64,)), lines.append)
    assert lines == list(converted.notes)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_bad_names_are_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="--name"):
        import_onnx(tmp_path / "none.onnx", Repository(tmp_path / "models"), Request("../x"))


def test_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(LineageError, match=r"needs the package onnxscript.*\[cpu,onnx\]"):
        explain_onnx(tmp_path / "net.onnx", Request("net"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process reliably")
def test_endless_file_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_briefly(*arguments: object, memory: int) -> object:
        return run_guarded(*arguments, memory=2**30, seconds=60)  # type: ignore[arg-type]

    monkeypatch.setattr(importer, "run_guarded", run_briefly)
    with pytest.raises(LineageError, match=r"memory|cannot be run|longer"):
        explain_onnx(save(endless(), tmp_path / "net.onnx"), Request("net"))


@pytest.mark.slow
def test_import_needs_no_torch(tmp_path: Path) -> None:
    save(v8(dynamic()), tmp_path / "net.onnx")
    program = f"""
import sys
sys.modules.update(dict.fromkeys(["torch", "safetensors"]))  # None: importing it raises ImportError
from pathlib import Path
from model_zoo.onnx_import.convert import convert
from model_zoo.onnx_import.options import Request
converted = convert(Path({str(tmp_path / "net.onnx")!r}), Request("net", image_size=(64,)), Path({str(tmp_path)!r}))
assert converted.files
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
