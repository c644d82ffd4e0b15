"""The package that answers for each reference that moves: `name`, `name@latest` and `name@alias`.

A reference follows its target, the version that the repository means by it. If the target is not loaded, the last
version served for the reference answers, also after a restart. If there is none, `name` and `name@latest` fall back to
the newest older version that can be loaded.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from model_zoo.contract.package import Package
from service.inference.catalog import Catalog
from service.inference.failures import LoadFailures


class Degraded(NamedTuple):
    """A reference whose target cannot be served."""

    name: str
    """Name of the model."""
    reference: str
    """The reference."""
    answer: str
    """Short description of the package that answers instead."""
    reason: str
    """Why the target cannot be served."""

    def __str__(self) -> str:
        """Describe it in one line."""
        return f"{self.reference}: {self.answer}, because {self.reason}"


class Routes:
    """Selects a package for each reference, from the loaded packages and the failed ones."""

    def __init__(self, loaded: Container[Package], failed: LoadFailures) -> None:
        self._loaded, self._failed = loaded, failed
        self.current: dict[str, Package] = {}
        self.served: dict[str, Package] = {}

    def resolve(self, catalog: Catalog) -> None:
        """Select the package of each reference. Call it after every change of the catalog and of the loaded models."""
        known = {r for r in (*self.served, *catalog.names) if r.partition("@")[0] in catalog.unknown}
        selected = {reference: self._select(reference, catalog) for reference in {*catalog.targets, *known}}
        self.current = {reference: package for reference, package in selected.items() if package}
        served = {reference: package for reference, package in self.current.items() if package in self._loaded}
        self.served = {reference: p for reference, p in self.served.items() if reference in selected} | served

    def degraded(self, catalog: Catalog) -> list[Degraded]:
        """List the references whose target cannot be served. `name@latest` is left out if it is as `name`."""
        found: list[Degraded] = []
        for reference in sorted({*catalog.targets, *self.current, *catalog.unknown}):
            name = reference.partition("@")[0]
            reason = self._reason(reference, catalog)
            if reason:
                degraded = Degraded(name, reference, self._answer(reference, catalog), reason)
                found += [] if degraded._replace(reference=name) in found else [degraded]
        return found

    def _select(self, reference: str, catalog: Catalog) -> Package | None:
        target, served = catalog.references.get(reference), self.served.get(reference)
        if target in self._loaded:
            return target
        if served and served in self._loaded and catalog.has(served):
            return served
        known = served if served in catalog.packages.values() else None
        candidates = [package for package in (target, known, *catalog.older(reference)) if package]
        return next((p for p in candidates if self._failed.allow(p)), target)

    def _answer(self, reference: str, catalog: Catalog) -> str:
        """Describe the package that answers for a reference instead of its target."""
        serving, version = self.current.get(reference), catalog.targets.get(reference)
        if serving is None or serving not in self._loaded:
            return "no version can be served"
        if version == serving.version:
            return f"serving version {version} from memory"
        return f"serving version {serving.version}" + (f" instead of {version}" if version else "")

    def _reason(self, reference: str, catalog: Catalog) -> str | None:
        """Return why the target of a reference cannot be served, or None if it can or is still loading."""
        target, name = catalog.references.get(reference), reference.partition("@")[0]
        if target:
            return self._failed.reason(target)
        version = catalog.targets.get(reference)
        return catalog.reason(name, version) or f"{name}@{version} does not exist"
