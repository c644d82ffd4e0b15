"""YOLO Lineage: the Python client, and the command line on top of `model_zoo`, `service` and `training`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lineage.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]

_OF_CLIENT: Final = frozenset(__all__)


def __getattr__(name: str) -> Any:
    """Import the client when it is first used, so that the command line does without it."""
    if name not in _OF_CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lineage import client

    return getattr(client, name)
