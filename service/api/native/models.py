"""GET /models: list and describe models."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound
from model_zoo.contract.manifest import MODEL
from model_zoo.contract.package import Package
from model_zoo.contract.rollout import Rollout
from model_zoo.contract.suggest import did_you_mean
from model_zoo.contract.terms import binding_licenses
from service.api.native.schemas import (
    EngineDetail,
    Model,
    ModelDetail,
    Models,
    Parent,
    RolloutSummary,
    Share,
    Trial,
    Version,
    VersionDetail,
)
from service.api.problems import documented
from service.inference.model_store import ModelStore
from service.state import AppState

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses={200: {"model": Models}})
async def list_models(request: Request) -> Response:
    """List the models with their versions, and what cannot be used and why."""
    state: AppState = request.state.service
    return JSONResponse(Models(**describe_models(state.store)).model_dump())


@router.get("/{name}", responses={200: {"model": ModelDetail}, "4XX": documented("There is no such model")})
async def show_model(request: Request, name: str) -> Response:
    """Describe one model, with the card of its default version and of each other one, and its rollout policy."""
    state: AppState = request.state.service
    catalog = state.store.known
    names = catalog.all_names
    if name not in names:
        hints = filter(None, [did_you_mean(name, names), f"available: {', '.join(names) or 'none yet'}"])
        raise PackageNotFound(f"no model {name[:100]!r}; {' '.join(hints)}")
    return JSONResponse(_describe_in_detail(state.store, name).model_dump(exclude_unset=True))


def describe_models(store: ModelStore) -> dict[str, Any]:
    """Return the fields of `Models`."""
    models = [Model(**describe_model(store, name)) for name in store.known.all_names]
    return {"models": models, "problems": store.problems(), "default_model": store.default.name}


def describe_model(store: ModelStore, name: str) -> dict[str, Any]:
    """Return the fields of `Model`."""
    catalog, default = store.known, store.serving(name)
    usable = [_version(store, package) for package in catalog.packages.values() if package.name == name]
    damaged = [
        Version(version=p.version, state="failed", digest=None, reason=p.reason)
        for p in catalog.problems
        if p.name == name and p.version is not None
    ]
    return {
        "name": name,
        "default": default.version if default else None,
        "aliases": catalog.aliases.get(name, {}),
        "versions": sorted([*usable, *damaged], key=lambda version: version.version),
        "problems": store.problems(name),
        "degraded": store.degraded(name),
    }


def _describe_in_detail(store: ModelStore, name: str) -> ModelDetail:
    described, default, policy = describe_model(store, name), store.serving(name), store.rollouts.policy(name)
    packages = {package.version: package for package in store.known.packages.values() if package.name == name}
    described["versions"] = [_detail(version, packages.get(version.version)) for version in described["versions"]]
    described |= {"card": json.loads(default.card.to_json())} if default else {}
    described |= {"rollout": _rollout(policy)} if policy else {}
    return ModelDetail(**described)


def _detail(version: Version, package: Package | None) -> VersionDetail:
    """Add what the package says of itself. Damaged versions have none."""
    if package is None:
        return VersionDetail(**dict(version))
    size = next((file.size for file in package.files if file.name == MODEL), None)
    return VersionDetail(**dict(version), card=json.loads(package.card.to_json()), model_bytes=size)


def _rollout(policy: Rollout) -> RolloutSummary:
    canary, shadow = policy.canary, policy.shadow
    return RolloutSummary(
        stable=policy.stable,
        canary=Share(version=canary.version, percent=canary.percent) if canary else None,
        shadow=Share(version=shadow.version, percent=shadow.percent) if shadow else None,
    )


def _version(store: ModelStore, package: Package) -> Version:
    failure = store.failure(package)
    next_try = failure.next_try_at.isoformat(timespec="seconds") if failure else None
    reason = failure.reason if failure else None
    weights = package.card.weights
    return Version(
        version=package.version,
        state=store.state(package),
        digest=package.digest,
        reason=reason,
        next_try=next_try,
        license=weights.license,
        parents=None if weights.parents is None else [Parent(**vars(parent)) for parent in weights.parents],
        terms=binding_licenses(weights),
        engine=_engine(store, package),
    )


def _engine(store: ModelStore, package: Package) -> EngineDetail | None:
    """Describe the engine of a loaded package."""
    if package not in store.loaded:
        return None
    engine = store.loaded[package].engine
    choice = engine.choice
    return EngineDetail(
        device=engine.device,
        provider=choice.provider,
        compute=choice.compute,
        workers=engine.workers,
        trials=[Trial(**asdict(trial)) for trial in choice.trials],
    )
