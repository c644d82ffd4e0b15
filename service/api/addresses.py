"""Explain requests to addresses or with methods that do not exist."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from model_zoo.contract.suggest import did_you_mean

_MAX_PATH = 100


def explain(request: Request, error: HTTPException) -> str:
    """Return the detail of a problem: the address or method that exists instead."""
    path = str(request.scope["path"])[:_MAX_PATH]
    asked = f"{request.method} {path}"
    if error.status_code == 405:
        expected = (error.headers or {}).get("Allow", "another method")
        return f"{asked}: expected {expected}; images go to POST /detect, and GET /docs describes all addresses"
    if error.status_code == 404 and error.detail == "Not Found":  # of the router
        known = [known for known in request.app.openapi()["paths"] if "{" not in known]
        hint = did_you_mean(path, known, count=1)
        return f"{asked}: no such address; {hint or 'images go to POST /detect, and GET /docs describes all addresses'}"
    return str(error.detail)
