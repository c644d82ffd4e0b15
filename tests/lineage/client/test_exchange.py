"""Tries, waits and limits of a request, without a network."""

from __future__ import annotations

import json

import pytest

from lineage.client.calls import Call, Outcome, Reply, Send, Wait
from lineage.client.errors import ClientError, DeadlineExceeded, InvalidRequest, Unavailable
from lineage.client.exchange import MAX_DELAY, RetryPolicy, exchange, retry_delay

CALL = Call("POST", "detect")
OK = Reply(200, {}, b"{}")
LOST = Unavailable("connection lost")


def refusal(status: int, retry_after: str | None = None, detail: str = "the reason") -> Reply:
    headers = {"retry-after": retry_after} if retry_after else {}
    return Reply(status, headers, json.dumps({"detail": detail}).encode())


def run(*outcomes: Outcome, timeout: float = 30.0, retries: int = 10) -> tuple[Reply, list[float]]:
    """Perform an exchange without waiting. Return its answer and its waits."""
    steps, waits, left = exchange(CALL, RetryPolicy(timeout, retries)), list[float](), list(outcomes)
    step = next(steps)
    while True:
        try:
            if isinstance(step, Wait):
                waits.append(step.seconds)
                step = steps.send(None)
            else:
                assert isinstance(step, Send)
                assert step.call is CALL
                assert 0 < step.seconds <= timeout
                step = steps.send(left.pop(0))
        except StopIteration as done:
            assert not left
            return done.value, waits


def test_answer_is_returned_at_once() -> None:
    assert run(OK) == (OK, [])


@pytest.mark.parametrize("passing", [refusal(503), refusal(502), refusal(429), LOST], ids=["503", "502", "429", "lost"])
def test_what_passes_by_itself_is_tried_again(passing: Outcome) -> None:
    reply, waits = run(passing, passing, OK)
    assert (reply, len(waits)) == (OK, 2)


def test_retry_after_is_honored_with_jitter() -> None:
    waits = [run(refusal(503, "3"), OK)[1][0] for _ in range(50)]
    assert all(3 <= wait < 4 for wait in waits)
    assert len(set(waits)) > 40


def test_delays_grow_up_to_a_limit() -> None:
    _, waits = run(*[LOST] * 10, OK)
    assert all(0.05 * 2**i <= wait <= 0.1 * 2**i for i, wait in enumerate(waits[:6]))
    assert all(MAX_DELAY / 2 <= wait <= MAX_DELAY for wait in waits[6:])
    assert retry_delay(10_000, None) <= MAX_DELAY


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500, 504])
def test_other_errors_are_raised_at_once(status: int) -> None:
    with pytest.raises(ClientError) as caught:
        run(refusal(status), OK)
    assert (caught.value.status, caught.value.tries) == (status, 1)


def test_timeout_of_a_try_is_raised_at_once() -> None:
    with pytest.raises(DeadlineExceeded):
        run(DeadlineExceeded("no answer"), OK)


def test_number_of_retries_is_limited() -> None:
    with pytest.raises(Unavailable, match="connection lost \\(4 tries\\)"):
        run(*[LOST] * 4, retries=3)
    with pytest.raises(Unavailable):
        run(LOST, retries=0)


def test_longer_waits_than_the_time_left_are_refused_at_once() -> None:
    with pytest.raises(Unavailable) as caught:
        run(refusal(503, "60"), timeout=10)
    assert (caught.value.retry_after, caught.value.tries) == (60, 1)


@pytest.mark.parametrize("text", ["", "soon", "nan", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_unusable_retry_after_is_ignored(text: str) -> None:
    _, [wait] = run(refusal(503, text), OK)
    assert wait <= 0.1


def test_text_of_an_error_that_is_no_json_is_shown() -> None:
    with pytest.raises(ClientError, match="Internal Server Error: <html>broken"):
        run(Reply(500, {}, b"<html>broken"))


def test_redirects_are_shown() -> None:
    with pytest.raises(ClientError, match="redirected to https://elsewhere/"):
        run(Reply(301, {"location": "https://elsewhere/"}, b""))


def test_error_has_the_facts_of_the_answer() -> None:
    body = {"title": "Query out of range", "detail": "score: expected 0 to 1; got 2", "request_id": "0123"}
    with pytest.raises(InvalidRequest) as caught:
        run(Reply(422, {}, json.dumps(body).encode()))
    assert str(caught.value) == "Query out of range: score: expected 0 to 1; got 2 (status 422, request 0123)"


@pytest.mark.parametrize(("timeout", "retries"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, -1)])
def test_impossible_limits_are_refused(timeout: float, retries: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        RetryPolicy(timeout, retries)
