"""Calibration images are preprocessed as for serving, and spread over the folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.pipeline import preprocess
from model_zoo.export.calibration import read_calibration_images
from model_zoo.export.errors import ExportError
from model_zoo.export.synthetic_images import synthetic_images
from tests.exports import ExportedModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, image in enumerate(synthetic_images((60, 90), 10, seed=1)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image[..., ::-1])
    (tmp_path / "3.png").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("5")
    (tmp_path / "sub.jpg").mkdir()
    return tmp_path


def test_images_are_preprocessed_as_for_serving(tiny: ExportedModel, folder: Path) -> None:
    images = read_calibration_images(folder, tiny.card)
    assert len(images) == 9
    for image, original in zip(images[:3], synthetic_images((60, 90), 3, seed=1), strict=True):
        assert image.shape == (1, 128, 160, 3)
        np.testing.assert_array_equal(image[0], preprocess(tiny.card, original).pixels)


def test_limited_images_are_spread_over_the_folder(tiny: ExportedModel, folder: Path) -> None:
    everything = [image.tobytes() for image in read_calibration_images(folder, tiny.card)]
    chosen = [image.tobytes() for image in read_calibration_images(folder, tiny.card, 5)]
    assert [everything.index(image) for image in chosen] == [0, 2, 3, 5, 7]  # files 0, 2, 4, 6 and 8


def test_folders_without_readable_images_are_refused(tiny: ExportedModel, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not an image")
    for path, limit, message in (
        (tmp_path / "none", 8, "expected a folder of images; .*none is not a folder"),
        (tmp_path / "a.jpg", 8, r"expected a folder of images; .*a\.jpg is not a folder"),
        (tmp_path, 8, "none of its 1 image files can be read"),
        (tmp_path, 0, "at least one image"),
    ):
        with pytest.raises(ExportError, match=message):
            read_calibration_images(path, tiny.card, limit)
