"""Take official weights in. Original key names live in this package alone.

A family's importer is the module of its name with one function,

    from_state_dict(variant, state) -> Detector

where `state` has the original key names. Most of them are a table of renames for `importers.renaming`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector


def from_state_dict(variant: str, state: Mapping[str, NDArray[np.generic]]) -> Detector:
    """Build `variant` from a state dict with the original key names; class count and anchors are the state's.

    Returns the detector in evaluation mode, float32. Raises LineageError that lists keys which are missing, unknown
    or of another shape.
    """
    family = registry.family_of(variant)
    module = f"{__name__}.{family}"
    if find_spec(module) is None:
        raise LineageError(f"expected a variant whose official weights can be read; there is no importer for {family}")
    detector: Detector = import_module(module).from_state_dict(variant, state)
    return detector.eval()
