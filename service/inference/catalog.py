"""A snapshot of a model repository: its packages and what each reference means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import LATEST, Problem, Repository

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Contents of a repository at the time it was read."""

    packages: Mapping[str, Package] = field(default_factory=dict)
    """All usable packages by `name@version`."""
    references: Mapping[str, Package] = field(default_factory=dict)
    """Packages by the references that move: `name`, `name@latest`, `name@alias`."""
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Versions by alias, for each model."""
    problems: tuple[Problem, ...] = ()
    """Unusable entries, with the reasons."""

    @property
    def names(self) -> list[str]:
        """Names of the models that have a usable package."""
        return sorted({package.name for package in self.packages.values()})

    @property
    def defaults(self) -> list[Package]:
        """The default version of each model."""
        return [self.references[name] for name in self.names if name in self.references]


def read_catalog(repository: Repository) -> Catalog:
    """Read a whole repository from disk. Slow: call it in a thread."""
    packages, problems = repository.scan()
    names = {package.name for package in packages}
    aliases = {name: _or_none(repository.aliases, name) or {} for name in names}
    references = [*names, *(f"{name}@{alias}" for name in names for alias in (LATEST, *aliases[name]))]
    resolved = {reference: _or_none(repository.resolve, reference) for reference in references}
    return Catalog(
        packages={package.reference: package for package in packages},
        references={reference: package for reference, package in resolved.items() if package},
        aliases=aliases,
        problems=tuple(problems),
    )


def _or_none(read: Callable[[str], T], key: str) -> T | None:
    """Return None for a damaged entry: `scan` has reported it with its reason."""
    try:
        return read(key)
    except PackageError:
        return None
