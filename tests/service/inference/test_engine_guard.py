"""Engines that hang or die are replaced, and their images tried once more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import blank_feeds
from service.inference import engine_guard
from service.inference.engine_guard import EngineGuard
from service.inference.errors import EngineFailed
from service.telemetry.metrics import Metrics
from tests.service.app_client import wait_until
from tests.service.conftest import Publish
from tests.service.fake_engine import POISON
from tests.service.faulty_engines import DEADLY, Fault, FaultyEngines, no_threads_left

__all__ = ["no_threads_left"]

Guarded = Callable[..., tuple[EngineGuard, FaultyEngines]]
TIMEOUT = 0.5


def feeds(*reds: int, size: tuple[int, int] = (64, 64)) -> Feeds:
    made = blank_feeds(size, len(reds))
    made["images"][...] = [[[[red, 0, 0]]] for red in reds]
    return made


def answer(guard: EngineGuard, red: int) -> float:
    return float(guard.run(feeds(red))[0][0, 0, 0])


@pytest.fixture
def guarded(publish: Publish, no_threads_left: None) -> Iterator[Guarded]:
    """Make guards of engines with faults, and end them after the test."""
    made: list[tuple[EngineGuard, FaultyEngines]] = []

    def make(*faults: Fault, metrics: Metrics | None = None, **options: int) -> tuple[EngineGuard, FaultyEngines]:
        engines = FaultyEngines(*faults, **options)
        made.append((EngineGuard(publish(), engines, TIMEOUT, metrics), engines))
        return made[-1]

    yield make
    for guard, engines in made:
        guard.close()
        engines.released.set()


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_guard, "backoff", lambda _: 0.01)


@pytest.mark.parametrize("fault", ["hangs on images", "hangs", "dead"])
def test_image_is_answered_by_a_new_engine(guarded: Guarded, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    guard, engines = guarded(fault, metrics=metrics)
    assert guard.state == "ok"
    assert answer(guard, 5) == 5
    assert (engines.loads, guard.state, guard.problem) == (2, "replaced", None)
    reason = "error" if fault == "dead" else "hung"
    labels = {"model": "toy", "version": "1", "reason": reason}
    assert metrics.registry.get_sample_value("lineage_engine_failures_total", labels) == 1
    assert "run_timeout" in caplog.text if reason == "hung" else "illegal memory access" in caplog.text


def test_bad_image_does_not_replace_the_engine(guarded: Guarded) -> None:
    guard, engines = guarded()
    with pytest.raises(RuntimeError, match="poisoned"):
        guard.run(feeds(POISON))
    assert (engines.loads, guard.state) == (1, "ok")


def test_batch_is_left_to_the_batcher(guarded: Guarded) -> None:
    """It runs the images one by one, which is their second try."""
    guard, engines = guarded("hangs on images", max_batch=2)
    with pytest.raises(EngineFailed, match="no answer within"):
        guard.run(feeds(1, 2))
    assert [answer(guard, red) for red in (1, 2)] == [1, 2]
    assert engines.loads == 2


def test_second_failure_is_final_and_shows_as_a_problem(guarded: Guarded) -> None:
    guard, engines = guarded("dead", "hangs on images")
    with pytest.raises(EngineFailed, match="no answer within"):
        guard.run(feeds(1))
    assert guard.state == "failed"
    assert guard.problem
    assert "the next try is in 5 s" in guard.problem
    with pytest.raises(EngineFailed) as caught:
        guard.run(feeds(1))
    assert 3 < caught.value.retry_after <= 5
    assert engines.loads == 2, "no new engine before the wait is over"


@pytest.mark.usefixtures("no_backoff")
def test_model_recovers_when_an_engine_can_be_opened_again(guarded: Guarded) -> None:
    guard, engines = guarded("dead", "fails to load", "hangs", "dead")
    with pytest.raises(EngineFailed):
        guard.run(feeds(1))
    wait_until(lambda: guard.state == "replaced")
    assert (engines.loads, guard.problem, answer(guard, 9)) == (5, None, 9)


@pytest.mark.usefixtures("no_backoff")
def test_answered_image_ends_a_row_of_failures(guarded: Guarded) -> None:
    guard, engines = guarded()
    for _ in range(3):
        engines.opened[-1].fault = "dead"
        assert answer(guard, 5) == 5
        assert guard.problem is None
    assert engines.loads == 4


@pytest.mark.usefixtures("no_backoff")
def test_image_that_always_hangs_fails_and_others_are_answered(guarded: Guarded) -> None:
    guard, _ = guarded()
    with pytest.raises(EngineFailed, match=r"no answer within 0\.5 s"):
        guard.run(feeds(DEADLY))
    wait_until(lambda: guard.state == "replaced")
    assert answer(guard, 4) == 4


def test_runs_of_one_dead_engine_share_one_replacement(guarded: Guarded) -> None:
    guard, engines = guarded("dead", workers=8)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda red: answer(guard, red), range(1, 9))) == list(range(1, 9))
    assert engines.loads == 2


def test_replaced_engine_is_closed_when_its_run_returns(guarded: Guarded) -> None:
    guard, engines = guarded("hangs on images")
    answer(guard, 5)
    hung, working = engines.opened
    assert not hung.closed
    engines.released.set()
    wait_until(lambda: hung.closed)
    assert not working.closed


def test_dead_engine_is_closed(guarded: Guarded) -> None:
    guard, engines = guarded("dead")
    answer(guard, 5)
    wait_until(lambda: engines.opened[0].closed)


@pytest.mark.usefixtures("no_backoff")
def test_number_of_stuck_runs_is_limited(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_guard, "MIN_WAIT", 0.01)
    guard, engines = guarded(*["hangs on images"] * 9)
    for _ in range(engine_guard.MAX_STUCK):
        wait_until(lambda: guard.state != "failed" or "restart" in str(guard.problem))
        with pytest.raises(EngineFailed):
            guard.run(feeds(1))
    wait_until(lambda: "4 inferences have not returned; restart the server; the next try" in str(guard.problem))
    assert engines.loads == engine_guard.MAX_STUCK
    engines.faults = ()
    engines.released.set()
    wait_until(lambda: guard.state == "replaced")
    assert answer(guard, 5) == 5


def test_engine_on_another_device_is_refused(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch size and the workers of the model would not fit it."""
    guard, engines = guarded("dead")
    monkeypatch.setattr(guard, "device", "cuda")
    with pytest.raises(EngineFailed, match="expected the device cuda; got fake"):
        guard.run(feeds(1))
    wait_until(lambda: engines.opened[1].closed)


def test_close_ends_a_replacement(guarded: Guarded) -> None:
    guard, engines = guarded("dead", "dead")
    with pytest.raises(EngineFailed):
        guard.run(feeds(1))
    guard.close()
    wait_until(lambda: not any(t.name == "engine-replacement" for t in threading.enumerate()))
    assert engines.loads == 2
