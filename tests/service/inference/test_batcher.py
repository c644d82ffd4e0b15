"""The batcher on a fake clock: batches, deadlines, cancellation, limits."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence

import pytest

from service.inference.batcher import Batcher, BatchResult
from service.inference.errors import DeadlineExceeded, DecodeQueueFull, QueueFull, ShuttingDown
from service.inference.request import RequestContext
from tests.service.clock import advance, jump, on_fake_clock

FAR = 1000.0


class Recorder:
    """Doubles numbers and records the batches. A shut gate blocks every run, and the number 13 fails."""

    def __init__(self, *, shut: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        if not shut:
            self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.started.release()
        assert self.gate.wait(30)
        if 13 in items:
            raise ArithmeticError("13")
        return [2 * item for item in items]

    async def run_started(self) -> None:
        """Wait until one more run has started."""
        await asyncio.to_thread(self.started.acquire)


def submit(
    batcher: Batcher[int, int], item: int, *, group: object = None, deadline: float = FAR, client: str = ""
) -> asyncio.Task[BatchResult[int]]:
    return asyncio.create_task(batcher.submit(item, RequestContext(deadline, client), group=group))


async def values(*tasks: asyncio.Task[BatchResult[int]]) -> list[int]:
    return [answer.value for answer in await asyncio.gather(*tasks)]


@on_fake_clock
async def test_full_batch_runs_at_once() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=3, max_delay=10)
    assert await values(*(submit(batcher, n) for n in (1, 2, 3))) == [2, 4, 6]
    assert recorder.batches == [[1, 2, 3]]
    await batcher.close()


@on_fake_clock
async def test_partial_batch_runs_after_max_delay() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=3, max_delay=10)
    first = submit(batcher, 1)
    await advance()
    jump(6)
    second = submit(batcher, 2)
    await advance(3.9)
    assert recorder.batches == []
    await advance(0.1)
    assert await values(first, second) == [2, 4]
    assert recorder.batches == [[1, 2]]
    await batcher.close()


@on_fake_clock
async def test_batch_size_is_limited() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2)
    tasks = [submit(batcher, n) for n in range(5)]
    await recorder.run_started()
    recorder.gate.set()
    await asyncio.gather(*tasks)
    assert recorder.batches == [[0], [1, 2], [3, 4]]
    await batcher.close()


@on_fake_clock
async def test_groups_do_not_mix_and_the_oldest_runs_first() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2)
    busy = submit(batcher, 0, group="wide")
    await recorder.run_started()
    tasks = []
    for n, group in ((1, "wide"), (2, "tall"), (3, "wide"), (4, "tall"), (5, "wide")):
        tasks.append(submit(batcher, n, group=group))
        await advance(1)
    recorder.gate.set()
    assert await values(busy, *tasks) == [0, 2, 4, 6, 8, 10]
    assert recorder.batches == [[0], [1, 3], [2, 4], [5]]
    await batcher.close()


@on_fake_clock
async def test_full_batch_overtakes_an_older_partial_one() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    partial = submit(batcher, 1, group="wide")
    await advance(5)
    await values(submit(batcher, 2, group="tall"), submit(batcher, 3, group="tall"))
    assert recorder.batches == [[2, 3]]
    await advance(5)
    assert await values(partial) == [2]
    await batcher.close()


@on_fake_clock
async def test_workers_run_concurrently() -> None:
    together = threading.Barrier(2, timeout=30)

    def run(items: Sequence[int]) -> Sequence[int]:
        together.wait()  # passes only when both run at the same time
        return items

    batcher = Batcher(run, workers=2)
    assert await values(submit(batcher, 1), submit(batcher, 2)) == [1, 2]
    await batcher.close()


@on_fake_clock
async def test_full_queue_refuses_until_an_item_leaves() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, queue_size=2)
    running = submit(batcher, 0)
    await recorder.run_started()
    waiting = [submit(batcher, 1), submit(batcher, 2)]
    await advance()
    assert batcher.waiting == 2
    with pytest.raises(QueueFull, match="2 images are already waiting for a worker"):
        await batcher.submit(3, RequestContext(FAR))
    waiting[0].cancel()
    await advance()
    later = submit(batcher, 4)
    recorder.gate.set()
    assert await values(running, waiting[1], later) == [0, 4, 8]
    assert recorder.batches == [[0], [2], [4]]
    await batcher.close()


@on_fake_clock
async def test_full_queue_raises_the_error_of_its_stage() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, queue_size=1, stage="decoding", queue_full=DecodeQueueFull)
    tasks = [submit(batcher, 1)]
    await recorder.run_started()
    tasks.append(submit(batcher, 2))
    await advance()
    with pytest.raises(DecodeQueueFull, match="1 images are already waiting for decoding; try again later"):
        await batcher.submit(3, RequestContext(FAR))
    recorder.gate.set()
    assert await values(*tasks) == [2, 4]
    await batcher.close()


@on_fake_clock
async def test_clients_take_turns_also_within_a_batch() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2)
    tasks = [submit(batcher, 0)]
    await recorder.run_started()
    tasks += [submit(batcher, n, client="many") for n in (1, 2, 3)] + [submit(batcher, 4, client="one")]
    await advance()
    recorder.gate.set()
    await asyncio.gather(*tasks)
    assert recorder.batches == [[0], [1, 4], [2, 3]]
    await batcher.close()


@on_fake_clock
async def test_full_queue_refuses_the_client_with_the_most_items() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, queue_size=2)
    running = submit(batcher, 0)
    await recorder.run_started()
    first, second = submit(batcher, 1, client="many"), submit(batcher, 2, client="many")
    await advance()
    other = submit(batcher, 3, client="one")
    with pytest.raises(QueueFull, match="2 images are already waiting"):
        await second
    recorder.gate.set()
    assert await values(running, first, other) == [0, 2, 6]
    await batcher.close()


@on_fake_clock
async def test_item_that_expires_in_the_queue_never_runs() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder)
    running, late = submit(batcher, 1), submit(batcher, 2, deadline=5)
    await recorder.run_started()
    await advance(4.9)
    assert not late.done()
    await advance(0.1)
    with pytest.raises(DeadlineExceeded):
        await late
    recorder.gate.set()
    assert await values(running) == [2]
    assert recorder.batches == [[1]]
    await batcher.close()


@on_fake_clock
async def test_passed_deadline_counts_before_its_timer_fires() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    late = submit(batcher, 1, deadline=5)
    await advance()
    jump(5)
    first = submit(batcher, 2)
    second = submit(batcher, 3)  # the tasks run, and fill the batch, before the timer does
    with pytest.raises(DeadlineExceeded):
        await late
    await advance(10)
    assert await values(first, second) == [4, 6]
    assert sorted(n for batch in recorder.batches for n in batch) == [2, 3]
    await batcher.close()


@on_fake_clock
async def test_item_that_cannot_finish_in_time_leaves_the_worker_to_others() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder)
    tasks = [submit(batcher, 0)]
    await recorder.run_started()
    tasks += [submit(batcher, 1, deadline=15), submit(batcher, 2), submit(batcher, 3, deadline=15)]
    await advance(10)
    recorder.gate.set()
    with pytest.raises(DeadlineExceeded):
        await tasks.pop(1)
    assert await values(*tasks) == [0, 4, 6]  # nobody waits behind the last one, so it runs
    assert recorder.batches == [[0], [2], [3]]
    await batcher.close()


@on_fake_clock
async def test_batch_of_expired_items_does_not_run() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    late = submit(batcher, 1, group="wide", deadline=5)
    await advance()
    jump(12)
    other = submit(batcher, 2, group="tall")  # finds the other group due, before the timers run
    with pytest.raises(DeadlineExceeded):
        await late
    await advance(10)
    assert await values(other) == [4]
    assert recorder.batches == [[2]]
    await batcher.close()


@on_fake_clock
async def test_item_can_expire_while_it_runs() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2)
    late, other = submit(batcher, 1, deadline=5), submit(batcher, 2)
    await recorder.run_started()
    await advance(5)
    with pytest.raises(DeadlineExceeded):
        await late
    recorder.gate.set()
    assert await values(other) == [4]
    await batcher.close()


@on_fake_clock
async def test_cancelled_item_never_runs() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=3, max_delay=10)
    first, second = submit(batcher, 1), submit(batcher, 2)
    await advance()
    first.cancel()
    await advance(10)
    assert await values(second) == [4]
    third = submit(batcher, 3)
    await advance()
    third.cancel()
    await advance(10)
    assert recorder.batches == [[2]]
    assert batcher.waiting == 0
    await batcher.close()


@on_fake_clock
async def test_item_cancelled_during_dispatch_never_runs() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    leaving = submit(batcher, 1)
    await advance()
    staying = submit(batcher, 2)
    leaving.cancel()  # takes effect after the other has filled the batch
    assert await values(staying) == [4]
    assert recorder.batches == [[2]]
    await batcher.close()


@on_fake_clock
async def test_item_cancelled_while_it_runs_does_not_affect_others() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2)
    first, second = submit(batcher, 1), submit(batcher, 2)
    await recorder.run_started()
    first.cancel()
    recorder.gate.set()
    assert await values(second) == [4]
    await batcher.close()


@on_fake_clock
async def test_faulty_item_does_not_affect_others() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=3, max_delay=10)
    good, bad, fine = (submit(batcher, n) for n in (1, 13, 3))
    assert await values(good, fine) == [2, 6]
    with pytest.raises(ArithmeticError, match="13"):
        await bad
    assert recorder.batches == [[1, 13, 3], [1], [13], [3]]
    assert await values(submit(batcher, 5), submit(batcher, 6), submit(batcher, 7)) == [10, 12, 14]
    await batcher.close()


@on_fake_clock
async def test_wrong_number_of_results_fails_all_items() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [0] * (len(items) + 1), max_batch=2)
    for task in (submit(batcher, 1), submit(batcher, 2)):
        with pytest.raises(RuntimeError, match="expected 1 results"):
            await task
    await batcher.close()


@on_fake_clock
async def test_close_finishes_accepted_items_and_refuses_new_ones() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    accepted = [submit(batcher, n) for n in range(3)]
    await recorder.run_started()
    closing = asyncio.create_task(batcher.close())
    await advance()
    with pytest.raises(ShuttingDown):
        await batcher.submit(9, RequestContext(FAR))
    assert not closing.done()
    recorder.gate.set()
    await closing
    assert await values(*accepted) == [0, 2, 4]
    assert recorder.batches == [[0, 1], [2]]


@on_fake_clock
async def test_result_has_queue_time_run_time_and_batch_size() -> None:
    recorder = Recorder(shut=True)
    batcher = Batcher(recorder, max_batch=2, max_delay=10)
    early = submit(batcher, 1)
    await advance(3)
    late = submit(batcher, 2)
    await recorder.run_started()
    await advance(4)
    recorder.gate.set()
    assert await early == BatchResult(2, queue_seconds=3, run_seconds=4, batch_size=2)
    assert await late == BatchResult(4, queue_seconds=0, run_seconds=4, batch_size=2)
    await batcher.close()


def test_concurrent_items_get_their_own_results() -> None:
    async def submit_many() -> list[BatchResult[int]]:
        batcher = Batcher(Recorder(), workers=3, max_batch=7, max_delay=0.001, queue_size=500)
        loop, rng = asyncio.get_running_loop(), random.Random(0)

        async def one(n: int) -> BatchResult[int]:
            await asyncio.sleep(rng.random() / 50)
            return await batcher.submit(n, RequestContext(loop.time() + 30), group=n % 3)

        answers = await asyncio.gather(*(one(n) for n in range(100, 600)))
        await batcher.close()
        return answers

    answers = asyncio.run(submit_many())
    assert [a.value for a in answers] == [2 * n for n in range(100, 600)]
    assert max(a.batch_size for a in answers) > 1
