"""Rollout policies in a repository: set, remove, and versions that a policy names."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_zoo.contract.errors import ChangeRefused, LineageError, PackageError, PackageNotFound
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Canary, Rollout, Shadow, read_rollout
from model_zoo.contract.set_rollout import change_rollout, remove_rollout, resolve_rollout, set_rollout
from tests.tiny_onnx import toy_card

ROLLOUT = Rollout("1", Canary("2", 5), Shadow("candidate"))


@pytest.fixture
def cars(tmp_path: Path) -> Repository:
    """`cars` with versions 1 to 3, and the alias candidate of 3."""
    source, repository = tmp_path / "source.onnx", Repository(tmp_path / "models")
    source.write_bytes(b"model")
    for _ in range(3):
        repository.publish(toy_card("cars"), {"model.onnx": source})
    repository.set_alias("cars", "candidate", 3)
    return repository


def test_policy_is_set_and_removed(cars: Repository) -> None:
    set_rollout(cars, "cars", ROLLOUT)
    assert read_rollout(cars.root / "cars") == ROLLOUT
    assert json.loads((cars.root / "cars" / "rollout.json").read_text())["canary"] == {"version": 2, "percent": 5}
    assert resolve_rollout(cars, "cars", ROLLOUT) == {"stable": 1, "canary.version": 2, "shadow.version": 3}
    remove_rollout(cars, "cars")
    assert read_rollout(cars.root / "cars") is None
    with pytest.raises(PackageNotFound, match="cars has no rollout policy"):
        remove_rollout(cars, "cars")


@pytest.mark.parametrize(
    ("name", "rollout", "message"),
    [
        ("bus", ROLLOUT, "no model 'bus'"),
        ("cars", Rollout("9"), "stable: cars has no version '9'; expected one of: 1, 2, 3, latest, candidate"),
        ("cars", Rollout(canary=Canary("next")), "canary.version: cars has no version 'next'"),
        ("cars", Rollout(shadow=Shadow("4")), "shadow.version: cars has no version '4'"),
    ],
)
def test_refused_policy_changes_nothing(cars: Repository, name: str, rollout: Rollout, message: str) -> None:
    set_rollout(cars, "cars", ROLLOUT)
    with pytest.raises(PackageNotFound) as caught:
        set_rollout(cars, name, rollout)
    assert message in str(caught.value)
    assert read_rollout(cars.root / "cars") == ROLLOUT


def test_damaged_version_is_refused(cars: Repository) -> None:
    (cars.root / "cars" / "2" / "model.onnx").write_bytes(b"wrong")
    with pytest.raises(PackageError, match=r"canary\.version: cars@2: model\.onnx is damaged"):
        set_rollout(cars, "cars", ROLLOUT)
    assert read_rollout(cars.root / "cars") is None


def test_repository_that_cannot_be_written_is_reported(cars: Repository) -> None:
    (cars.root / "cars" / ".lock").unlink()
    (cars.root / "cars" / ".lock").mkdir()
    with pytest.raises(ChangeRefused, match="cars: cannot change it"):
        set_rollout(cars, "cars", ROLLOUT)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_version_that_a_policy_names_is_kept_unless_forced(cars: Repository, version: int) -> None:
    set_rollout(cars, "cars", ROLLOUT)
    with pytest.raises(ChangeRefused):
        cars.remove("cars", version)
    assert read_rollout(cars.root / "cars") == ROLLOUT
    cars.remove("cars", version, force=True)
    without = {1: Rollout(None, ROLLOUT.canary, ROLLOUT.shadow), 2: Rollout("1", None, ROLLOUT.shadow)}
    assert read_rollout(cars.root / "cars") == without.get(version, Rollout("1", ROLLOUT.canary, None))


def test_alias_that_a_policy_names_is_kept(cars: Repository) -> None:
    set_rollout(cars, "cars", ROLLOUT)
    with pytest.raises(ChangeRefused, match="cannot remove it while the rollout policy names it"):
        cars.remove_alias("cars", "candidate")
    remove_rollout(cars, "cars")
    cars.remove_alias("cars", "candidate")


def test_damaged_policy_is_reported_before_a_removal_and_can_be_removed(cars: Repository) -> None:
    (cars.root / "cars" / "rollout.json").write_text("{")
    with pytest.raises(LineageError, match=r"cars: rollout\.json: expected a JSON document"):
        cars.remove("cars", 2)
    remove_rollout(cars, "cars")
    cars.remove("cars", 2)


def test_changes_at_the_same_time_are_all_made(cars: Repository) -> None:
    def more(before: Rollout) -> Rollout:
        time.sleep(0.01)
        return Rollout("1", Canary("2", before.canary.percent + 1 if before.canary else 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: change_rollout(cars, "cars", more), range(8)))
    assert read_rollout(cars.root / "cars") == Rollout("1", Canary("2", 8))
