"""Admission by expected wait, on a fake clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from service.inference.admission import Admission
from service.inference.errors import DeadlineExceeded, WaitTooLong
from service.inference.request import Priority, RequestContext
from tests.service.clock import jump, on_fake_clock


def request(seconds: float, client: str = "a", priority: Priority = "normal") -> RequestContext:
    """Return the context of a request with some seconds left."""
    return RequestContext(asyncio.get_running_loop().time() + seconds, client, priority)


def measured(seconds: float = 1.0) -> Admission:
    """Admission of a model whose images take a second, one at a time."""
    admission = Admission()
    for _ in range(50):
        admission.record(seconds)
        with admission.admit(1, request(1e9)):
            jump(seconds)
    return admission


def answer_late(admission: Admission) -> None:
    with suppress(DeadlineExceeded), admission.admit(1, request(4)):
        jump(4)
        raise DeadlineExceeded


@on_fake_clock
async def test_wait_beyond_the_deadline_is_refused_with_the_excess() -> None:
    admission = measured()
    with admission.admit(3, request(100)):
        admission.check(1, request(4.4))
        with pytest.raises(WaitTooLong, match=r"4\.30 s, exceeds the 2\.50 s left") as refused:
            admission.check(1, request(2.5))
        assert refused.value.retry_after == pytest.approx(1.8, abs=0.01)
        late = request(4.4)
        jump(2)
        with pytest.raises(WaitTooLong):
            admission.check(1, late)  # the time left counts


@on_fake_clock
async def test_idle_model_admits_whatever_was_measured() -> None:
    admission = measured(100)
    admission.check(32, request(0.1))
    with admission.admit(1, request(0.1)), pytest.raises(WaitTooLong):
        admission.check(1, request(0.1))
    admission.check(1, request(0.1))


@on_fake_clock
async def test_free_worker_admits_whatever_was_measured() -> None:
    admission = Admission(workers=2)
    admission.record(100)
    with admission.admit(1, request(0.1)), admission.admit(1, request(0.1)), pytest.raises(WaitTooLong):
        admission.check(1, request(0.1))


@on_fake_clock
async def test_model_without_a_measurement_admits() -> None:
    admission = Admission()
    with admission.admit(1000, request(1)):
        admission.check(1, request(1))


@on_fake_clock
async def test_own_images_are_part_of_the_work() -> None:
    admission = measured()
    with admission.admit(1, request(100)):
        admission.check(3, request(4.4))
        with pytest.raises(WaitTooLong):
            admission.check(4, request(4.4))


@on_fake_clock
async def test_time_that_work_does_not_explain_is_learned_also_from_late_answers() -> None:
    admission = measured()
    with admission.admit(1, request(100)):
        admission.check(1, request(2.2))
    for _ in range(1000):  # until only the mean is left of the bound
        answer_late(admission)
    with admission.admit(1, request(100)):
        with pytest.raises(WaitTooLong):
            admission.check(1, request(4.9))
        admission.check(1, request(5.2))


@on_fake_clock
async def test_slots_are_held_until_each_image_is_finished() -> None:
    admission = measured()
    with admission.admit(4, request(100)) as slots:
        slots.release(2)
        admission.check(1, request(3.3))
        slots.release()
        admission.check(1, request(2.2))
        slots.release()
    assert not admission._unfinished


@on_fake_clock
async def test_client_with_few_images_waits_only_for_its_turn() -> None:
    admission = measured()
    with admission.admit(10, request(100, "many")), admission.admit(1, request(100, "one")):
        admission.check(1, request(4.4, "one"))  # its own one, and two of the other
        with pytest.raises(WaitTooLong):
            admission.check(1, request(12.1, "many"))
        admission.check(1, request(13.2, "many"))


@on_fake_clock
async def test_low_priority_waits_for_all_others_but_not_the_reverse() -> None:
    admission = measured()
    with admission.admit(5, request(100, "a", "low")), admission.admit(5, request(100, "b")):
        admission.check(1, request(6.6, "b"))
        with pytest.raises(WaitTooLong):
            admission.check(1, request(6.6, "c", "low"))


@on_fake_clock
async def test_request_that_a_slower_machine_would_miss_is_refused() -> None:
    admission = measured()
    with admission.admit(20, request(100)):
        with pytest.raises(WaitTooLong):
            admission.check(1, request(20 * 1.05 + 1))
        admission.check(1, request(20 * 1.1 + 1.1))
