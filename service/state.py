"""The objects that routes share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from service.access.access import Access
from service.inference.memory import MemoryBudget
from service.inference.model_store import ModelStore
from service.inference.service import DetectionService
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer


class Shutdown:
    """Announces the end of the server while it still accepts requests."""

    def __init__(self) -> None:
        self.at: float | None = None
        """Time of the end, on the monotonic clock."""

    def announce(self, seconds: float) -> None:
        """Announce that the server stops after `seconds`."""
        self.at = time.monotonic() + seconds

    @property
    def is_due(self) -> bool:
        """Return True if the announced time has passed."""
        return self.at is not None and time.monotonic() >= self.at

    @property
    def problem(self) -> str | None:
        """Return the announcement, or None before there is one."""
        return None if self.at is None else f"shutting down in {max(0.0, self.at - time.monotonic()):.0f} s"


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
    access: Access = field(default_factory=Access)
    """API keys and rate limits."""
    tracer: Tracer | None = None
    """Maker of traces, if the setting `tracing` is on."""
    shutdown: Shutdown = field(default_factory=Shutdown)
    """Announcement of the end."""

    def missing(self) -> list[str]:
        """List what must happen before requests can be answered. Empty if they can."""
        ending = [self.shutdown.problem] if self.shutdown.problem else []
        return [*ending, *self.store.missing(), *self.store.engine_problems()]
