"""The ONNX Runtime engine on the CPU: batches, threads, canvases and refused files."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.errors import CardError, LineageError, PackageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package
from model_zoo.runtime import int8, onnxruntime, thread_budget
from model_zoo.runtime.base import Engine, EngineOptions, Outputs, Shapes, blank_feeds
from model_zoo.runtime.onnxruntime import OnnxRuntimeEngine, load
from model_zoo.runtime.thread_budget import ThreadBudget, ThreadChoice
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.model_zoo.runtime.conftest import PublishFile
from tests.service.conftest import SAMPLES, flat
from tests.tiny_onnx import toy_card, toy_onnx

SHAPES: tuple[Shapes, ...] = ("square", "buckets")


def test_batch_gives_the_results_of_single_images(toy: Package) -> None:
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


def test_run_is_thread_safe(toy: Package) -> None:
    engine = load(toy, EngineOptions(workers=4))

    def run(red: int) -> float:
        query = pipeline.make_query(toy.card, score=0.01)
        return float(pipeline.detect(toy.card, engine.run, [flat(red)], query)[0].scores[0])

    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(run, range(10, 250)))
    np.testing.assert_allclose(scores, np.arange(10, 250) / 255, rtol=1e-5)


def test_cpu_engine_runs_single_images(toy: Package) -> None:
    engine = load(toy, EngineOptions())
    assert (engine.device, engine.max_batch) == ("cpu", 1)
    assert engine.workers >= 1
    with pytest.raises(LineageError, match="at most 1 images per run; got 2"):  # a fixed batch is faster
        engine.run(blank_feeds((64, 64), 2))


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_budget, "cpu_count", lambda only_physical_cores: 2)


@pytest.mark.usefixtures("two_cores")
def test_single_run_uses_all_cores(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    entered, proceed = threading.Event(), threading.Event()

    def run(session: ort.InferenceSession, feeds: pipeline.Feeds) -> Outputs:
        threads.append(session.get_session_options().intra_op_num_threads)
        if not entered.is_set():
            entered.set()
            assert proceed.wait(20)
        return real_run(session, feeds)

    real_run = onnxruntime._run
    monkeypatch.setattr(onnxruntime, "_run", run)
    monkeypatch.setattr(onnxruntime, "THREAD_BUDGET", ThreadBudget())
    monkeypatch.setattr(ThreadChoice, "choose", lambda self: True)
    one, other = (load(toy, EngineOptions(provider="cpu")) for _ in range(2))
    feeds = blank_feeds((64, 64), 1)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(one.run, feeds)
        assert entered.wait(20)
        other.run(feeds)
        proceed.set()
        held.result()
    one.run(feeds)
    one.run(feeds)
    assert threads == [2, 1, 1, 2]


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("all_cores", "faster"), [(6.0, 2), (12.0, 1)])
def test_single_run_uses_the_faster_number_of_threads(
    toy: Package, monkeypatch: pytest.MonkeyPatch, all_cores: float, faster: int
) -> None:
    """Runs take `all_cores` seconds of a simulated clock on all cores, and 10 on one thread."""
    clock, threads = [0.0], []

    def run(session: ort.InferenceSession, feeds: pipeline.Feeds) -> None:
        threads.append(session.get_session_options().intra_op_num_threads)
        clock[0] += all_cores if threads[-1] == 2 else 10.0

    monkeypatch.setattr(onnxruntime, "_run", run)
    monkeypatch.setattr(onnxruntime, "THREAD_BUDGET", ThreadBudget())
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    engine = load(toy, EngineOptions(provider="cpu"))
    for _ in range(8):
        engine.run(blank_feeds((64, 64), 1))
    assert threads[:2] == [2, 1]
    assert threads[2:] == [faster] * 6


def on_canvas(engine: Engine, file: Path) -> pipeline.ModelInput:
    image = decode_image(file.read_bytes())
    return pipeline.preprocess(
        engine.card, image, pipeline.choose_canvas(engine.card, (image.shape[0], image.shape[1]), engine.canvases)
    )


@pytest.mark.usefixtures("two_cores")
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    """The bundled model on the sample screenshots is bit-identical, so results are the same under load."""
    engine = load(BUNDLED_REPOSITORY.resolve("ui-elements"), EngineOptions(provider="cpu", shapes="buckets"))
    assert isinstance(engine, OnnxRuntimeEngine)
    for sample in sorted(SAMPLES.glob("*.jpg")):
        item = on_canvas(engine, sample)
        feeds = pipeline.collate([item], [pipeline.make_query(engine.card, score=0.01)])
        (one, count), (two, same) = (onnxruntime._run(engine._sessions[None, threads], feeds) for threads in (1, 2))
        assert count == same > 10
        np.testing.assert_array_equal(one, two)


def test_sessions_for_all_canvases_answer_as_those_for_one() -> None:
    package = BUNDLED_REPOSITORY.resolve("ui-elements")
    engine = load(package, EngineOptions(provider="cpu", shapes="buckets", threads=1))
    item = on_canvas(engine, SAMPLES / "file-manager.jpg")
    feeds = pipeline.collate([item], [pipeline.make_query(engine.card)])
    size = (item.pixels.shape[0], item.pixels.shape[1])
    fixed = load(package, EngineOptions(provider="cpu", shapes="square", threads=1, image_size=size))
    assert size != engine.card.input_size
    for one, other in zip(engine.run(feeds), fixed.run(feeds), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_canvases_are_ready_to_run(publish_file: PublishFile) -> None:
    card = toy_card(size=(256, 256))
    engine = load(publish_file(card, toy_onnx(card)), EngineOptions(shapes="buckets", max_batch=3))
    assert list(engine.canvases) == pipeline.canvases(card, few=False)
    engine.warm_up()
    for size in engine.canvases:
        rows, counts = engine.run(blank_feeds(size, 2))
        assert (rows.shape, counts.shape) == ((2, 3, 6), (2,))
    square = load(publish_file(card, toy_onnx(card)), EngineOptions())
    assert list(square.canvases) == [(256, 256)]


@pytest.mark.usefixtures("two_cores")
def test_canvases_cost_no_sessions(publish_file: PublishFile) -> None:
    card = toy_card(size=(256, 256))
    engines = [load(publish_file(card, toy_onnx(card)), EngineOptions(shapes=shapes)) for shapes in SHAPES]
    assert [len(engine._sessions) for engine in engines if isinstance(engine, OnnxRuntimeEngine)] == [2, 2]


def test_card_that_differs_from_the_file_is_refused(publish_file: PublishFile) -> None:
    card = toy_card()
    other = dataclasses.replace(card, class_names=("cat", "dog", "cow"))
    with pytest.raises(PackageError, match=r"card inside model.onnx differs"):
        load(publish_file(other, toy_onnx(card)), EngineOptions())


def test_raw_export_is_refused(publish_file: PublishFile) -> None:
    card = dataclasses.replace(toy_card(), output="raw")
    with pytest.raises(PackageError, match="without --raw"):
        load(publish_file(card, toy_onnx(card)), EngineOptions())


def test_invalid_model_file_is_refused(publish_file: PublishFile) -> None:
    with pytest.raises(PackageError, match="toy@1: ONNX Runtime cannot load it"):
        load(publish_file(toy_card(), b"not a model"), EngineOptions())


def test_model_without_a_card_is_refused(publish_file: PublishFile) -> None:
    onnx = pytest.importorskip("onnx", reason="removing the card needs onnx")
    model = onnx.load_from_string(toy_onnx(toy_card()))
    del model.metadata_props[:]
    with pytest.raises(CardError, match="contains no card"):
        load(publish_file(toy_card(), model.SerializeToString()), EngineOptions())


def test_int8_model_with_uint8_activations_runs(publish_file: PublishFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "_is_x86", lambda: True)
    card = toy_card(precision="int8")
    engine = load(publish_file(card, toy_onnx(card)), EngineOptions(workers=1))
    query = pipeline.make_query(card, score=0.01)
    assert len(pipeline.detect(card, engine.run, [flat(200, 100, 50)], query)[0]) == 3


def test_threads_option_fixes_the_threads_of_all_runs(toy: Package) -> None:
    engine = load(toy, EngineOptions(provider="cpu", threads=3))
    assert isinstance(engine, OnnxRuntimeEngine)
    assert [threads for _, threads in engine._sessions] == [3]
    with onnxruntime.THREAD_BUDGET.run():
        engine.run(blank_feeds((64, 64), 1))


def test_engine_with_fixed_threads_takes_no_cores_from_others(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "THREAD_BUDGET", ThreadBudget())
    shadow, inside = load(toy, EngineOptions(provider="cpu", threads=1)), []

    def run(session: object, feeds: object) -> None:
        with onnxruntime.THREAD_BUDGET.run() as may_use_all:  # another engine runs meanwhile
            inside.append(may_use_all)

    monkeypatch.setattr(onnxruntime, "_run", run)
    for _ in range(2):
        shadow.run(blank_feeds((64, 64), 1))
    assert inside == [True, True]
