"""A server with toy models, and steps in the playground."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from model_zoo.contract.card import ParentWeights, Thresholds, WeightsOrigin
from model_zoo.contract.repository import Repository
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

ARABIC: Final = ("أحمر", "أخضر", "أزرق")
TUNED: Final = WeightsOrigin("AGPL-3.0", "run a", parents=(ParentWeights("yolov5n.pt", "0" * 64, "AGPL-3.0"),))
STRICT: Final = Thresholds(score=0.5, iou=0.6)


@contextmanager
def toy_server(folder: Path, **flags: object) -> Iterator[Server]:
    """Run a server with `rtl`, `screens`, and two versions of `toy` (`first` is 1) and of `other` (1 is strict)."""
    repository = Repository(folder / "repository")
    for card in (
        replace(toy_card("other", thresholds=STRICT), class_names=("green", "red", "blue")),
        toy_card("other", weights=TUNED),
        replace(toy_card("rtl"), class_names=ARABIC),
        replace(toy_card("screens"), class_names=("text_field", "dropdown", "toggle")),  # has samples
        toy_card("toy"),
        toy_card("toy"),
    ):
        (folder / "model.onnx").write_bytes(toy_onnx(card))
        repository.publish(card, {"model.onnx": folder / "model.onnx"})
    repository.set_alias("toy", "first", 1)
    with Server(folder / "repository", **flags) as server:
        yield server.wait_until_ready()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


def color_image(path: Path) -> Path:
    """Write an image on which the toy model detects red, green and blue with scores 0.8, 0.4 and 0.2."""
    cv2.imwrite(str(path), np.full((200, 200, 3), (51, 102, 204), dtype=np.uint8))
    return path


def choose(page: Any, *images: Path) -> None:
    """Choose files, and wait until the first is detected."""
    page.set_input_files("#file", list(images))
    page.wait_for_selector("#result:not([hidden])")


def labels(page: Any) -> list[str]:
    """Return the class of each row of the table."""
    return list(page.locator("#rows td:first-child").all_inner_texts())


def slide(page: Any, name: str, value: float) -> None:
    page.locator(f"#{name}").fill(str(value))


def json_text(page: Any) -> str:
    return str(page.text_content("#json"))


def view(page: Any, expression: str, *arguments: Any) -> Any:
    """Evaluate an expression of `view`, the image with its boxes."""
    code = f"async (given) => {{ const {{ view }} = await import('/playground/result.js'); return {expression}; }}"
    return page.evaluate(code, list(arguments))
