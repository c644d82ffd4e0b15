"""Loaded models: verification, warm-up, unloading."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import ImageError, PackageError
from model_zoo.contract.golden import GoldenCase, GoldenSet, Tolerance
from model_zoo.contract.images.files import write_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import make_query
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import EngineOptions
from service.inference.batcher import BatchingOptions
from service.inference.engine_guard import EngineGuard
from service.inference.errors import EngineFailed
from service.inference.loaded_model import LoadedModel, load_verified
from service.inference.request import RequestContext
from tests.service.app_client import PATIENCE, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import FakeEngine, open_fake_engine
from tests.service.faulty_engines import FaultyEngines
from tests.service.store_engines import make_verifying_store, run, version
from tests.tiny_onnx import toy_card


def test_load_verifies_the_files_first(publish: Publish) -> None:
    package = publish()
    package.model_path.write_bytes(b"other")

    def must_not_open(*_: object) -> FakeEngine:
        raise AssertionError("opened a damaged package")

    with pytest.raises(PackageError, match=r"model.onnx is damaged"):
        load_verified(must_not_open, EngineOptions(), package)


@pytest.mark.parametrize("warm_up", [True, False])
def test_load_warms_up_on_request(publish: Publish, warm_up: bool) -> None:
    engine = load_verified(open_fake_engine, EngineOptions(), publish(), warm_up=warm_up)
    assert isinstance(engine, FakeEngine)
    assert engine.warm_ups == warm_up


def test_engine_is_closed_if_its_warm_up_fails(publish: Publish) -> None:
    opened: list[FakeEngine] = []

    class Broken(FakeEngine):
        def warm_up(self) -> None:
            raise RuntimeError("broken")

    def open_broken(package: Package, _: EngineOptions) -> FakeEngine:
        opened.append(Broken(package.card))
        return opened[-1]

    with pytest.raises(RuntimeError, match="broken"):
        load_verified(open_broken, EngineOptions(), publish())
    assert opened[0].closed


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(64, 64)], "expected 64 x 64 pixels"),
        ([(64, 64), (64, 32)], "expected 64 x 64 or 32 x 64 pixels"),
        ([(192 - 32 * n, 192) for n in range(6)], "expected 192 x 192 or one side shorter in steps of 32 pixels"),
    ],
)
def test_canvas_of_another_size_is_refused(
    publish: Publish, monkeypatch: pytest.MonkeyPatch, sizes: list[Size], expected: str
) -> None:
    monkeypatch.setattr(FakeEngine, "canvases", sizes)
    package = publish()
    query = make_query(package.card)

    async def detect_canvas() -> None:
        model = LoadedModel(package, FakeEngine(package.card), BatchingOptions())
        try:
            await model.detect_canvas(flat(1)[:48], query, RequestContext(PATIENCE))
        finally:
            await model.unload()

    with pytest.raises(ImageError) as caught:
        asyncio.run(detect_canvas())
    assert expected in str(caught.value)


def test_unload_waits_for_users(publish: Publish) -> None:
    async def run() -> None:
        package = publish()
        engine = FakeEngine(package.card)
        model = LoadedModel(package, engine, BatchingOptions())
        loop = asyncio.get_running_loop()
        with model.in_use():
            unloading = asyncio.create_task(model.unload())
            query = make_query(package.card, score=0.5)
            result = await model.detect(model.preprocess(flat(9, 3)), query, RequestContext(loop.time() + PATIENCE))
            assert result.value.detections.boxes[0, :2].tolist() == [9, 3]
            assert not unloading.done()
            assert not engine.closed
        await unloading
        assert engine.closed

    asyncio.run(run())


def test_failed_engine_is_a_problem_of_the_model(publish: Publish) -> None:
    async def run() -> None:
        package = publish()
        model = LoadedModel(package, EngineGuard(package, FaultyEngines("dead", "dead"), PATIENCE), BatchingOptions())
        assert (model.engine_state, model.problem) == ("ok", None)
        context = RequestContext(asyncio.get_running_loop().time() + PATIENCE)
        with pytest.raises(EngineFailed, match="toy@1: no new engine can be opened"):
            await model.detect(model.preprocess(flat(9, 3)), make_query(package.card), context)
        assert model.engine_state == "failed"
        assert "the next try is in 5 s" in str(model.problem)
        await model.unload()

    asyncio.run(run())


def make_golden(repository: Repository, folder: Path) -> Package:
    """Publish a package whose golden image the fake engine detects as expected: one box, score of the threshold."""
    write_image(folder / "1.png", np.full((64, 64, 3), (30, 9, 0), np.uint8))
    row = (0.0, 0.0, 0.0, 0.0, 0.5, 0)
    case = GoldenCase("1.png", toy_card().input_size, 0.25, (row,))
    (folder / "expected.json").write_text(
        GoldenSet((case,), 0.45, 1.0, Tolerance(0.02, 0.03, 0.1), "fp32", "test").to_json()
    )
    (folder / "model").write_bytes(b"model")
    files = {f"golden/{name}": folder / name for name in ("1.png", "expected.json")}
    return repository.publish(toy_card(), {"model.onnx": folder / "model", **files})


def test_version_with_other_detections_is_refused(repository: Repository, tmp_path: Path) -> None:
    package = make_golden(repository, tmp_path)
    opened: list[FakeEngine] = []

    def open_one(package: Package, options: EngineOptions) -> FakeEngine:
        opened.append(open_fake_engine(package, options))
        return opened[-1]

    with pytest.raises(PackageError, match=r"toy@1: golden image 1\.png .*--no-verify-on-load"):
        load_verified(open_one, EngineOptions(), package)
    assert (opened[0].warm_ups, opened[0].closed) == (1, True)
    assert load_verified(open_one, EngineOptions(), package, verify_on_load=False) is opened[1]
    assert not opened[1].closed


def test_last_good_version_answers_for_one_with_other_detections(repository: Repository, tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "good").write_bytes(b"model")
        repository.publish(toy_card(), {"model.onnx": tmp_path / "good"})
        store = make_verifying_store(repository)
        await store.refresh()
        make_golden(repository, tmp_path)
        await store.refresh()
        assert await version(store, "toy") == 1
        assert "golden image 1.png" in " ".join(store.problems())
        await store.close()

    run(test)


@pytest.mark.parametrize("verify_on_load", [True, False])
def test_setting_disables_golden_images(repository: Repository, tmp_path: Path, verify_on_load: bool) -> None:
    make_golden(repository, tmp_path)
    settings = {"verify_on_load": verify_on_load, "ready": not verify_on_load}
    with serving(repository, open_fake_engine, **settings) as client:
        if verify_on_load:
            wait_until(lambda: "golden image 1.png" in client.get("/health/ready").text)
        else:
            assert detect(client, png(flat(9))).status_code == 200
