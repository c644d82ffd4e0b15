"""Generation from a seed, and resuming an interrupted call."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from examples.ui_elements import generate, page_content
from examples.ui_elements.browser import Camera
from examples.ui_elements.pages import splits as pages
from tests.examples.ui_elements.rendering import in_a_thread, needs_chromium


@needs_chromium
@pytest.mark.usefixtures("modules")
def test_same_seed_gives_the_same_bytes(camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "IMAGE_COUNT", 10)
    monkeypatch.setitem(generate.SPLITS, "train", ([("generic", 1.0)], pages.TRAIN))
    images = []
    for folder in ("first", "second"):
        output = tmp_path / folder
        page_content.write_images(output / "content", generate.IMAGE_COUNT, seed=3)
        images.append([generate.capture_page(camera, generate.PageSpec("train", i, 3, output)) for i in range(2)])
    assert images[0] == images[1]
    assert images[0][0].sha256 != images[0][1].sha256


@needs_chromium
@pytest.mark.usefixtures("modules")
def test_finished_batches_are_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "IMAGE_COUNT", 10)
    monkeypatch.setitem(generate.SPLITS, "train", ([("generic", 1.0)], pages.TRAIN))
    page_content.write_images(tmp_path / "content", generate.IMAGE_COUNT, seed=3)
    specs = [generate.PageSpec("train", i, 3, tmp_path) for i in range(2)]
    before = in_a_thread(lambda: generate.capture_batch(specs))

    def refuse() -> None:
        raise AssertionError("a browser was started")

    monkeypatch.setattr(generate, "chromium", refuse)
    assert generate.capture_batch(specs) == before
    with pytest.raises(AssertionError, match="a browser was started"):
        generate.capture_batch([dataclasses.replace(spec, seed=4) for spec in specs])
