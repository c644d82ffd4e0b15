"""Datasets on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from examples.ui_elements.browser import Screenshot
from examples.ui_elements.classes import NAMES
from examples.ui_elements.coco import save_image, write_dataset
from training.data.open import read_dataset


def test_dataset_is_valid_for_training(tmp_path: Path) -> None:
    images = []
    for number, split in enumerate(("train", "val", "test")):
        image = np.full((60, 80, 3), 80 * number, np.uint8)
        shot = Screenshot(image, ["table", "button"], np.array([[1, 2, 70, 50], [5, 5, 30.5, 20]], np.float32))
        images.append(save_image(tmp_path, f"{split}-0", shot, {"kit": "generic"}))
    write_dataset(tmp_path, images, {"seed": 0})
    dataset, findings = read_dataset(tmp_path)
    assert findings == []
    assert tuple(dataset.class_names) == NAMES
    (record,) = dataset.splits["val"].records
    np.testing.assert_allclose(record.boxes, [[1, 2, 70, 50], [5, 5, 30.5, 20]])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["splits"]["train"]["elements"]["button"] == 1
    assert set(manifest["files"]) == {f"images/{s}-0.jpg" for s in ("train", "val", "test")} | {
        f"annotations/{s}.json" for s in ("train", "val", "test")
    }
