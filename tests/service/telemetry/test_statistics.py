"""Counters of inferences."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.telemetry.statistics import Statistics, Times, VersionStatistics

TIMES = Times(1.0, 2.0, 3.0, 4.0)


def test_a_request_takes_the_time_of_its_slowest_image() -> None:
    counted = VersionStatistics()
    with counted.request() as times:
        times += [Times(9.0, 0.0, 0.0, 0.0), TIMES]
    assert (counted.success.count, counted.fail.count) == (1, 0)
    compute = counted.compute
    assert [counted.queue.seconds, compute.input.seconds, compute.infer.seconds, compute.output.seconds] == [*TIMES]


def test_requests_without_an_answer_for_every_image_fail() -> None:
    counted = VersionStatistics()
    with counted.request() as times:
        times += [TIMES, None]
    with pytest.raises(KeyError), counted.request():
        raise KeyError
    assert (counted.success.count, counted.fail.count, counted.queue.count) == (0, 2, 0)


def test_batches_of_several_threads_all_count() -> None:
    counted = VersionStatistics()
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda index: counted.add_batch(1 + index % 2, 0.1, 0.2, 0.3), range(1000)):
            pass
    assert (counted.executions, counted.images) == (1000, 1500)
    assert counted.batches[2].output.seconds == pytest.approx(150)


def test_versions_have_counters_of_their_own() -> None:
    statistics = Statistics()
    assert statistics.of("toy", 1) is statistics.of("toy", 1)
    assert statistics.of("toy", 1) is not statistics.of("toy", 2)
    assert [*statistics] == [("toy", "1"), ("toy", "2")]
