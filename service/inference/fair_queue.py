"""A bounded queue in which clients take turns: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).

Each entry gets the start tag max(virtual time, previous tag of its flow + 1). The virtual time is the tag of the entry
taken last. Entries leave in the order of (priority, tag, arrival): a client with few entries does not wait for all
entries of a client with many. Entries of priority `low` leave when no other waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar, get_args

from service.inference.request import Priority, RequestContext

MAX_FLOWS: Final = 10_000
PRIORITIES: Final = get_args(Priority)
Entry = TypeVar("Entry", bound=Hashable)
Order = tuple[int, int, int]


class Flow(NamedTuple):
    """The requests of one client in one priority class, which take turns with those of others."""

    priority: int
    """Index of the priority: lower ones are served first."""
    client: Hashable
    """The client, or the client and what else competes for the queue."""


def flow_of(context: RequestContext, share: Hashable = None) -> Flow:
    """Return the flow of a request. Clients of different `share` take turns too."""
    return Flow(PRIORITIES.index(context.priority), (share, context.client))


class _Place(NamedTuple):
    flow: Flow
    order: Order


class FairQueue(Generic[Entry]):
    """Holds up to `size` entries in groups. Each group keeps the order of arrival and knows the fair order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._groups: dict[Hashable, dict[Entry, _Place]] = {}
        self._waiting: Counter[Flow] = Counter()
        self._tags: dict[Flow, int] = {}
        self._times = [0] * len(PRIORITIES)
        self._arrivals = 0

    def __len__(self) -> int:
        return self._waiting.total()

    @property
    def groups(self) -> Iterable[Hashable]:
        """The groups with the most urgent entries: all groups of the highest priority that waits."""
        first = {group: self.first(group)[0] for group in self._groups}
        return [group for group, priority in first.items() if priority == min(first.values())]

    def first(self, group: Hashable) -> Order:
        """Return the order of the group's next entry."""
        return min(place.order for place in self._groups[group].values())

    def oldest(self, group: Hashable) -> Entry:
        """Return the entry of the group that arrived first."""
        return next(iter(self._groups[group]))

    def count(self, group: Hashable) -> int:
        """Return the number of entries of a group."""
        return len(self._groups.get(group, ()))

    def is_full_for(self, flow: Flow) -> bool:
        """Return whether a new entry of a flow would have to leave at once."""
        return len(self) >= self.size and self._largest_other(flow) is None

    def add(self, entry: Entry, flow: Flow, group: Hashable) -> Entry | None:
        """Add an entry. If the queue is full, return the one that has to leave instead, which may be this one."""
        refused = None
        if len(self) >= self.size and (refused := self._displace(flow)) is None:
            return entry
        tag = max(self._times[flow.priority], self._tags.get(flow, -1) + 1)
        self._arrivals += 1
        self._tags[flow] = tag
        self._waiting[flow] += 1
        self._groups.setdefault(group, {})[entry] = _Place(flow, (flow.priority, tag, self._arrivals))
        return refused

    def pop(self, group: Hashable) -> Entry:
        """Remove and return the group's next entry."""
        places = self._groups[group]
        entry = min(places, key=lambda entry: places[entry].order)
        priority, tag, _ = places[entry].order
        self._times[priority] = max(self._times[priority], tag)
        self._forget(entry, group)
        return entry

    def remove(self, entry: Entry, group: Hashable) -> None:
        """Remove an entry that is no longer wanted. Its client does not pay for it."""
        if place := self._groups.get(group, {}).get(entry):
            self._tags[place.flow] = self._tags.get(place.flow, 0) - 1
            self._forget(entry, group)

    def _displace(self, flow: Flow) -> Entry | None:
        """Remove the newest entry of the flow with the most, unless `flow` would have as many."""
        largest = self._largest_other(flow)
        if largest is None:
            return None
        places = [(p.order, g, e) for g, places in self._groups.items() for e, p in places.items() if p.flow == largest]
        _, group, entry = max(places, key=lambda place: place[0])
        self.remove(entry, group)
        return entry

    def _largest_other(self, flow: Flow) -> Flow | None:
        """Return the flow with the most entries, or None if `flow` would have as many with one more."""
        largest = max(self._waiting, key=lambda other: (other.priority, self._waiting[other]))
        same = largest.priority == flow.priority
        if largest.priority < flow.priority or (same and self._waiting[flow] + 1 >= self._waiting[largest]):
            return None
        return largest

    def _forget(self, entry: Entry, group: Hashable) -> None:
        place = self._groups[group].pop(entry)
        if not self._groups[group]:
            del self._groups[group]
        self._waiting[place.flow] -= 1
        if not self._waiting[place.flow]:
            del self._waiting[place.flow]
        if not self._waiting:
            self._tags.clear()
        elif len(self._tags) > MAX_FLOWS:  # clients whose turn is over start again at the virtual time
            self._tags = {flow: self._tags[flow] for flow in self._waiting if flow in self._tags}
