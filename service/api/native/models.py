"""What models there are."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract.errors import PackageNotFound
from service.api.native.schemas import Model, Models, Problem
from service.inference.model_store import Catalog, ModelStore
from service.state import State

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses={200: {"model": Models}})
async def list_models(request: Request) -> Response:
    """List the models with their versions, and what cannot be used and why."""
    state: State = request.state.service
    described = [_describe(state.store, name) for name in (state.store.catalog or Catalog()).names]
    return JSONResponse({"models": described, "problems": state.store.problems()})


@router.get("/{name}", responses={200: {"model": Model}, 404: {"model": Problem}})
async def show_model(request: Request, name: str) -> Response:
    """Describe one model; `card` is that of the default version."""
    state: State = request.state.service
    catalog = state.store.catalog or Catalog()
    if name not in catalog.names:
        known = ", ".join(catalog.names) or "none yet"
        raise PackageNotFound(f"no model {name[:100]!r}; there is: {known}")
    default = catalog.moving.get(name)
    card = {"card": json.loads(default.card.to_json())} if default else {}
    return JSONResponse(_describe(state.store, name) | card)


def _describe(store: ModelStore, name: str) -> dict[str, Any]:
    catalog = store.catalog or Catalog()
    packages = [package for package in catalog.packages.values() if package.name == name]
    default = catalog.moving.get(name)
    return {
        "name": name,
        "default": default.version if default else None,
        "aliases": catalog.aliases.get(name, {}),
        "versions": [{"version": p.version, "state": store.state(p), "digest": p.digest} for p in packages],
        "problems": store.problems(name),
    }
