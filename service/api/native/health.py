"""GET /health: liveness and readiness."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api.native.schemas import Health
from service.api.problems import RETRY_AFTER
from service.state import AppState

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", responses={200: {"model": Health}})
async def live() -> Response:
    """Return 200 while the process runs."""
    return JSONResponse(Health(status="live").model_dump(exclude_unset=True))


@router.get("/ready", responses={200: {"model": Health}, 503: {"model": Health}})
async def ready(request: Request) -> Response:
    """Return 200 if requests can be answered, else 503 with what is missing.

    `degraded` is there if something else is served than the repository and the settings ask for.
    """
    state: AppState = request.state.service
    missing = state.missing()
    degraded = state.store.degraded()
    if state.access.keys and state.access.keys.problem:
        degraded = [*degraded, "keys: the file cannot be used, and the keys read before are valid; the log says why"]
    optional = {"degraded": degraded} if degraded else {}
    if not missing:
        return JSONResponse(Health(status="ready", missing=[], **optional).model_dump(exclude_unset=True))
    described = Health(status="not ready", missing=missing, **optional).model_dump(exclude_unset=True)
    return JSONResponse(described, 503, RETRY_AFTER)
