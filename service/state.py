"""The objects that routes share."""

from __future__ import annotations

from dataclasses import dataclass

from service.inference.memory import MemoryBudget
from service.inference.model_store import ModelStore
from service.inference.service import DetectionService
from service.settings import Settings
from service.telemetry.metrics import Metrics


@dataclass(frozen=True)
class AppState:
    """State of one running application, created at startup and closed at shutdown."""

    settings: Settings
    """Settings of the application."""
    store: ModelStore
    """The models."""
    detection: DetectionService
    """The entry point for detection."""
    memory: MemoryBudget
    """Memory for request bodies."""
    metrics: Metrics
    """Counters and histograms."""
