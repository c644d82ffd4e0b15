"""The number of connections, and which are closed when there are too many."""

from __future__ import annotations

from service.deploy.connections import Connections


class Fake:
    aborted = False

    def __init__(self, unread: bool = False) -> None:
        self._unread = unread

    def has_unread(self) -> bool:
        return self._unread

    def abort(self) -> None:
        self.aborted = True


def test_connection_that_waits_longest_is_closed_first() -> None:
    connections, first, second, third = Connections(2), Fake(), Fake(), Fake()
    for connection in (first, second):
        assert connections.add(connection)
        connections.set_waiting(connection, True)
    connections.set_waiting(first, False)
    connections.set_waiting(first, True)  # a request later, it waits again
    assert connections.add(third)
    assert (first.aborted, second.aborted, len(connections)) == (False, True, 2)


def test_connection_whose_request_is_not_read_yet_is_not_closed() -> None:
    connections, sent, idle = Connections(2), Fake(unread=True), Fake()
    for connection in (sent, idle):
        connections.add(connection)
        connections.set_waiting(connection, True)
    assert connections.add(Fake())
    assert (sent.aborted, idle.aborted) == (False, True)
    assert not connections.add(Fake())
    assert not sent.aborted


def test_connection_with_a_request_is_not_closed() -> None:
    connections, busy = Connections(1), Fake()
    assert connections.add(busy)
    connections.set_waiting(busy, False)
    assert not connections.add(Fake())
    assert not busy.aborted


def test_closed_connection_makes_place() -> None:
    connections, closed = Connections(1), Fake()
    connections.add(closed)
    connections.discard(closed)
    connections.discard(closed)
    assert connections.add(Fake())
    assert len(connections) == 1


def test_refused_connections_are_closed_too_until_there_is_place() -> None:
    connections, busy, refused = Connections(2), [Fake(), Fake()], [Fake() for _ in range(3)]
    assert [connections.add(connection) for connection in [*busy, *refused]] == [True, True, False, False, False]
    for connection in refused:
        connections.set_waiting(connection, True)  # for the end of its client
    connections.discard(busy[0])
    assert connections.add(Fake())
    assert [connection.aborted for connection in refused] == [True, True, True]
    assert len(connections) == 2
