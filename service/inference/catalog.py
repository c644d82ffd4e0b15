"""A snapshot of a model repository: its packages and what each reference means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import LATEST, STABLE, Problem, Repository


@dataclass(frozen=True)
class Catalog:
    """Contents of a repository at the time it was read."""

    packages: Mapping[str, Package] = field(default_factory=dict)
    """All usable packages by `name@version`."""
    references: Mapping[str, Package] = field(default_factory=dict)
    """Packages by the references that move: `name`, `name@latest`, `name@alias`."""
    targets: Mapping[str, int] = field(default_factory=dict)
    """Version numbers by the references that move, including those of unusable packages."""
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Versions by alias, for each model."""
    unknown: frozenset[str] = frozenset()
    """Names of models whose aliases or folder cannot be read."""
    problems: tuple[Problem, ...] = ()
    """Unusable entries, with the reasons."""
    foreign: tuple[str, ...] = ()
    """Folders without a package."""
    folder: tuple[int, int] | None = None
    """Device and inode of the folder of the repository."""

    @property
    def names(self) -> list[str]:
        """Names of the models that have a usable package."""
        return sorted({package.name for package in self.packages.values()})

    def is_unmounted(self, before: Catalog) -> bool:
        """Return True if the folder is empty and another one than before, as a mount point is after an unmount."""
        return not self.packages and not self.problems and self.folder != before.folder

    @property
    def all_names(self) -> list[str]:
        """Names of all models, including those without a usable package."""
        damaged = {p.name for p in self.problems if p.version is not None or p.unreadable}
        return sorted({*self.names, *damaged})

    @property
    def all_references(self) -> set[str]:
        """References `name` and `name@version` of all models and versions, including unusable ones."""
        damaged = {f"{p.name}@{p.version}" for p in self.problems if p.version is not None}
        return {*self.all_names, *self.packages, *damaged}

    @property
    def defaults(self) -> list[Package]:
        """The default version of each model."""
        return [self.references[name] for name in self.names if name in self.references]

    def has(self, package: Package) -> bool:
        """Return True if the folder of a package exists, whatever its state."""
        damaged = any(p.unreadable or p.version == package.version for p in self.problems if p.name == package.name)
        return damaged or package in self.packages.values()

    def older(self, reference: str) -> list[Package]:
        """List the usable versions below the target of `name` or `name@latest`, newest first.

        If the target is unknown, all usable versions are listed. Other aliases mean one version, and get none.
        """
        name, _, alias = reference.partition("@")
        if alias not in ("", LATEST):
            return []
        versions = sorted((p for p in self.packages.values() if p.name == name), key=lambda p: p.version, reverse=True)
        return [p for p in versions if reference not in self.targets or p.version < self.targets[reference]]

    def reason(self, name: str, version: int | None) -> str | None:
        """Return why a version is unusable, or None if it is not known to be."""
        return next((p.reason for p in self.problems if p.name == name and p.version in (None, version)), None)


def read_catalog(repository: Repository) -> Catalog:
    """Read a whole repository from disk. Slow: call it in a thread.

    Raises:
        PackageError: the folder of the repository cannot be read.
    """
    folder = _identity(repository.root)
    scanned, problems = repository.scan()
    packages = {package.reference: package for package in scanned}
    unknown = {problem.name for problem in problems if problem.unreadable}
    versions: dict[str, list[int]] = {}
    for name, version in [(p.name, p.version) for p in scanned] + [(p.name, p.version) for p in problems if p.version]:
        versions.setdefault(name, []).append(version)
    aliases: dict[str, dict[str, int]] = {}
    for name in versions:
        try:
            aliases[name] = repository.aliases(name)
        except PackageError:  # `scan` has reported it
            aliases[name] = {}
            unknown.add(name)
    targets = {r: v for name, known in versions.items() for r, v in _targets(name, known, aliases[name]).items()}
    for name in unknown:  # `stable` may be set
        targets.pop(name, None)
    resolved = {r: packages.get(f"{r.partition('@')[0]}@{version}") for r, version in targets.items()}
    return Catalog(
        packages=packages,
        references={reference: package for reference, package in resolved.items() if package},
        targets=targets,
        aliases=aliases,
        unknown=frozenset(unknown),
        problems=tuple(problems),
        foreign=tuple(repository.foreign()),
        folder=folder,
    )


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder, which differ once another one is mounted or unmounted there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _targets(name: str, versions: list[int], aliases: Mapping[str, int]) -> dict[str, int]:
    """Return the version of each moving reference of a model."""
    newest = max(versions)
    alias_targets = {f"{name}@{alias}": version for alias, version in aliases.items()}
    return {name: aliases.get(STABLE, newest), f"{name}@{LATEST}": newest, **alias_targets}
