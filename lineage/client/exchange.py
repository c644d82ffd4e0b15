"""Send a request until it is answered, within its timeout and its number of retries.

Detection changes nothing on the server, so a request may be sent again. Only what passes by itself is tried again: an
overloaded or restarting server, and lost connections.
"""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from typing import Final

from lineage.client.calls import Call, Reply, Send, Steps, Wait
from lineage.client.errors import ClientError, Unavailable, from_problem

FIRST_DELAY: Final = 0.1
MAX_DELAY: Final = 5.0


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a request with all its tries."""

    timeout: float = 30.0
    """Seconds until the answer, including all tries and waits."""
    retries: int = 10
    """Max number of tries after the first."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout: expected seconds above 0; got {self.timeout!r}")
        if self.retries < 0:
            raise ValueError(f"retries: expected 0 or more; got {self.retries!r}")


def exchange(call: Call, policy: RetryPolicy) -> Steps[Reply]:
    """Send a request, several times if necessary, and return the successful answer.

    A retry waits at least for `Retry-After`. If the time left is not enough, the error is raised at once.

    Raises:
        ClientError: The request failed.
    """
    end = time.monotonic() + policy.timeout
    for tries in itertools.count(1):
        outcome = yield Send(call, end - time.monotonic())
        if isinstance(outcome, Reply) and outcome.status == 200:
            return outcome
        error = _error(outcome)
        error.tries = tries
        wait = retry_delay(tries, error.retry_after)
        if not isinstance(error, Unavailable) or tries > policy.retries or wait >= end - time.monotonic():
            raise error
        yield Wait(wait)
    raise AssertionError("unreachable")


def retry_delay(tries: int, retry_after: float | None) -> float:
    """Return the seconds to wait after a number of tries: `Retry-After` or a growing delay, plus random jitter.

    The jitter spreads the retries of many clients.
    """
    delay = min(FIRST_DELAY * 2.0 ** min(tries - 1, 32), MAX_DELAY)
    return max(retry_after or 0.0, delay / 2) + random.uniform(0, delay / 2)


def _error(outcome: Reply | ClientError | None) -> ClientError:
    if isinstance(outcome, Reply):
        return from_problem(outcome.status, outcome.problem(), outcome.retry_after)
    return outcome or ClientError("the request was not sent")
