"""The models that the protocol offers: those of the store, in the native view and in the views of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from service.api.oip.detections_view import DETECTIONS
from service.api.oip.view import View
from service.api.oip.views import PROGRAM_VIEWS
from service.settings import split_list
from service.state import AppState


@dataclass(frozen=True)
class ServedModel:
    """A model under a name of the protocol."""

    name: str
    """Name in the protocol: that of the model, and the suffix of the view."""
    version: str
    """Version number or alias, or empty."""
    model: str
    """Name of the model in the store."""
    view: View
    """View of the model."""

    @property
    def reference(self) -> str:
        """Name in the store: `name[@version|@alias]`."""
        return f"{self.model}@{self.version}" if self.version else self.model


def views(state: AppState) -> list[View]:
    """List the views in use, in the order of the index."""
    chosen = split_list(state.settings.views or "")
    return [*(view for name, view in PROGRAM_VIEWS.items() if name in chosen), DETECTIONS]


def find_model(state: AppState, name: str, version: str = "") -> ServedModel:
    """Return what a name means. A name that is unknown is one of the native view, and the store reports it."""
    names = state.store.known.all_names
    for view in views(state):
        model = name.removesuffix(view.suffix)
        if view.suffix and model not in ("", name) and name not in names:
            return ServedModel(name, version, model, view)
    return ServedModel(name, version, name, DETECTIONS)
