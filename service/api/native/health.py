"""Is the process alive, and can it answer."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.api.native.schemas import Health
from service.api.problems import RETRY_AFTER
from service.state import State

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", responses={200: {"model": Health}})
async def live() -> Response:
    """Answer as long as the process runs."""
    return JSONResponse({"status": "live"})


@router.get("/ready", responses={200: {"model": Health}, 503: {"model": Health}})
async def ready(request: Request) -> Response:
    """Answer 200 when requests can be answered, else 503 with what is missing."""
    state: State = request.state.service
    missing = state.store.missing()
    if not missing:
        return JSONResponse({"status": "ready", "missing": []})
    return JSONResponse({"status": "not ready", "missing": missing}, 503, RETRY_AFTER)
