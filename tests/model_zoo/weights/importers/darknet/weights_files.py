"""Write `.weights` files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch

from model_zoo.weights.importers.darknet.weights_file import tensors

VERSION_1, VERSION_2 = struct.pack("<3ii", 0, 1, 0, 7), struct.pack("<3iq", 0, 2, 0, 7)


def numbers_of(model: torch.nn.Module, order: tuple[str, ...]) -> np.ndarray:
    return torch.cat([t.detach().flatten() for t in tensors(model, order)]).numpy()


def write(path: Path, numbers: np.ndarray, header: bytes = VERSION_2) -> Path:
    path.write_bytes(header + numbers.astype("<f4").tobytes())
    return path
