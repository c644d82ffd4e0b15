"""GET /metrics: counters, histograms and current values for Prometheus, of all processes of the server."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPEN_METRICS
from starlette.responses import Response

from service.state import AppState

router = APIRouter(tags=["metrics"])
TEXT = {"schema": {"type": "string"}}
CONTENT = {media_type.partition(";")[0]: TEXT for media_type in ("text/plain", OPEN_METRICS)}


@router.get("/metrics", response_class=Response, responses={200: {"content": CONTENT}})
async def show_metrics(request: Request) -> Response:
    """Return all metrics, as OpenMetrics if the Accept header asks for it, else in the text format of Prometheus."""
    state: AppState = request.state.service
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    metrics = await state.metrics.scrape() if state.metrics.scrape else state.metrics.registry
    return Response(encode(metrics), headers={"content-type": media_type})
