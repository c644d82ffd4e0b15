"""Messages between front ends and the engine host."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.choice import Choice, Trial
from service.engine_host.messages import (
    RemoteError,
    describe_error,
    pack,
    parse_choice,
    parse_options,
    raise_error,
    receive,
    receive_first,
)


def through_json(document: dict[str, object]) -> dict[str, object]:
    return dict(json.loads(json.dumps(document)))


def test_message_with_bytes_arrives_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack({"count": 1}, b"\0" * 50_000))
        assert receive(theirs) == ({"count": 1}, b"\0" * 50_000)


def test_end_in_the_middle_of_a_message_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(pack({"count": 1}, b"1234")[:-1])
        with pytest.raises(ConnectionError, match="has ended"):
            receive(theirs)


def test_first_message_needs_a_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack({}))
        with pytest.raises(ConnectionError, match="expected a descriptor"):
            receive_first(theirs)


@pytest.mark.parametrize("options", [EngineOptions(), EngineOptions(workers=3, threads=1, image_size=(320, 640))])
def test_options_survive(options: EngineOptions) -> None:
    assert parse_options(through_json(asdict(options))) == options


def test_choice_survives() -> None:
    choice = Choice("openvino", "bf16", (Trial("openvino", "bf16", 1.5, 20.0), Trial("cpu", "fp32", problem="slow")))
    assert parse_choice(through_json(asdict(choice))) == choice


def test_only_errors_of_users_keep_their_type() -> None:
    with pytest.raises(PackageError, match="damaged"):
        raise_error(through_json(describe_error(PackageError("damaged"))))
    with pytest.raises(RemoteError, match="MemoryError: full"):
        raise_error(through_json(describe_error(MemoryError("full"))))
    raise_error({"count": 1})
