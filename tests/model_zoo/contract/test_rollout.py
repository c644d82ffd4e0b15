"""The document of a rollout policy: read, check, describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout, Shadow, parse_rollout, read_rollout

DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "stable": 3,
    "canary": {"version": 4, "percent": 5.0, "header": {"name": "x-canary", "value": "on"}, "sticky": "x-api-key"},
    "shadow": {"version": "candidate", "percent": 50.0},
}
ROLLOUT = Rollout("3", Canary("4", 5, HeaderMatch("x-canary", "on"), "x-api-key"), Shadow("candidate", 50))


def test_document_and_policy_are_the_same() -> None:
    assert parse_rollout(DOCUMENT) == ROLLOUT
    assert ROLLOUT.to_document() == DOCUMENT
    assert ROLLOUT.versions == {"stable": "3", "canary.version": "4", "shadow.version": "candidate"}


def test_every_field_is_optional() -> None:
    assert parse_rollout({}) == Rollout()
    assert parse_rollout({"shadow": {"version": 2}}).shadow == Shadow("2", 100)
    assert Rollout(stable="latest").to_document() == {"schema_version": 1, "stable": "latest"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document: expected an object; got []"),
        ({"stabel": 3}, "stabel: unknown field; expected one of stable, canary, shadow, schema_version"),
        ({"stable": 3.5}, "stable: expected a version number or an alias; got 3.5"),
        ({"stable": True}, "stable: expected a version number or an alias; got True"),
        ({"stable": ""}, "stable: expected a version number or an alias; got ''"),
        ({"stable": 10**4000}, "stable: expected a version number or an alias; got 1000"),
        ({"canary": {"version": ""}}, "canary.version: expected a version number or an alias; got ''"),
        ({"canary": {"version": None}}, "canary.version: expected a version number or an alias; got None"),
        ({"shadow": {"version": "a\x1b"}}, "shadow.version: expected a version number or an alias; got 'a\\x1b'"),
        ({"canary": 4}, "canary: expected an object; got 4"),
        ({"canary": {"percent": 5}}, "canary.version: expected a string; the field is missing"),
        ({"canary": {"version": 4, "percent": 101}}, "canary.percent: expected a number from 0 to 100; got 101"),
        ({"canary": {"version": 4, "percent": "5"}}, "canary.percent: expected a finite number; got '5'"),
        ({"canary": {"version": 4, "header": {"name": "a b"}}}, "canary.header.name: expected the name of a header"),
        ({"canary": {"version": 4, "sticky": ""}}, "canary.sticky: expected the name of a header"),
        ({"canary": {"version": 4, "header": {"name": "x", "value": " on"}}}, "canary.header.value: expected"),
        ({"canary": {"version": 4, "header": {"name": "x", "value": "für"}}}, "without spaces around it; got 'für'"),
        ({"shadow": {"version": 4, "percent": -1}}, "shadow.percent: expected a number from 0 to 100; got -1"),
        ({"schema_version": 2}, "expected schema_version 1; got 2; a newer release wrote it"),
    ],
)
def test_mistakes_name_the_field(document: object, message: str) -> None:
    with pytest.raises(LineageError) as caught:
        parse_rollout(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("contents", [b"{", b"\xff", b'{"canary": {"version": 4, "percent": NaN}}', b"[" * 100_000])
def test_damaged_file_is_named(tmp_path: Path, contents: bytes) -> None:
    folder = tmp_path / "cars"
    folder.mkdir()
    (folder / "rollout.json").write_bytes(contents)
    with pytest.raises(LineageError, match=r"^cars: rollout\.json: .*; fix or delete it$"):
        read_rollout(folder)


def test_file_is_read(tmp_path: Path) -> None:
    assert read_rollout(tmp_path) is None
    (tmp_path / "rollout.json").write_text(json.dumps(DOCUMENT))
    assert read_rollout(tmp_path) == ROLLOUT


def test_promoted_canary_is_stable() -> None:
    assert ROLLOUT.promote() == Rollout("4", None, Shadow("candidate", 50))
    with pytest.raises(LineageError, match="expected a canary to promote; there is none"):
        Rollout("3").promote()


def test_parts_that_name_a_version_are_left_out() -> None:
    assert ROLLOUT.without({"3", "candidate"}) == Rollout(None, ROLLOUT.canary, None)
    assert ROLLOUT.without({"4"}) == Rollout("3", None, ROLLOUT.shadow)


def test_policy_is_described_in_words() -> None:
    assert ROLLOUT.describe() == [
        "stable: version 3 answers for the bare name",
        "canary: version 4 answers 5 % of the requests, the same x-api-key always alike, and requests with the header "
        "x-canary: on",
        "shadow: alias candidate is compared with the answers to 50 % of the requests",
    ]
    assert Rollout(canary=Canary("4", 0, HeaderMatch("x-canary"))).describe() == [
        "canary: version 4 answers requests with the header x-canary"
    ]
    assert Rollout().describe() == []
