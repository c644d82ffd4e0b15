"""Type of a state dict outside torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

StateDict = Mapping[str, NDArray[np.generic]]
