"""An event loop whose clock stands still until the test moves it."""

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
    """Move the clock without letting anything happen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    loop.now += seconds


async def advance(seconds: float = 0.0) -> None:
    """Let everything happen that is due on the loop, move the clock, and again."""
    await _happen()
    jump(seconds)
    await _happen()


async def _happen() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
