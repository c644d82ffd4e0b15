"""Shadow traffic on a real server: the report equals an offline comparison, and the page shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import shadow
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from tests.e2e.browser import needs_chromium
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A model with two versions: the second one calls blue violet, and reports scores above 0.3 only."""
    repository, source = Repository(tmp_path / "models"), tmp_path / "model.onnx"
    first = toy_card(shadow.MODEL)
    second = replace(first, class_names=("red", "green", "violet"), thresholds=replace(first.thresholds, score=0.3))
    for card in (first, second):
        source.write_bytes(toy_onnx(card))
        repository.publish(card, {"model.onnx": source})
    return repository


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Ten images of one color each."""
    colors = np.random.default_rng(0).integers(60, 256, (10, 3), dtype=np.uint8)
    for i, color in enumerate(colors):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((90, 120, 3), color, dtype=np.uint8))
    return sorted(tmp_path.glob("*.png"))


def test_report_equals_the_offline_comparison(repository: Repository, images: list[Path]) -> None:
    reported, offline = shadow.report_counts(repository, images), shadow.offline_counts(repository, images)
    assert reported == offline
    assert {difference for _, difference in offline} == {"same", "lost", "found"}


@pytest.fixture
def server(repository: Repository) -> Iterator[Server]:
    set_rollout(repository, shadow.MODEL, Rollout("1", shadow=Shadow("2")))
    with Server(repository.root, shadow_images=4) as server:
        yield server.wait_until_ready()


@needs_chromium
def test_page_shows_the_report(server: Server, images: list[Path], browser: Any) -> None:
    for image in images:
        assert server.client.post("/detect", files={"file": image.read_bytes()}).status_code == 200
    with browser.new_context(viewport={"width": 1280, "height": 1000}) as context:
        page, errors = context.new_page(), list[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"http://127.0.0.1:{server.port}/shadow")
        page.get_by_text("10 images since").wait_for(timeout=30_000)
        assert page.get_by_role("heading", level=2).first.inner_text() == "yolov5n: version 2 compared with version 1"
        assert page.locator(".tile").count() == 5
        labels = page.locator(".comparison tbody th").all_inner_texts()
        assert set(labels) >= {"blue", "violet"}
        page.locator("#images img").first.wait_for()
        assert page.locator("#images figure").count() == 4
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 200)")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert errors == []
