"""A dataset on disk: pictures, COCO's JSON for every split, and a manifest that tells what it is made of."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from examples.ui_elements.browser import Shot
from examples.ui_elements.classes import NAMES

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


@dataclass(frozen=True)
class Scene:
    """A picture that was saved, what is on it, and what is known of its page."""

    name: str
    sha256: str
    height: int
    width: int
    labels: list[str]
    boxes: list[list[float]]
    facts: dict[str, str]

    @property
    def split(self) -> str:
        """Return the split that the name begins with."""
        return self.name.split("-")[0]


def save_picture(output: Path, name: str, shot: Shot, facts: dict[str, str]) -> Scene:
    """Write the picture of a shot to `images/` as JPEG with colors at full resolution."""
    path = output / "images" / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(shot.picture, cv2.COLOR_RGB2BGR), QUALITY)
    path.write_bytes(data.tobytes())
    height, width = shot.picture.shape[:2]
    return Scene(
        path.name, hashlib.sha256(data.tobytes()).hexdigest(), height, width, shot.labels, shot.boxes.tolist(), facts
    )


def write_dataset(output: Path, scenes: list[Scene], facts: dict[str, Any]) -> None:
    """Write `annotations/<split>.json` and `manifest.json` of scenes."""
    by_split: dict[str, list[Scene]] = defaultdict(list)
    for scene in scenes:
        by_split[scene.split].append(scene)
    files = {}
    for split, members in by_split.items():
        path = output / "annotations" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_document(members), separators=(",", ":")), encoding="utf-8")
        files[f"annotations/{split}.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    files |= {f"images/{scene.name}": scene.sha256 for scene in scenes}
    manifest = facts | {"splits": {split: _summary(members) for split, members in by_split.items()}, "files": files}
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _document(scenes: list[Scene]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, 1):
        size = {"height": scene.height, "width": scene.width}
        images.append({"id": image_id, "file_name": scene.name} | size | {"page": scene.facts})
        for label, (x1, y1, x2, y2) in zip(scene.labels, scene.boxes, strict=True):
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


def _summary(scenes: list[Scene]) -> dict[str, Any]:
    counts = Counter(label for scene in scenes for label in scene.labels)
    keys = sorted({key for scene in scenes for key in scene.facts})
    told = {key: dict(sorted(Counter(scene.facts.get(key, "") for scene in scenes).items())) for key in keys}
    return {"images": len(scenes), "elements": {name: counts[name] for name in NAMES}} | told
