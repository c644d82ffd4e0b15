"""`lineage models rollout`, and policies in `lineage models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout, Shadow, read_rollout
from tests.tiny_onnx import toy_card


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """`cars` with versions 1 to 3, and the alias candidate of 3."""
    source = tmp_path / "some.onnx"
    source.write_bytes(b"graph")
    repository = Repository(tmp_path / "models")
    for _ in range(3):
        repository.publish(toy_card("cars"), {"model.onnx": source})
    repository.set_alias("cars", "candidate", 3)
    return repository


def run(repository: Repository, *arguments: str) -> int:
    return main(["models", "rollout", *arguments, "--repository", str(repository.root)])


def policy(repository: Repository) -> Rollout | None:
    return read_rollout(repository.root / "cars")


def test_policy_is_shown_in_words(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, "cars") == 0
    assert run(repository, "cars", "--stable=1", "--canary=2", "--percent=5", "--sticky=client") == 0
    assert run(repository, "cars", "--shadow=candidate", "--shadow-percent=50") == 0
    assert capsys.readouterr().out.splitlines() == [
        "cars: no rollout policy: the alias stable or the newest version answers for the bare name",
        "cars: stable: version 1 answers for the bare name",
        "cars: canary: version 2 answers 5 % of the requests, the same client always alike",
        "cars: stable: version 1 answers for the bare name",
        "cars: canary: version 2 answers 5 % of the requests, the same client always alike",
        "cars: shadow: alias candidate (version 3) is compared with the answers to 50 % of the requests",
    ]


def test_options_change_their_part_only(repository: Repository) -> None:
    run(repository, "cars", "--stable=1", "--canary=2", "--percent=5", "--header=x-canary=on", "--shadow=3")
    assert policy(repository) == Rollout("1", Canary("2", 5, HeaderMatch("x-canary", "on")), Shadow("3"))
    run(repository, "cars", "--percent=20", "--header=x-canary")
    assert policy(repository) == Rollout("1", Canary("2", 20, HeaderMatch("x-canary")), Shadow("3"))
    run(repository, "cars", "--header=none", "--shadow-percent=10")
    assert policy(repository) == Rollout("1", Canary("2", 20), Shadow("3", 10))
    run(repository, "cars", "--shadow=none", "--stable=none")
    assert policy(repository) == Rollout(canary=Canary("2", 20))


def test_promoted_canary_is_stable_and_cleared_policy_is_gone(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository, "cars", "--stable=1", "--canary=2", "--percent=5")
    assert run(repository, "cars", "--promote") == 0
    assert policy(repository) == Rollout("2")
    assert run(repository, "cars", "--clear") == 0
    assert policy(repository) is None
    assert capsys.readouterr().out.splitlines()[-1] == "cars: removed the rollout policy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bus",), "no model 'bus'; available: cars"),
        (("cars", "--stable=9"), "stable: cars has no version '9'; expected one of: 1, 2, 3, latest, candidate"),
        (("cars", "--canary=2", "--percent=101"), "canary.percent: expected a number from 0 to 100; got 101"),
        (("cars", "--percent=5"), "--percent, --header and --sticky: expected with --canary VERSION"),
        (("cars", "--shadow-percent=5"), "--shadow-percent: expected with --shadow VERSION"),
        (("cars", "--canary=2", "--header=a b"), "canary.header.name: expected the name of a header"),
        (("cars", "--promote"), "expected a canary to promote; there is none"),
        (("cars", "--clear", "--stable=1"), "expected one of --promote, --clear, or options"),
        (("cars", "--clear"), "cars has no rollout policy"),
        (("cars", "--percent=many"), "percent"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(
    repository: Repository, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(repository, *arguments) == 2
    assert message in capsys.readouterr().err
    assert policy(repository) is None


def test_damaged_policy_is_named_and_can_be_cleared(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (repository.root / "cars" / "rollout.json").write_text('{"canary": 2}')
    assert run(repository, "cars", "--stable=1") == 2
    assert "cars: rollout.json: canary: expected an object; got 2; fix or delete it" in capsys.readouterr().err
    assert run(repository, "cars", "--clear") == 0


def test_list_of_models_shows_policies(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(repository.root)
    run(repository, "cars", "--stable=2")
    capsys.readouterr()
    assert main(["models", "--repository", folder]) == 0
    assert "cars: stable: version 2 answers for the bare name" in capsys.readouterr().out
    assert main(["models", "--repository", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rollouts"] == {"cars": {"schema_version": 1, "stable": 2}}
    (repository.root / "cars" / "rollout.json").write_text("{")
    assert main(["models", "--repository", folder]) == 1
    assert "cars: rollout.json: expected a JSON document" in capsys.readouterr().err
