"""Order of the middleware that decides who may send requests, and how many."""

from __future__ import annotations

from fastapi import FastAPI

from service.access.keys import Keys
from service.access.rate_limit import RateLimit
from service.api.openapi import document_keys
from service.middleware.auth import AccessMiddleware, is_open
from service.middleware.rate_limit import RateLimitMiddleware, by_address, by_key
from service.settings import Settings


def add_access(app: FastAPI, settings: Settings, keys: Keys | None) -> None:
    """Add the rate limits and the check of API keys, innermost first. An address is counted before its key."""
    if settings.rate_per_key:
        limit = RateLimit(settings.rate_per_key, settings.rate_burst)
        app.add_middleware(RateLimitMiddleware, limit=limit, identify=by_key, what="key")
    app.add_middleware(AccessMiddleware, keys=keys)
    if keys:
        document_keys(app, is_open)
    if settings.rate_per_address:
        limit = RateLimit(settings.rate_per_address, settings.rate_burst)
        app.add_middleware(RateLimitMiddleware, limit=limit, identify=by_address, what="address")
