"""Requests to servers of the toy model, and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx


def publish_toy(folder: Path, name: str = "toy", work: int = 0) -> Path:
    """Publish a version of the toy model and return the repository. `work` makes the model slow."""
    card, source = toy_card(name, size=(256, 256)), folder / "model.onnx"
    source.write_bytes(toy_onnx(card, work=work))
    Repository(folder / "models").publish(card, {"model.onnx": source})
    return folder / "models"


def image_of(seed: int, size: tuple[int, int] = (128, 128)) -> bytes:
    """A PNG in a color that depends on the seed."""
    color = np.random.default_rng(seed).integers(64, 256, 3, dtype=np.uint8)
    return cv2.imencode(".png", np.broadcast_to(color, (*size, 3)))[1].tobytes()


def without_times(answer: Any) -> Any:
    document = answer.json()
    return {
        name: [
            {key: value for key, value in result.items() if "_ms" not in key and "seconds" not in key}
            for result in part
        ]
        if name == "results"
        else part
        for name, part in document.items()
        if "_ms" not in name and "time" not in name
    }
