"""`lineage models alias` and `lineage models remove`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """`cars` with versions 1 to 3 and the alias stable of 2, and `bus` with one version."""
    source = tmp_path / "some.onnx"
    source.write_bytes(b"graph")
    repository = Repository(tmp_path / "models")
    for name in ("cars", "cars", "cars", "bus"):
        repository.publish(toy_card(name), {"model.onnx": source})
    repository.set_alias("cars", "stable", 2)
    return repository


def run(repository: Repository, *arguments: str) -> int:
    return main(["models", *arguments, "--repository", str(repository.root)])


def test_alias_is_created_and_moved(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, "alias", "cars", "canary", "3") == 0
    assert run(repository, "alias", "cars", "stable", "canary") == 0
    assert run(repository, "alias", "bus", "stable", "latest") == 0
    assert repository.aliases("cars") == {"stable": 3, "canary": 3}
    assert capsys.readouterr().out.splitlines() == [
        "cars@canary is version 3",
        "cars@stable is version 3 (was 2)",
        "bus@stable is version 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alias", "car", "stable", "1"), "no model 'car'; did you mean cars? available: bus, cars"),
        (("alias", "CARS", "stable", "1"), "no model 'CARS'; did you mean cars?"),
        (("alias", "cars", "stable", "9"), "cars has no version '9'; expected one of: 1, 2, 3, latest, stable"),
        (("alias", "cars", "latest", "1"), "alias: expected letters, digits"),
        (("alias", "cars", "7", "1"), "alias: expected letters, digits"),
        (("remove", "trucks/1"), "no model 'trucks'; available: bus, cars"),
        (("remove", "cars/9"), "cars has no version '9'"),
        (("remove", "cars/2"), "cannot remove it while stable points to it; move or remove the alias first"),
        (("remove", "cars@latest"), "latest is implied and cannot be removed; to remove it, name version 3"),
        (("alias", "cars", "Stable", "1"), "alias: expected a name that differs from 'stable' by more than case"),
        (("remove", "cars/"), "cars has 3 versions; name one"),
        (("remove", "cars"), "cars has 3 versions; name one, such as cars/3, or give --force"),
        (
            ("remove", "bus/1"),
            "bus@1 is the last version; force its removal (--force, or ?force=true) to remove the model with it",
        ),
        (("remove", "../models/cars"), "no model '..'"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(
    repository: Repository, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(repository, *arguments) == 2
    assert message in capsys.readouterr().err
    assert (repository.versions("cars"), repository.aliases("cars")) == ([1, 2, 3], {"stable": 2})
    assert repository.versions("bus") == [1]


def test_alias_of_a_damaged_version_is_refused(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (repository.root / "cars" / "3" / "model.onnx").write_bytes(b"wrong")
    assert run(repository, "alias", "cars", "stable", "3") == 2
    assert "cars@3: model.onnx is damaged: expected sha256" in capsys.readouterr().err
    assert repository.aliases("cars") == {"stable": 2}


def test_versions_aliases_and_models_are_removed(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, "remove", "cars/1") == 0
    assert repository.versions("cars") == [2, 3]
    assert run(repository, "remove", "cars/2", "--force") == 0
    assert (repository.versions("cars"), repository.aliases("cars")) == ([3], {})
    repository.set_alias("cars", "canary", 3)
    assert run(repository, "remove", "cars@canary") == 0
    assert (repository.versions("cars"), repository.aliases("cars")) == ([3], {})
    assert run(repository, "remove", "cars/3", "--force") == 0
    assert run(repository, "remove", "bus", "--force") == 0
    assert repository.names() == []
    assert capsys.readouterr().out.splitlines() == [
        "removed cars@1",
        "removed cars@2",
        "removed the alias cars@canary; version 3 is still there",
        "removed cars@3",
        "removed bus with 1 version",
    ]


def test_damaged_version_can_be_removed(repository: Repository) -> None:
    (repository.root / "cars" / "3" / "manifest.json").unlink()
    (repository.root / "cars" / "3" / "model.onnx").unlink()
    assert run(repository, "remove", "cars/3") == 0
    assert repository.versions("cars") == [1, 2]


@pytest.mark.parametrize("words", [["models", "alias", "--help"], ["models", "remove", "--help"]])
def test_help_names_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert f"usage: lineage {' '.join(words[:2])} " in capsys.readouterr().out


@pytest.mark.parametrize("word", ["rollback", "list", "rm", "cars"])
def test_other_words_name_the_commands(word: str, repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, word, "cars") == 2
    expected = "expected one of `lineage models`, `lineage models alias`, `lineage models remove`"
    assert f"models: unexpected argument '{word}'; {expected}" in capsys.readouterr().err
