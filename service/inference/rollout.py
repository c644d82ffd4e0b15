"""The rollout policies in force: which requests the canary of a model answers, and which are copied to its shadow.

A policy applies to the bare name of its model. A share is drawn by a hash of the model and of the client or request, so
that a larger share only adds clients. A policy that cannot be read or names an unknown version leaves the last good one
in force. After a restart, it leaves the version that was last served for the bare name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from model_zoo.contract.errors import LineageError, PackageNotFound
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Problem, Repository
from model_zoo.contract.rollout import CLIENT, ROLLOUT, Canary, Rollout, read_rollout
from model_zoo.contract.set_rollout import resolve_rollout
from service.inference.catalog import Catalog
from service.inference.failures import LoadFailures
from service.inference.loaded_model import LoadedModel
from service.inference.request import RequestContext


@dataclass(frozen=True)
class Policy:
    """A rollout policy with its version numbers."""

    rollout: Rollout
    """The document."""
    versions: Mapping[str, int]
    """Version numbers by the field that names them."""


class Unfollowed(NamedTuple):
    """A part of a policy that cannot be followed."""

    name: str
    """Name of the model."""
    subject: str
    """Model, or model and part."""
    reason: str
    """Effect and reason."""

    def __str__(self) -> str:
        """Describe it in one line."""
        return self.reason


def read_policies(repository: Repository, catalog: Catalog) -> dict[str, Policy | LineageError]:
    """Read the policies of all models. Slow: call it in a thread."""
    found: dict[str, Policy | LineageError] = {}
    for name in {*catalog.all_names, *catalog.unknown}:
        try:
            if rollout := read_rollout(repository.root / name):
                found[name] = Policy(rollout, resolve_rollout(repository, name, rollout))
        except PackageNotFound as error:
            found[name] = LineageError(f"{name}: {ROLLOUT}: {error}")
        except LineageError as error:
            found[name] = error
    return found


class Rollouts:
    """Follows the policies, and draws the version of each request."""

    def __init__(self, loaded: Mapping[Package, LoadedModel], failed: LoadFailures) -> None:
        self._loaded, self.failed = loaded, failed
        self._policies: dict[str, Policy] = {}
        self._errors: dict[str, str] = {}
        self._catalog = Catalog()
        self.on_update: Callable[[], None] = lambda: None
        """Called after each update, and after an operator has unloaded a version."""

    def update(self, catalog: Catalog, policies: Mapping[str, Policy | LineageError]) -> Catalog:
        """Follow the policies, and return the catalog with the stable versions as the meaning of the bare names."""
        kept = {name: self._policies[name] for name in policies if name in self._policies}
        good = {name: policy for name, policy in policies.items() if isinstance(policy, Policy)}
        self._policies = kept | good
        self._errors = {name: str(error) for name, error in policies.items() if isinstance(error, LineageError)}
        unknown = self._errors.keys() - self._policies.keys()  # the policy may name another version than the newest
        stable = {name: p.versions["stable"] for name, p in self._policies.items() if "stable" in p.versions}
        usable = {name: catalog.packages.get(f"{name}@{version}") for name, version in stable.items()}
        references = {r: package for r, package in catalog.references.items() if r not in {*stable, *unknown}}
        references |= {name: package for name, package in usable.items() if package}
        targets = {r: version for r, version in catalog.targets.items() if r not in unknown} | stable
        problems = [*catalog.problems, *(Problem(name, None, self._errors[name]) for name in sorted(unknown))]
        self._catalog = replace(
            catalog,
            targets=targets,
            references=references,
            unknown=catalog.unknown | unknown,
            problems=tuple(problems),
        )
        self.on_update()
        return self._catalog

    def policy(self, name: str) -> Rollout | None:
        """Return the policy in force for a model."""
        return self._policies[name].rollout if name in self._policies else None

    def canary(self, reference: str, context: RequestContext) -> Package | None:
        """Return the loaded canary that answers this request, if its policy says so."""
        policy = self._policies.get(reference)
        if policy is None or policy.rollout.canary is None or not _draws(reference, policy.rollout.canary, context):
            return None
        package = self._package(reference, policy.versions["canary.version"])
        model = self._loaded.get(package) if package else None
        return package if model and model.problem is None else None

    def shadow(self, reference: str, context: RequestContext) -> Package | None:
        """Return the shadow that gets a copy of this request, if its policy says so."""
        policy = self._policies.get(reference)
        if policy is None or policy.rollout.shadow is None:
            return None
        if not _within(policy.rollout.shadow.percent, "shadow", reference, context.request_id):
            return None
        package = self._package(reference, policy.versions["shadow.version"])
        return None if package is None or self.failed.is_stopped(package) else package

    def shadows(self) -> set[Package]:
        """Return the usable packages that policies name as shadows."""
        named = {(n, p.versions["shadow.version"]) for n, p in self._policies.items() if "shadow.version" in p.versions}
        return {package for name, version in named if (package := self._package(name, version))}

    def canaries(self) -> list[Package]:
        """List the usable packages that policies name as canaries, to load ahead."""
        named = [(n, p.versions["canary.version"]) for n, p in self._policies.items() if "canary.version" in p.versions]
        return [package for name, version in named if (package := self._package(name, version))]

    def unfollowed(self) -> Iterator[Unfollowed]:
        """List what cannot be followed."""
        for name, error in self._errors.items():
            if name in self._policies:
                effect = "the previous policy stays in force"
                yield Unfollowed(name, f"{name} rollout", f"{name}: {effect}, because {error}")
        for name, policy in self._policies.items():
            for part, field in (("canary", "canary.version"), ("shadow", "shadow.version")):
                if field in policy.versions and (reason := self._reason(name, policy.versions[field])):
                    effect = "stable answers instead" if part == "canary" else "nothing is compared"
                    yield Unfollowed(name, f"{name} {part}", f"{name}: {part}: {effect}, because {reason}")

    def _package(self, name: str, version: int) -> Package | None:
        return self._catalog.packages.get(f"{name}@{version}")

    def _reason(self, name: str, version: int) -> str | None:
        """Return why a version cannot be served, or None if it can or is still loading."""
        package = self._package(name, version)
        if package:
            model = self._loaded.get(package)
            return self.failed.reason(package) or (model.problem if model else None)
        return self._catalog.reason(name, version) or f"{name}@{version} does not exist"


def _draws(name: str, canary: Canary, context: RequestContext) -> bool:
    """Return True if the canary answers a request."""
    if canary.header:
        value = context.metadata.get(canary.header.name.lower())
        if value is not None and canary.header.value in (None, value):
            return True
    return _within(canary.percent, name, _sticky_value(canary, context) or context.request_id)


def _sticky_value(canary: Canary, context: RequestContext) -> str | None:
    if canary.sticky is None:
        return None
    return context.client if canary.sticky == CLIENT else context.metadata.get(canary.sticky.lower())


def _within(percent: float, *keys: str) -> bool:
    """Return True for a share of all keys, always the same ones. A larger share contains the smaller ones."""
    digest = hashlib.sha256("\0".join(keys).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < percent / 100 * 2**64
