"""What the routes share, made at start and closed at the end."""

from __future__ import annotations

from dataclasses import dataclass

from service.api.native.body import Memory
from service.inference.model_store import ModelStore
from service.inference.service import Detection
from service.settings import Settings


@dataclass(frozen=True)
class State:
    """Settings, models, the decoding pool and the memory for bodies of one running application."""

    settings: Settings
    store: ModelStore
    detection: Detection
    memory: Memory
