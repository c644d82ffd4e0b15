"""Write a small COCO dataset of images with a bright square or bar."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from tests.training.tiny_models import CLASSES, SIDE, toy_sample


def write_data(root: Path, train: int = 8, val: int = 4) -> Path:
    """Write images and labels of two splits, and return the folder."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for split, seed, count in (("train", 0, train), ("val", 1, val)):
        rng = np.random.default_rng(seed)
        images, annotations = [], []
        for i in range(count):
            sample = toy_sample(rng)
            name = f"{split}{i}.png"
            cv2.imwrite(str(root / "images" / name), sample.pixels)
            images.append({"id": i, "file_name": name, "height": SIDE, "width": SIDE})
            for box, class_id in zip(sample.boxes.tolist(), sample.class_ids.tolist(), strict=True):
                x1, y1, x2, y2 = box
                sides = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                annotations.append({"id": len(annotations), "image_id": i, "category_id": class_id, **sides})
        categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document))
    return root
