"""The fair queue: turns of clients, priorities, displacement."""

from __future__ import annotations

import pytest

from service.inference import fair_queue
from service.inference.fair_queue import FairQueue, Flow, flow_of
from service.inference.request import RequestContext

NORMAL, LOW = 0, 1


def fill(queue: FairQueue[str], *entries: str, priority: int = NORMAL) -> list[str | None]:
    """Add entries whose first letter is the client, and return what they displaced."""
    return [queue.add(entry, Flow(priority, entry[0]), None) for entry in entries]


def drain(queue: FairQueue[str]) -> list[str]:
    return [queue.pop(None) for _ in range(queue.count(None))]


def test_entries_of_one_client_keep_their_order() -> None:
    queue = FairQueue[str](10)
    fill(queue, "a3", "a1", "a2")
    assert drain(queue) == ["a3", "a1", "a2"]
    assert len(queue) == 0


def test_clients_take_turns() -> None:
    queue = FairQueue[str](10)
    fill(queue, "a1", "a2", "a3", "b1", "b2", "c1")
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_client_that_returns_at_once_does_not_get_every_turn() -> None:
    queue = FairQueue[str](10)
    fill(queue, "a1", "a2", "a3", "b1")
    served = []
    for number in range(2, 6):
        served.append(queue.pop(None))
        if served[-1].startswith("b"):
            fill(queue, f"b{number}")
    assert served == ["a1", "b1", "a2", "b3"]


def test_idle_client_saves_no_turns() -> None:
    queue = FairQueue[str](10)
    fill(queue, "a1", "a2", "a3", "a4", "a5", "a6")
    assert [queue.pop(None) for _ in range(4)] == ["a1", "a2", "a3", "a4"]
    fill(queue, "b1", "b2", "b3")
    assert drain(queue) == ["b1", "a5", "b2", "a6", "b3"]


def test_full_queue_is_open_to_clients_with_fewer_entries_and_higher_priority() -> None:
    queue = FairQueue[str](4)
    fill(queue, "a1", "a2", "a3")
    assert not queue.is_full_for(Flow(NORMAL, "a"))
    fill(queue, "b1")
    assert queue.is_full_for(Flow(NORMAL, "a"))
    assert not queue.is_full_for(Flow(NORMAL, "b"))
    assert not queue.is_full_for(Flow(NORMAL, "c"))
    assert queue.is_full_for(Flow(LOW, "c"))
    queue.pop(None)
    assert not queue.is_full_for(Flow(NORMAL, "a"))


def test_low_priority_waits_for_all_others() -> None:
    queue = FairQueue[str](10)
    fill(queue, "l1", "l2", priority=LOW)
    fill(queue, "a1", "a2")
    assert drain(queue) == ["a1", "a2", "l1", "l2"]


def test_only_groups_of_the_highest_priority_are_listed() -> None:
    queue = FairQueue[str](10)
    queue.add("low", Flow(LOW, "a"), "wide")
    queue.add("normal", Flow(NORMAL, "a"), "tall")
    assert list(queue.groups) == ["tall"]
    assert queue.pop("tall") == "normal"
    assert list(queue.groups) == ["wide"]


def test_full_queue_refuses_the_client_with_the_most_entries() -> None:
    queue = FairQueue[str](3)
    assert fill(queue, "a1", "a2", "a3", "a4") == [None, None, None, "a4"]
    assert fill(queue, "b1") == ["a3"]
    assert fill(queue, "b2") == ["b2"]  # a has two and b one: there is nothing to equalize
    assert drain(queue) == ["a1", "b1", "a2"]


def test_full_queue_prefers_normal_to_low_priority() -> None:
    queue = FairQueue[str](2)
    fill(queue, "l1", "l2", priority=LOW)
    assert fill(queue, "a1", "a2", "a3") == ["l2", "l1", "a3"]
    assert fill(queue, "l3", priority=LOW) == ["l3"]


def test_removed_entry_does_not_cost_a_turn() -> None:
    queue = FairQueue[str](10)
    fill(queue, "a1", "b1", "b2")
    queue.remove("b1", None)
    queue.remove("b2", None)
    queue.remove("b2", None)  # a second removal changes nothing
    fill(queue, "b3", "a2")
    assert drain(queue) == ["a1", "b3", "a2"]


def test_memory_of_past_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_FLOWS", 5)
    queue = FairQueue[str](1000)
    fill(queue, "z", "z2")
    for number in range(50):
        queue.add("x", Flow(NORMAL, number), None)
        queue.remove("x", None)
    assert len(queue._tags) <= 6
    assert drain(queue) == ["z", "z2"]


def test_flow_is_client_share_and_priority() -> None:
    context = RequestContext(1.0, client="key")
    assert flow_of(context) == flow_of(RequestContext(2.0, client="key"))
    others = [flow_of(context, "model"), flow_of(RequestContext(1.0, client="other"))]
    others.append(flow_of(RequestContext(1.0, client="key", priority="low")))
    assert len({flow_of(context), *others}) == 4
