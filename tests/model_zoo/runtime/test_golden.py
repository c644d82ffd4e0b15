"""Golden images are run in batches, and an engine that detects something else is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, EngineOptions, Outputs
from model_zoo.runtime.choice import Choice
from model_zoo.runtime.golden import check_golden, measure_agreement
from model_zoo.runtime.open import open_engine

pytest.importorskip("onnx")


class Faulty:
    """An engine that changes what another one receives and returns."""

    def __init__(self, engine: Engine, feeds: Callable[[Feeds], Feeds], outputs: Callable[..., Outputs]) -> None:
        self.card, self.device, self.canvases = engine.card, "faulty", engine.canvases
        self.choice = engine.choice
        self.max_batch, self.workers, self.batches = engine.max_batch, engine.workers, []
        self._engine, self._feeds, self._outputs = engine, feeds, outputs

    def run(self, feeds: Feeds) -> Outputs:
        self.batches.append(len(feeds["images"]))
        return self._outputs(*self._engine.run(self._feeds(feeds)))

    def warm_up(self) -> None:
        self._engine.warm_up()

    def close(self) -> None:
        self._engine.close()


def same_feeds(feeds: Feeds) -> Feeds:
    return feeds


def same_outputs(rows: np.ndarray, count: np.ndarray) -> Outputs:
    return rows, count


def swap_channels(feeds: Feeds) -> Feeds:
    return {**feeds, "images": np.ascontiguousarray(feeds["images"][..., ::-1])}


def saturate(feeds: Feeds) -> Feeds:
    return {**feeds, "images": np.minimum(feeds["images"], 127)}


def shift(rows: np.ndarray, count: np.ndarray) -> Outputs:
    return np.concatenate([rows[..., :4] + 8, rows[..., 4:]], axis=2), count


def nothing(rows: np.ndarray, count: np.ndarray) -> Outputs:
    return rows, np.zeros_like(count)


def fail(feeds: Feeds) -> Feeds:
    raise RuntimeError("CUDA error")


FAULTS = {
    "BGR for RGB": (swap_channels, same_outputs),
    "saturated values": (saturate, same_outputs),
    "shifted boxes": (same_feeds, shift),
    "nothing found": (same_feeds, nothing),
}


@pytest.mark.parametrize("shapes", ["square", "buckets"])
@pytest.mark.parametrize("max_batch", [1, 2, 8])
def test_right_engine_agrees(golden_toy: Package, shapes: str, max_batch: int) -> None:
    engine = open_engine(golden_toy, EngineOptions(provider="cpu", shapes=shapes, max_batch=max_batch))
    counted = Faulty(engine, same_feeds, same_outputs)
    assert check_golden(golden_toy, counted) == 3
    assert sum(counted.batches) == 3
    assert max(counted.batches) <= max_batch


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_engine_is_refused(golden_toy: Package, fault: str) -> None:
    engine = Faulty(open_engine(golden_toy, EngineOptions(provider="cpu")), *FAULTS[fault])
    message = r"^toy@1: golden image \d\.png on .*: expected the \d+ detections of ONNX Runtime .*\(faulty\)"
    with pytest.raises(PackageError, match=message):
        check_golden(golden_toy, engine)


def test_engine_that_fails_is_refused(golden_toy: Package) -> None:
    engine = Faulty(open_engine(golden_toy, EngineOptions(provider="cpu")), fail, same_outputs)
    with pytest.raises(PackageError, match=r"toy@1: the engine fails on golden images 1\.png: CUDA error"):
        check_golden(golden_toy, engine)


def test_other_input_size_is_not_checked(golden_toy: Package) -> None:
    height, width = golden_toy.card.input_size
    if not golden_toy.card.dynamic_size:
        pytest.skip("the toy has a fixed size")
    stride = golden_toy.card.stride
    options = EngineOptions(provider="cpu", image_size=(height + stride, width + stride))
    assert check_golden(golden_toy, open_engine(golden_toy, options)) == 0


def test_package_without_golden_images_is_accepted(toy: Package) -> None:
    assert check_golden(toy, open_engine(toy, EngineOptions(provider="cpu"))) == 0


def test_tolerance_follows_the_precision_of_the_engine(golden_toy: Package) -> None:
    """Scores that differ by 10 % are in the tolerance of bfloat16, and not in that of float32."""

    def lower(rows: np.ndarray, count: np.ndarray) -> Outputs:
        return np.concatenate([rows[..., :4], rows[..., 4:5] * 0.9, rows[..., 5:]], axis=2), count

    engine = Faulty(open_engine(golden_toy, EngineOptions(provider="cpu")), same_feeds, lower)
    with pytest.raises(PackageError, match="golden image"):
        check_golden(golden_toy, engine)
    assert measure_agreement(golden_toy, engine)[0] < 0.9
    engine.choice = Choice("openvino", "bf16")
    assert check_golden(golden_toy, engine) == 3
    share, difference = measure_agreement(golden_toy, engine)
    assert share > 0.8
    assert difference is None
