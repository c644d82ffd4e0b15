"""Images, and a repository with the toy model, for commands."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx

RED = (250, 100, 20)


def save_image(path: Path, color: tuple[int, int, int] = RED, size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*size, 3), color, dtype=np.uint8)
    _, data = cv2.imencode(path.suffix, image[..., ::-1])
    path.write_bytes(data.tobytes())
    return path


def publish(root: Path, name: str, file: Path) -> None:
    card = toy_card(name)
    file.write_bytes(toy_onnx(card))
    Repository(root).publish(card, {"model.onnx": file})
