"""OpenVINO answers as ONNX Runtime does, on each canvas, in each precision and from several threads."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract import pipeline
from model_zoo.contract.errors import CardError, LineageError, PackageError
from model_zoo.contract.images import decode_image
from model_zoo.contract.package import Package
from model_zoo.runtime import int8, onnxruntime, thread_budget
from model_zoo.runtime.base import Engine, EngineOptions, EngineUnavailable, blank_feeds
from model_zoo.runtime.golden import golden_feeds, measure_agreement
from model_zoo.runtime.machine import computes_bf16
from model_zoo.runtime.open import open_engine
from model_zoo.runtime.select import has_openvino
from model_zoo.runtime.thread_budget import ThreadBudget
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.model_zoo.runtime.conftest import PublishFile
from tests.service.conftest import SAMPLES, flat
from tests.tiny_onnx import toy_card, toy_onnx

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="OpenVINO is not installed")
BUNDLED = BUNDLED_REPOSITORY.resolve("ui-elements")


def open_openvino(package: Package, **options: object) -> Engine:
    return open_engine(package, EngineOptions(provider="openvino", **options))


def test_missing_package_is_reported(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "model_zoo.runtime.openvino", raising=False)
    with pytest.raises(EngineUnavailable, match=r"provider openvino: run pip install 'yolo-lineage\[openvino\]'"):
        onnxruntime.load(toy, EngineOptions(provider="openvino"))


@needs_openvino
def test_import_sends_nothing(tmp_path: Path) -> None:
    """The package openvino-telemetry would start a thread and a process, and write a file into the home folder."""
    code = """
import sys, threading
events = []
watched = ("socket.", "subprocess.", "os.fork")
sys.addaudithook(lambda event, _: events.append(event) if event.startswith(watched) else None)
from model_zoo.runtime import openvino
openvino._core()
assert threading.active_count() == 1
assert not events, events
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True, timeout=60)
    assert not list(tmp_path.iterdir())


@needs_openvino
def test_canvases_answer_as_those_of_onnx_runtime() -> None:
    engine = open_openvino(BUNDLED, shapes="buckets")
    other = open_engine(BUNDLED, EngineOptions(provider="cpu", threads=1, shapes="buckets"))
    image = decode_image((SAMPLES / "file-manager.jpg").read_bytes())
    query = pipeline.make_query(engine.card, score=0.01)
    assert len(engine.canvases) == 5
    for canvas in engine.canvases:
        resized = cv2.resize(image, canvas[::-1])
        feeds = pipeline.collate([pipeline.preprocess(engine.card, resized, canvas)], [query])
        (rows, count), (expected, expected_count) = engine.run(feeds), other.run(feeds)
        assert min(count, expected_count) > 10
        np.testing.assert_allclose(rows[0, :3], expected[0, :3], atol=0.05)  # the highest scores


@needs_openvino
@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_golden_images_agree(compute: str) -> None:
    if compute == "bf16" and not computes_bf16():
        pytest.skip("the CPU does not compute bfloat16")
    engine = open_openvino(BUNDLED, compute=compute)
    assert engine.device == {"fp32": "openvino", "bf16": "openvino bf16"}[compute]
    share, difference = measure_agreement(BUNDLED, engine)
    assert difference is None
    assert share > {"fp32": 0.99, "bf16": 0.8}[compute]


@needs_openvino
def test_concurrent_runs_have_their_own_answers() -> None:
    engine = open_openvino(BUNDLED, workers=4)
    feeds = [dict(each) for each in golden_feeds(BUNDLED, engine)]
    feeds += [each | {"score_threshold": np.full(1, 0.5, np.float32)} for each in feeds]
    expected = [engine.run(each) for each in feeds]
    assert len({rows.tobytes() for rows, _ in expected}) == len(feeds)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(engine.run, 6 * feeds))
    for (rows, count), (expected_rows, expected_count) in zip(results, 6 * expected, strict=True):
        assert count == expected_count
        np.testing.assert_array_equal(rows[0, : count[0]], expected_rows[0, : count[0]])


@needs_openvino
def test_batch_gives_the_results_of_single_images(toy: Package) -> None:
    engine = open_openvino(toy, max_batch=8)
    items = [pipeline.preprocess(toy.card, flat(30 * n, 255 - 30 * n, 7 * n)) for n in range(8)]
    queries = [pipeline.make_query(toy.card, score=n / 10 + 0.01, iou=n / 8) for n in range(8)]
    rows, counts = engine.run(pipeline.collate(items, queries))
    for n in range(8):
        alone, count = engine.run(pipeline.collate([items[n]], [queries[n]]))
        assert counts[n] == count[0]
        np.testing.assert_allclose(rows[n], alone[0], rtol=1e-6)
    with pytest.raises(LineageError, match="at most 8 images per run; got 9"):
        engine.run(blank_feeds((64, 64), 9))


