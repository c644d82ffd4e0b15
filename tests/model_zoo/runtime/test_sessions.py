"""ONNX Runtime sessions: providers, libraries, fixed shapes and the form of int8 files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime import sessions
from model_zoo.runtime.base import EngineUnavailable, Provider
from model_zoo.runtime.sessions import PROVIDER_NAMES, make_session, read_card, session_card
from tests.model_zoo.runtime.conftest import PublishFile
from tests.tiny_onnx import toy_card, toy_onnx


def test_session_has_the_requested_threads_and_shapes(toy: Package) -> None:
    session = make_session(toy.model_path, threads=2, size=(64, 96), max_batch=1)
    assert session.get_session_options().intra_op_num_threads == 2
    assert session.get_inputs()[0].shape == [1, 64, 96, 3]
    dynamic = make_session(toy.model_path.read_bytes())
    assert dynamic.get_inputs()[0].shape == ["batch", "height", "width", 3]
    assert session_card(session) == session_card(dynamic) == toy.card


def test_invalid_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="tiny: ONNX Runtime cannot load it"):
        make_session(b"not a model", label="tiny")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(PackageError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        read_card(tmp_path / "model.onnx")


def test_read_card_returns_the_card_in_the_file(toy: Package) -> None:
    assert read_card(toy.model_path) == toy.card


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_missing_provider_is_reported(toy: Package, provider: str) -> None:
    if PROVIDER_NAMES[provider] in ort.get_available_providers():
        pytest.skip(f"{provider} is available")
    with pytest.raises(EngineUnavailable, match=f"provider {provider}"):
        make_session(toy.model_path, provider=provider)


@pytest.mark.parametrize(
    ("provider", "expected"), [("cpu", []), ("cuda", ["CUDA"]), ("tensorrt", ["CUDA", "TensorRT"])]
)
def test_gpu_libraries_are_loaded_from_their_wheels(
    provider: str,
    expected: list[str],
    toy: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both loaders are replaced by stand-ins. Errors that follow on a machine without a GPU are ignored."""
    (tmp_path / "tensorrt.py").write_text("import sys; print('TensorRT', file=sys.stderr)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(ort, "preload_dlls", lambda: sys.stdout.write("CUDA\n"))
    with contextlib.suppress(EngineUnavailable):
        make_session(toy.model_path, provider=provider)
    sys.modules.pop("tensorrt", None)
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if line in ("CUDA", "TensorRT")] == expected
    assert not printed.out


@pytest.mark.parametrize(("precision", "adapted"), [("int8", True), ("fp32", False), ("fp16", False)])
def test_only_int8_files_are_adapted(
    publish_file: PublishFile, monkeypatch: pytest.MonkeyPatch, precision: str, adapted: bool
) -> None:
    calls: list[Provider] = []
    monkeypatch.setattr(sessions, "adapt_int8", lambda model, provider: calls.append(provider) or model)
    card = toy_card(precision=precision)
    package = publish_file(card, toy_onnx(card))
    make_session(package.model_path, precision=precision)
    assert calls == (["cpu"] if adapted else [])


def test_tensorrt_is_followed_by_providers_for_other_nodes(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "is_available", lambda _: True)
    monkeypatch.setattr(sessions, "cache_options", lambda model, profile: {"cache": f"{model}"})
    tensorrt, cuda, cpu = sessions._providers("tensorrt", toy.model_path, (64, 96), 8)["providers"]
    assert [name for name, _ in (tensorrt, cuda, cpu)] == [PROVIDER_NAMES[p] for p in ("tensorrt", "cuda", "cpu")]
    vectors = ",".join(f"{name}:8" for name in ("score_threshold", "iou_threshold", "distance_weight"))
    assert tensorrt[1]["trt_profile_max_shapes"] == f"images:8x64x96x3,{vectors}"
    assert tensorrt[1]["cache"] == str(toy.model_path)
