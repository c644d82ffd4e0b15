"""What the routes share, made at start and closed at the end."""

from __future__ import annotations

from dataclasses import dataclass

from service.body import Memory
from service.detection import Detection
from service.repository import ModelStore
from service.settings import Settings


@dataclass(frozen=True)
class State:
    """Settings, models, the decoding pool and the memory for bodies of one running application."""

    settings: Settings
    store: ModelStore
    detection: Detection
    memory: Memory
