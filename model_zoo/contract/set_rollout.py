"""Check, set and remove the rollout policy of a model in a repository."""

from __future__ import annotations

from collections.abc import Callable

from model_zoo.contract.errors import LineageError, PackageNotFound
from model_zoo.contract.files import write_atomic
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import ROLLOUT, Rollout, read_rollout


def resolve_rollout(repository: Repository, name: str, rollout: Rollout) -> dict[str, int]:
    """Return the version numbers of a policy by the field that names them.

    Raises:
        PackageNotFound: the model, a version or an alias does not exist.
    """
    numbers: dict[str, int] = {}
    for field, version in rollout.versions.items():
        try:
            numbers[field] = repository.version_number(name, version)
        except PackageNotFound as error:
            raise PackageNotFound(f"{field}: {error}") from error
    return numbers


def set_rollout(repository: Repository, name: str, rollout: Rollout) -> None:
    """Write the policy of a model, after a check of its versions. Running servers follow.

    Raises:
        PackageNotFound: the model, a version or an alias does not exist.
        PackageError: a version is damaged.
        ChangeRefused: the repository is read-only.
    """
    with repository.locked(name):
        _write(repository, name, rollout)


def change_rollout(repository: Repository, name: str, change: Callable[[Rollout], Rollout]) -> Rollout:
    """Write what `change` makes of the policy of a model, and return it. No other change comes in between.

    Raises:
        LineageError: the present policy is damaged, or as `set_rollout`.
    """
    with repository.locked(name):
        before = read_rollout(repository.root / name) or Rollout()
        after = change(before)
        if after != before:
            _write(repository, name, after)
        return after


def remove_rollout(repository: Repository, name: str) -> None:
    """Remove the policy of a model, damaged or not.

    Raises:
        PackageNotFound: the model does not exist, or has no policy.
        ChangeRefused: the repository is read-only.
    """
    with repository.locked(name):
        path = repository.root / name / ROLLOUT
        if not path.exists():
            raise PackageNotFound(f"{name} has no rollout policy")
        path.unlink()


def _write(repository: Repository, name: str, rollout: Rollout) -> None:
    for field, number in resolve_rollout(repository, name, rollout).items():
        try:
            repository.resolve(f"{name}@{number}").verify()
        except LineageError as error:
            raise type(error)(f"{field}: {error}") from error
    write_atomic(repository.root / name / ROLLOUT, rollout.to_json())