@needs_openvino
def test_each_canvas_is_compiled_once(publish_file: PublishFile) -> None:
    card = toy_card(size=(256, 256))
    engine = open_openvino(publish_file(card, toy_onnx(card)), shapes="buckets", max_batch=2)
    assert not engine._networks
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: engine.run(blank_feeds((192, 256), 1)), range(8)))
    first = dict(engine._networks)
    engine.warm_up()
    assert list(first) == [(192, 256)]
    assert set(engine._networks) == set(engine.canvases) == set(pipeline.canvases(card))
    assert engine._networks[192, 256] is first[192, 256]
    engine.close()


@needs_openvino
def test_streams_and_threads_follow_the_options(toy: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream would run requests one after the other, and pinned streams of several canvases share a core."""
    from model_zoo.runtime import openvino

    configs: list[dict[str, str]] = []

    class Core:
        def read_model(self, contents: object) -> object:
            return openvino.ov.Core().read_model(contents)

        def compile_model(self, model: object, device: str, config: dict[str, str]) -> object:
            configs.append(config)
            return openvino.ov.Core().compile_model(model, device, {})

    monkeypatch.setattr(openvino, "_core", Core)
    open_openvino(toy, workers=4, threads=2, compute="bf16").warm_up()
    assert configs == [
        {
            "INFERENCE_PRECISION_HINT": "bf16",
            "NUM_STREAMS": "4",
            "INFERENCE_NUM_THREADS": "8",
            "ENABLE_CPU_PINNING": "NO",
        }
    ]


@needs_openvino
@pytest.mark.parametrize(("threads", "counts"), [(None, True), (1, False)])
def test_runs_count_as_concurrent_unless_their_threads_are_given(
    toy: Package, threads: int | None, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_zoo.runtime import openvino

    budget, inside = ThreadBudget(), []

    def run(*_: object) -> None:
        with budget.run() as may_use_all:  # another engine runs meanwhile
            inside.append(may_use_all)

    monkeypatch.setattr(openvino, "THREAD_BUDGET", budget)
    monkeypatch.setattr(openvino.Network, "run", run)
    open_openvino(toy, threads=threads).run(blank_feeds((64, 64), 1))
    assert inside == [not counts]
    assert onnxruntime.THREAD_BUDGET is thread_budget.THREAD_BUDGET


@needs_openvino
def test_int8_files_are_adapted(publish_file: PublishFile, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_zoo.runtime import openvino

    calls: list[str] = []
    monkeypatch.setattr(
        openvino, "adapt_int8", lambda model, provider: calls.append(provider) or int8.adapt_int8(model, provider)
    )
    card = toy_card(precision="int8")
    engine = open_openvino(publish_file(card, toy_onnx(card)))
    assert len(pipeline.detect(card, engine.run, [flat(200, 100, 50)], pipeline.make_query(card, score=0.01))[0]) == 3
    assert calls == ["openvino"]


@needs_openvino
@pytest.mark.parametrize("contents", [b"not a model", b"", BUNDLED.model_path.read_bytes()[:100_000]])
def test_damaged_file_is_refused(publish_file: PublishFile, contents: bytes) -> None:
    with pytest.raises(PackageError, match=r"toy@1: OpenVINO cannot load it: [^\n]+$"):
        open_openvino(publish_file(toy_card(), contents))


@needs_openvino
def test_canvas_that_cannot_be_compiled_is_refused(toy: Package) -> None:
    from model_zoo.runtime import openvino

    model = openvino.read_model(toy.model_path)
    with pytest.raises(PackageError, match=r"toy: OpenVINO cannot compile it: [^\n]+$"):
        openvino.compile_model(model, label="toy", size=(64,))


@needs_openvino
def test_card_that_differs_or_is_missing_is_refused(publish_file: PublishFile) -> None:
    onnx = pytest.importorskip("onnx", reason="removing the card needs onnx")
    card = toy_card()
    other = dataclasses.replace(card, class_names=("cat", "dog", "cow"))
    with pytest.raises(PackageError, match=r"card inside model.onnx differs"):
        open_openvino(publish_file(other, toy_onnx(card)))
    model = onnx.load_from_string(toy_onnx(card))
    del model.metadata_props[:]
    with pytest.raises(CardError, match="contains no card"):
        open_openvino(publish_file(card, model.SerializeToString()))


@needs_openvino
def test_file_with_a_fixed_batch_runs_single_images(publish_file: PublishFile) -> None:
    onnx = pytest.importorskip("onnx", reason="fixing the batch needs onnx")
    model = onnx.load_from_string(toy_onnx(toy_card()))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    engine = open_openvino(publish_file(toy_card(), model.SerializeToString()), max_batch=8)
    assert engine.max_batch == 1
    engine.warm_up()
