"""Dispatch state dicts to the importer of their family."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.state_dict import StateDict


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` in evaluation mode from a state dict with the original key names.

    Class count and anchors come from the state dict. Weights are converted to float32.

    Raises:
        LineageError: Keys are missing, unknown or of another shape, or the family has no importer.
    """
    family = registry.family_of(variant)
    importer = _importer(family)
    if importer is None:
        raise LineageError(f"expected a variant whose official weights can be imported; {family} has no importer")
    detector: Detector = importer.from_state_dict(variant, state)
    return detector.eval()


def identify(state: StateDict) -> Identification | None:
    """Identify the variant of a state dict, or return None if no family matches."""
    for family in registry.families():
        identify_variant = getattr(_importer(family), "identify", None)
        identification: Identification | None = identify_variant(state) if identify_variant else None
        if identification:
            return identification
    return None


def _importer(family: str) -> ModuleType | None:
    name = f"model_zoo.weights.importers.{family}"
    return import_module(name) if find_spec(name) else None
