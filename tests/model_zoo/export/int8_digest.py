"""Export the tiny detector in int8, and print the SHA-256 of its files.

Arguments are the folder, the number of threads, and 0 to disable graph optimization.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import torch

from model_zoo.contract.files import file_sha256
from model_zoo.export import sessions
from model_zoo.export.calibration import Calibration
from model_zoo.export.card import build_export_card
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.export.write_model import write_model
from tests.exports import tiny_detector


def digests(folder: Path) -> dict[str, str]:
    """Export and return the SHA-256 of each file."""
    detector = tiny_detector()
    card = build_export_card(detector, "tiny", candidates=256, precision="int8")
    images = [image[None] for image in synthetic_images((128, 160), 5, seed=3)]
    write_model(detector, card, folder / "tiny.onnx", calibration=Calibration(images))
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    target, threads, optimize = sys.argv[1:]
    torch.set_num_threads(int(threads))
    sessions.make_session = functools.partial(sessions.make_session, optimize=bool(int(optimize)))
    sys.stdout.write(json.dumps(digests(Path(target))))
