"""An event loop with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable


class FakeClockLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def time(self) -> float:
        return self.now


def on_fake_clock(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a loop with a fake clock."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
            runner.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


def jump(seconds: float) -> None:
    """Move the clock without running anything."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    loop.now += seconds


async def advance(seconds: float = 0.0) -> None:
    """Run what is due on the loop, move the clock, and run what is due then."""
    await _run_due()
    jump(seconds)
    await _run_due()


async def _run_due() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
