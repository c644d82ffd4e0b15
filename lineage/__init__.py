"""YOLO Lineage: detect objects in this process or with a server.

model = lineage.load()                                # the bundled model, or those in ./models
client = lineage.Client("http://localhost:8000")      # the same calls and results, by a server

The command line is in `lineage.cli`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lineage.client import AsyncClient, Client
    from lineage.model import Model, load
    from lineage.results import ImageResult, save_video
    from model_zoo.contract.detections import Detections
    from model_zoo.contract.errors import ImageError, LineageError

__all__ = [
    "AsyncClient", "Client", "Detections", "ImageError", "ImageResult", "LineageError", "Model", "load", "save_video",
]  # fmt: skip

_HOMES: Final = {
    "AsyncClient": "lineage.client",
    "Client": "lineage.client",
    "Detections": "model_zoo.contract.detections",
    "ImageError": "model_zoo.contract.errors",
    "ImageResult": "lineage.results",
    "LineageError": "model_zoo.contract.errors",
    "Model": "lineage.model",
    "load": "lineage.model",
    "save_video": "lineage.results",
}


def __getattr__(name: str) -> Any:
    """Import what is used when it is first used: a client needs no engine, and an engine no client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
