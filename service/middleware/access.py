"""Order of the middleware that decides who may send requests, and how many."""

from __future__ import annotations

from fastapi import FastAPI

from service.access.access import Access
from service.api.openapi import document_keys
from service.middleware.auth import AccessMiddleware, is_open
from service.middleware.rate_limit import RateLimitMiddleware, by_address, by_key


def add_access(app: FastAPI, access: Access) -> None:
    """Add the rate limits and the check of API keys, innermost first. An address is counted before its key."""
    if access.key_limit is not None:
        app.add_middleware(RateLimitMiddleware, limit=access.key_limit, identify=by_key, what="key")
    app.add_middleware(AccessMiddleware, keys=access.keys)
    if access.keys:
        document_keys(app, is_open)
    if access.address_limit is not None:
        app.add_middleware(RateLimitMiddleware, limit=access.address_limit, identify=by_address, what="address")
