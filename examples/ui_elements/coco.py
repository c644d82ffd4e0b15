"""Write a dataset: images, COCO JSON for each split, and a manifest with hashes and counts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from examples.ui_elements.browser import Screenshot
from examples.ui_elements.classes import NAMES

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


@dataclass(frozen=True)
class LabeledImage:
    """A saved image with its labels."""

    name: str
    """File name in `images`."""

    sha256: str
    """Hash of the file."""

    height: int
    """In pixels."""

    width: int
    """In pixels."""

    labels: list[str]
    """Class names, one per box."""

    boxes: list[list[float]]
    """(N, 4) xyxy, in pixels."""

    facts: dict[str, str]
    """Properties of the page, such as its design system and language."""

    @property
    def split(self) -> str:
        """The split, which is the first part of the name."""
        return self.name.split("-")[0]


def save_image(output: Path, name: str, shot: Screenshot, facts: dict[str, str]) -> LabeledImage:
    """Write a screenshot to `images/` as JPEG without chroma subsampling."""
    path = output / "images" / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(shot.image, cv2.COLOR_RGB2BGR), QUALITY)
    path.write_bytes(data.tobytes())
    height, width = shot.image.shape[:2]
    return LabeledImage(
        path.name, hashlib.sha256(data.tobytes()).hexdigest(), height, width, shot.labels, shot.boxes.tolist(), facts
    )


def write_dataset(output: Path, images: list[LabeledImage], facts: dict[str, Any]) -> None:
    """Write `annotations/<split>.json` and `manifest.json` for saved images."""
    by_split: dict[str, list[LabeledImage]] = defaultdict(list)
    for image in images:
        by_split[image.split].append(image)
    files = {}
    for split, members in by_split.items():
        path = output / "annotations" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_document(members), separators=(",", ":")), encoding="utf-8")
        files[f"annotations/{split}.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    files |= {f"images/{image.name}": image.sha256 for image in images}
    manifest = facts | {"splits": {split: _summary(members) for split, members in by_split.items()}, "files": files}
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _document(labeled: list[LabeledImage]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(labeled, 1):
        size = {"height": image.height, "width": image.width}
        images.append({"id": image_id, "file_name": image.name} | size | {"page": image.facts})
        for label, (x1, y1, x2, y2) in zip(image.labels, image.boxes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": NAMES.index(label) + 1,
                    "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _summary(images: list[LabeledImage]) -> dict[str, Any]:
    counts = Counter(label for image in images for label in image.labels)
    keys = sorted({key for image in images for key in image.facts})
    facts = {key: dict(sorted(Counter(image.facts.get(key, "") for image in images).items())) for key in keys}
    return {"images": len(images), "elements": {name: counts[name] for name in NAMES}} | facts
