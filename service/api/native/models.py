"""GET /models: list and describe models."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound
from model_zoo.contract.suggest import did_you_mean
from service.api.native.schemas import Model, ModelDetail, Models, Version
from service.api.problems import Problem
from service.inference.catalog import Catalog
from service.inference.model_store import ModelStore
from service.state import AppState

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses={200: {"model": Models}})
async def list_models(request: Request) -> Response:
    """List the models with their versions, and what cannot be used and why."""
    state: AppState = request.state.service
    names = (state.store.catalog or Catalog()).names
    models = Models(models=[Model(**_describe(state.store, name)) for name in names], problems=state.store.problems())
    return JSONResponse(models.model_dump())


@router.get("/{name}", responses={200: {"model": ModelDetail}, 404: {"model": Problem}})
async def show_model(request: Request, name: str) -> Response:
    """Describe one model, with the card of its default version."""
    state: AppState = request.state.service
    catalog = state.store.catalog or Catalog()
    if name not in catalog.names:
        hints = filter(
            None, [did_you_mean(name, catalog.names), f"available: {', '.join(catalog.names) or 'none yet'}"]
        )
        raise PackageNotFound(f"no model {name[:100]!r}; {' '.join(hints)}")
    default = catalog.references.get(name)
    card = {"card": json.loads(default.card.to_json())} if default else {}
    return JSONResponse(ModelDetail(**_describe(state.store, name), **card).model_dump(exclude_unset=True))


def _describe(store: ModelStore, name: str) -> dict[str, Any]:
    """Return the fields of `Model`."""
    catalog = store.catalog or Catalog()
    packages = [package for package in catalog.packages.values() if package.name == name]
    default = catalog.references.get(name)
    return {
        "name": name,
        "default": default.version if default else None,
        "aliases": catalog.aliases.get(name, {}),
        "versions": [Version(version=p.version, state=store.state(p), digest=p.digest) for p in packages],
        "problems": store.problems(name),
    }
