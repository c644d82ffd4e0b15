"""The ONNX Runtime engine on the CPU: what it refuses, that batches and threads do not mix, and its shapes."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import CardError, PackageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package, Repository
from model_zoo.runtime import onnxruntime, sessions
from model_zoo.runtime.base import EngineOptions, EngineUnavailable, Outputs, Provider, blank_feeds
from model_zoo.runtime.onnxruntime import OnnxRuntimeEngine, load
from model_zoo.runtime.sessions import PROVIDER_NAMES
from model_zoo.runtime.thread_budget import ThreadBudget
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.service.conftest import SAMPLES, flat
from tests.tiny_onnx import toy_card, toy_onnx

Put = Callable[..., Package]


@pytest.fixture
def put(repository: Repository, tmp_path: Path) -> Put:
    """Publish a card beside a model file that may hold another."""

    def put(card: ModelCard, contents: bytes) -> Package:
        source = tmp_path / "model.onnx"
        source.write_bytes(contents)
        return repository.publish(card, {"model.onnx": source})

    return put


def test_a_batch_finds_for_each_image_what_it_finds_alone(toy: Package) -> None:
    engine = load(toy, EngineOptions(max_batch=8))
    images = [flat(30 * n, 255 - 30 * n, 7 * n) for n in range(8)]
    queries = [pipeline.make_query(toy.card, score=n / 10 + 0.01, iou=n / 8) for n in range(8)]
    items = [pipeline.preprocess(toy.card, image) for image in images]
    rows, counts = engine.run(pipeline.collate(items, queries))
    assert len({row.tobytes() for row in rows}) == 8
    for n in range(8):
        alone, count = engine.run(pipeline.collate([items[n]], [queries[n]]))
        assert counts[n] == count[0]
        np.testing.assert_array_equal(rows[n], alone[0])


def test_threads_may_run_side_by_side(toy: Package) -> None:
    engine = load(toy, EngineOptions(workers=4))

    def run(red: int) -> float:
        query = pipeline.make_query(toy.card, score=0.01)
        return float(pipeline.detect(toy.card, engine.run, [flat(red)], query)[0].scores[0])

    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(run, range(10, 250)))
    np.testing.assert_allclose(scores, np.arange(10, 250) / 255, rtol=1e-5)


def test_on_a_cpu_it_runs_single_images_on_as_many_threads_as_there_are_cores(toy: Package) -> None:
    engine = load(toy, EngineOptions())
    assert (engine.device, engine.max_batch) == ("cpu", 1)
    assert engine.workers >= 1
    with pytest.raises(Exception, match="Got: 2 Expected: 1"):  # the batch is fixed, which is faster
        engine.run(blank_feeds((64, 64), 2))


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cpu_count", lambda only_physical_cores=False: 2)


@pytest.mark.usefixtures("two_cores")
def test_a_run_takes_every_core_when_no_model_runs_beside_it(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    entered, go_on = threading.Event(), threading.Event()

    def run(session: ort.InferenceSession, feeds: pipeline.Feeds) -> Outputs:
        threads.append(session.get_session_options().intra_op_num_threads)
        if not entered.is_set():
            entered.set()
            assert go_on.wait(20)
        return real_run(session, feeds)

    real_run = onnxruntime._run
    monkeypatch.setattr(onnxruntime, "_run", run)
    monkeypatch.setattr(onnxruntime, "THREAD_BUDGET", ThreadBudget())
    one, other = (load(toy, EngineOptions(provider="cpu")) for _ in range(2))
    feeds = blank_feeds((64, 64), 1)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(one.run, feeds)
        assert entered.wait(20)
        other.run(feeds)
        go_on.set()
        held.result()
    one.run(feeds)
    one.run(feeds)
    assert threads == [2, 1, 1, 2]


@pytest.mark.usefixtures("two_cores")
def test_what_is_found_does_not_depend_on_the_threads() -> None:
    """The embedded model on the sample screenshots; bit by bit, so that an answer is the same under load."""
    engine = load(BUNDLED_REPOSITORY.resolve("ui-elements"), EngineOptions(provider="cpu"))
    assert isinstance(engine, OnnxRuntimeEngine)
    (size,) = engine.canvases
    for sample in sorted(SAMPLES.glob("*.jpg")):
        item = pipeline.preprocess(engine.card, decode_image(sample.read_bytes()))
        feeds = pipeline.collate([item], [pipeline.make_query(engine.card, score=0.01)])
        (one, count), (two, same) = (onnxruntime._run(engine._sessions[size, threads], feeds) for threads in (1, 2))
        assert count == same > 10
        np.testing.assert_array_equal(one, two)


def test_every_canvas_is_ready_to_run(put: Put) -> None:
    card = toy_card(size=(256, 256))
    engine = load(put(card, toy_onnx(card)), EngineOptions(shapes="buckets", max_batch=3))
    assert list(engine.canvases) == pipeline.canvases(card)
    assert len(engine.canvases) > 1
    engine.warm_up()
    for size in engine.canvases:
        rows, counts = engine.run(blank_feeds(size, 2))
        assert (rows.shape, counts.shape) == ((2, 3, 6), (2,))
    square = load(put(card, toy_onnx(card)), EngineOptions())
    assert list(square.canvases) == [(256, 256)]


def test_a_card_that_is_not_the_files_own_is_refused(put: Put) -> None:
    card = toy_card()
    other = dataclasses.replace(card, class_names=("cat", "dog", "cow"))
    with pytest.raises(PackageError, match=r"card inside model.onnx differs"):
        load(put(other, toy_onnx(card)), EngineOptions())


def test_a_raw_export_is_refused(put: Put) -> None:
    card = dataclasses.replace(toy_card(), output="raw")
    with pytest.raises(PackageError, match="without --raw"):
        load(put(card, toy_onnx(card)), EngineOptions())


def test_a_file_that_is_no_model_is_refused(put: Put) -> None:
    with pytest.raises(PackageError, match="toy@1: ONNX Runtime cannot load it"):
        load(put(toy_card(), b"not a model"), EngineOptions())


def test_a_model_without_a_card_is_refused(put: Put) -> None:
    onnx = pytest.importorskip("onnx", reason="taking the card out takes onnx")
    model = onnx.load_from_string(toy_onnx(toy_card()))
    del model.metadata_props[:]
    with pytest.raises(CardError, match="contains no card"):
        load(put(toy_card(), model.SerializeToString()), EngineOptions())


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_is_not_there_is_told(toy: Package, provider: str) -> None:
    if PROVIDER_NAMES[provider] in ort.get_available_providers():
        pytest.skip(f"{provider} is there")
    with pytest.raises(EngineUnavailable, match=f"provider {provider}"):
        load(toy, EngineOptions(provider=provider))


@pytest.mark.parametrize(
    ("provider", "expected"), [("cpu", []), ("cuda", ["CUDA"]), ("tensorrt", ["CUDA", "TensorRT"])]
)
def test_a_gpus_libraries_are_loaded_from_their_wheels(
    provider: str,
    expected: list[str],
    toy: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Stand-ins for the loaders of both; what a machine without a GPU says afterwards is of no account here."""
    (tmp_path / "tensorrt.py").write_text("import sys; print('TensorRT', file=sys.stderr)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(ort, "preload_dlls", lambda: sys.stdout.write("CUDA\n"))
    with contextlib.suppress(EngineUnavailable):
        load(toy, EngineOptions(provider=provider))
    sys.modules.pop("tensorrt", None)
    told = capsys.readouterr()
    assert [line for line in told.err.splitlines() if line in ("CUDA", "TensorRT")] == expected
    assert not told.out


@pytest.mark.parametrize(
    ("precision", "provider", "vnni", "moved"),
    [
        ("int8", "cpu", True, True),
        ("int8", "cpu", False, False),
        ("int8", "openvino", False, True),
        ("int8", "tensorrt", True, False),
        ("fp32", "cpu", True, False),
    ],
)
def test_int8_counts_from_zero_where_that_is_faster_or_right(
    put: Put, monkeypatch: pytest.MonkeyPatch, precision: str, provider: Provider, vnni: bool, moved: bool
) -> None:
    monkeypatch.setattr(sessions, "_has_vnni", lambda: vnni)
    monkeypatch.setattr(sessions, "to_uint8_activations", lambda model: b"moved" + model)
    card = toy_card(precision=precision)
    package = put(card, toy_onnx(card))
    wanted = b"moved" + package.model_path.read_bytes() if moved else package.model_path
    assert sessions._adapt(package.model_path, provider, precision) == wanted


def test_an_int8_model_is_loaded_from_memory(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_has_vnni", lambda: True)
    card = toy_card(precision="int8")
    engine = load(put(card, toy_onnx(card)), EngineOptions(workers=1))
    query = pipeline.make_query(card, score=0.01)
    assert len(pipeline.detect(card, engine.run, [flat(200, 100, 50)], query)[0]) == 3
