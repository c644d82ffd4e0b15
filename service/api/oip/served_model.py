"""The models that the protocol offers: those of the store, in the native view and in the views of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.contract.package import Package
from service.api.oip.detections_view import DETECTIONS
from service.api.oip.view import View
from service.inference.catalog import Catalog
from service.inference.model_store import ModelStore
from service.settings import split_list
from service.state import AppState

VIEWS: dict[str, View] = {}  # by the name in the setting `views`


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
    return [*(VIEWS[name] for name in split_list(state.settings.views or "")), DETECTIONS]


def find_model(state: AppState, name: str, version: str = "") -> ServedModel:
    """Return what a name means. A name that is unknown is one of the native view, and the store reports it."""
    names = (state.store.catalog or Catalog()).all_names
    for view in views(state):
        model = name.removesuffix(view.suffix)
        if view.suffix and name != model and name not in names:
            return ServedModel(name, version, model, view)
    return ServedModel(name, version, name, DETECTIONS)
