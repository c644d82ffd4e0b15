"""The batcher on a fake clock: what runs together, when, and what happens to those who cannot be answered."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence

import pytest

from service.inference.batcher import Answer, Batcher, Closed, DeadlineExceeded, QueueFull
from tests.service.clock import advance, jump, on_fake_clock

FAR = 1000.0


class Machine:
    """Doubles numbers and remembers the batches; holds every run while the gate is shut; 13 breaks it."""

    def __init__(self, *, shut: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        if not shut:
            self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.release()
        assert self.gate.wait(30)
        if 13 in items:
            raise ArithmeticError("13")
        return [2 * item for item in items]

    async def has_begun(self) -> None:
        """Wait until one more run has begun."""
        await asyncio.to_thread(self.begun.acquire)


def submit(
    batcher: Batcher[int, int], item: int, *, group: object = None, deadline: float = FAR
) -> asyncio.Task[Answer[int]]:
    return asyncio.create_task(batcher.submit(item, group=group, deadline=deadline))


async def values(*tasks: asyncio.Task[Answer[int]]) -> list[int]:
    return [answer.value for answer in await asyncio.gather(*tasks)]


@on_fake_clock
async def test_a_full_batch_runs_at_once() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=3, max_delay=10)
    assert await values(*(submit(batcher, n) for n in (1, 2, 3))) == [2, 4, 6]
    assert machine.batches == [[1, 2, 3]]
    await batcher.close()


@on_fake_clock
async def test_what_does_not_fill_a_batch_waits_for_company_and_no_longer() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=3, max_delay=10)
    first = submit(batcher, 1)
    await advance()
    jump(6)
    second = submit(batcher, 2)
    await advance(3.9)
    assert machine.batches == []
    await advance(0.1)
    assert await values(first, second) == [2, 4]
    assert machine.batches == [[1, 2]]
    await batcher.close()


@on_fake_clock
async def test_a_batch_is_never_larger_than_allowed() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2)
    tasks = [submit(batcher, n) for n in range(5)]
    await machine.has_begun()
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches == [[0], [1, 2], [3, 4]]
    await batcher.close()


@on_fake_clock
async def test_groups_do_not_mix_and_the_longest_waiting_goes_first() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2)
    busy = submit(batcher, 0, group="wide")
    await machine.has_begun()
    tasks = []
    for n, group in ((1, "wide"), (2, "tall"), (3, "wide"), (4, "tall"), (5, "wide")):
        tasks.append(submit(batcher, n, group=group))
        await advance(1)
    machine.gate.set()
    assert await values(busy, *tasks) == [0, 2, 4, 6, 8, 10]
    assert machine.batches == [[0], [1, 3], [2, 4], [5]]
    await batcher.close()


@on_fake_clock
async def test_a_full_batch_overtakes_one_that_still_waits_for_company() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    lonely = submit(batcher, 1, group="wide")
    await advance(5)
    await values(submit(batcher, 2, group="tall"), submit(batcher, 3, group="tall"))
    assert machine.batches == [[2, 3]]
    await advance(5)
    assert await values(lonely) == [2]
    await batcher.close()


@on_fake_clock
async def test_workers_run_side_by_side() -> None:
    together = threading.Barrier(2, timeout=30)

    def run(items: Sequence[int]) -> Sequence[int]:
        together.wait()  # passes only when both run at the same time
        return items

    batcher = Batcher(run, workers=2)
    assert await values(submit(batcher, 1), submit(batcher, 2)) == [1, 2]
    await batcher.close()


@on_fake_clock
async def test_a_full_queue_refuses_and_takes_again_when_there_is_room() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, queue_size=2)
    running = submit(batcher, 0)
    await machine.has_begun()
    waiting = [submit(batcher, 1), submit(batcher, 2)]
    await advance()
    assert batcher.waiting == 2
    with pytest.raises(QueueFull, match="2 items are waiting"):
        await batcher.submit(3, deadline=FAR)
    waiting[0].cancel()
    await advance()
    later = submit(batcher, 4)
    machine.gate.set()
    assert await values(running, waiting[1], later) == [0, 4, 8]
    assert machine.batches == [[0], [2], [4]]
    await batcher.close()


@on_fake_clock
async def test_who_passes_the_deadline_in_the_queue_is_told_then_and_never_runs() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine)
    running, late = submit(batcher, 1), submit(batcher, 2, deadline=5)
    await machine.has_begun()
    await advance(4.9)
    assert not late.done()
    await advance(0.1)
    with pytest.raises(DeadlineExceeded):
        await late
    machine.gate.set()
    assert await values(running) == [2]
    assert machine.batches == [[1]]
    await batcher.close()


@on_fake_clock
async def test_a_passed_deadline_counts_even_where_its_timer_had_no_chance_yet() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    late = submit(batcher, 1, deadline=5)
    await advance()
    jump(5)
    first = submit(batcher, 2)
    second = submit(batcher, 3)  # the tasks run, and fill the batch, before the timer does
    with pytest.raises(DeadlineExceeded):
        await late
    await advance(10)
    assert await values(first, second) == [4, 6]
    assert sorted(n for batch in machine.batches for n in batch) == [2, 3]
    await batcher.close()


@on_fake_clock
async def test_a_batch_of_none_but_late_ones_does_not_run() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    late = submit(batcher, 1, group="wide", deadline=5)
    await advance()
    jump(12)
    other = submit(batcher, 2, group="tall")  # finds the other group due, before the timers run
    with pytest.raises(DeadlineExceeded):
        await late
    await advance(10)
    assert await values(other) == [4]
    assert machine.batches == [[2]]
    await batcher.close()


@on_fake_clock
async def test_who_passes_the_deadline_while_running_is_told_then() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2)
    late, patient = submit(batcher, 1, deadline=5), submit(batcher, 2)
    await machine.has_begun()
    await advance(5)
    with pytest.raises(DeadlineExceeded):
        await late
    machine.gate.set()
    assert await values(patient) == [4]
    await batcher.close()


@on_fake_clock
async def test_who_leaves_the_queue_never_runs() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=3, max_delay=10)
    first, second = submit(batcher, 1), submit(batcher, 2)
    await advance()
    first.cancel()
    await advance(10)
    assert await values(second) == [4]
    third = submit(batcher, 3)
    await advance()
    third.cancel()
    await advance(10)
    assert machine.batches == [[2]]
    assert batcher.waiting == 0
    await batcher.close()


@on_fake_clock
async def test_who_has_left_but_is_still_in_the_queue_never_runs() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    leaving = submit(batcher, 1)
    await advance()
    staying = submit(batcher, 2)
    leaving.cancel()  # takes effect after the other has filled the batch
    assert await values(staying) == [4]
    assert machine.batches == [[2]]
    await batcher.close()


@on_fake_clock
async def test_who_leaves_while_running_harms_nobody() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2)
    first, second = submit(batcher, 1), submit(batcher, 2)
    await machine.has_begun()
    first.cancel()
    machine.gate.set()
    assert await values(second) == [4]
    await batcher.close()


@on_fake_clock
async def test_a_poisonous_item_harms_only_itself() -> None:
    machine = Machine()
    batcher = Batcher(machine, max_batch=3, max_delay=10)
    good, bad, fine = (submit(batcher, n) for n in (1, 13, 3))
    assert await values(good, fine) == [2, 6]
    with pytest.raises(ArithmeticError, match="13"):
        await bad
    assert machine.batches == [[1, 13, 3], [1], [13], [3]]
    assert await values(submit(batcher, 5), submit(batcher, 6), submit(batcher, 7)) == [10, 12, 14]
    await batcher.close()


@on_fake_clock
async def test_results_that_cannot_be_told_apart_are_an_error_for_all() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [0] * (len(items) + 1), max_batch=2)
    for task in (submit(batcher, 1), submit(batcher, 2)):
        with pytest.raises(RuntimeError, match="expected 1 results"):
            await task
    await batcher.close()


@on_fake_clock
async def test_closing_answers_what_was_accepted_and_refuses_the_rest() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    accepted = [submit(batcher, n) for n in range(3)]
    await machine.has_begun()
    closing = asyncio.create_task(batcher.close())
    await advance()
    with pytest.raises(Closed):
        await batcher.submit(9, deadline=FAR)
    assert not closing.done()
    machine.gate.set()
    await closing
    assert await values(*accepted) == [0, 2, 4]
    assert machine.batches == [[0, 1], [2]]


@on_fake_clock
async def test_an_answer_tells_how_long_it_waited_and_ran_and_with_how_many() -> None:
    machine = Machine(shut=True)
    batcher = Batcher(machine, max_batch=2, max_delay=10)
    early = submit(batcher, 1)
    await advance(3)
    late = submit(batcher, 2)
    await machine.has_begun()
    await advance(4)
    machine.gate.set()
    assert await early == Answer(2, waited=3, ran=4, batch=2)
    assert await late == Answer(4, waited=0, ran=4, batch=2)
    await batcher.close()


def test_among_many_everyone_gets_the_own_answer() -> None:
    async def crowd() -> list[Answer[int]]:
        batcher = Batcher(Machine(), workers=3, max_batch=7, max_delay=0.001, queue_size=500)
        loop, dice = asyncio.get_running_loop(), random.Random(0)

        async def one(n: int) -> Answer[int]:
            await asyncio.sleep(dice.random() / 50)
            return await batcher.submit(n, group=n % 3, deadline=loop.time() + 30)

        answers = await asyncio.gather(*(one(n) for n in range(100, 600)))
        await batcher.close()
        return answers

    answers = asyncio.run(crowd())
    assert [a.value for a in answers] == [2 * n for n in range(100, 600)]
    assert max(a.batch for a in answers) > 1
