"""Measurements of a request: stages, model and outcome, for its metrics, log line and trace.

record = RequestRecord()
CURRENT_REQUEST.set(record)
current_request().add({"decode": 0.01, "queue": 0.002})     # anywhere below, also in tasks that the request starts
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

_VALID_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True)
class Batch:
    """One run of an engine, which the images of several requests can share."""

    number: int
    """Number of the batch, unique in this process."""
    size: int
    """Number of images."""


@dataclass(frozen=True)
class Stage:
    """A stage of one image, or of the whole request."""

    name: str
    """receive, decode, queue or infer."""
    started: float
    """Time of the start, in seconds of the monotonic clock."""
    ended: float
    """Time of the end."""
    batch: Batch | None = None
    """The batch, if the stage is an inference."""


@dataclass(eq=False)
class RequestRecord:
    """Facts about one request. Layers fill in their part, and the telemetry middleware reads it at the end."""

    protocol: str = "other"
    """Name of the protocol."""
    model: str = ""
    """Name of the model that answers, empty until it is known to exist."""
    version: str = ""
    """Version of the model that answers."""
    problem: str = ""
    """Reason of a refusal: the last part of the problem's type."""
    images: int = 0
    """Number of images that were answered."""
    detections: int = 0
    """Number of detections in the answer."""
    stages: list[Stage] = field(default_factory=list)
    """All measured stages, of all images."""

    def add(self, seconds: Mapping[str, float], batch: Batch | None = None) -> None:
        """Record stages that followed one another and end now. `batch` belongs to the last one."""
        started = time.monotonic() - sum(seconds.values())
        last = len(seconds) - 1
        for index, (name, duration) in enumerate(seconds.items()):
            self.stages.append(Stage(name, started, started + duration, batch if index == last else None))
            started += duration

    def slowest(self) -> dict[str, float]:
        """Return the seconds of the slowest image in each stage."""
        seconds: dict[str, float] = {}
        for stage in self.stages:
            seconds[stage.name] = max(stage.ended - stage.started, seconds.get(stage.name, 0.0))
        return seconds


CURRENT_REQUEST: ContextVar[RequestRecord | None] = ContextVar("current_request", default=None)


def current_request() -> RequestRecord:
    """Return the record of the current request. Outside of requests it is a new one that nobody reads."""
    return CURRENT_REQUEST.get() or RequestRecord()


def valid_or_new_id(sent: str) -> str:
    """Return the id that a client sent for its request if it is valid, else a new one."""
    return sent if sent and _VALID_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
