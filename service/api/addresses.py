"""Explain requests to addresses or with methods that do not exist."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from model_zoo.contract.suggest import did_you_mean

_MAX_PATH = 100


def explain(request: Request, error: HTTPException) -> str:
    """Return the detail of a problem: the address or method that exists instead."""
    asked = f"{request.method} {request.url.path[:_MAX_PATH]}"
    if error.status_code == 405:
        return f"{asked}: expected {(error.headers or {}).get('Allow', 'another method')}"
    if error.status_code == 404:
        paths = [path for path in request.app.openapi()["paths"] if "{" not in path]
        hint = did_you_mean(request.url.path[:_MAX_PATH], paths, count=1)
        return f"{asked}: no such address; {hint or 'images go to POST /detect, and GET /docs describes all addresses'}"
    return str(error.detail)
