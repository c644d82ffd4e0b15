"""Ground truth and detections with reference metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from model_zoo.contract.detections import Detections
from training.data.dataset import Dataset, Record, Split

Reference = dict[str, np.ndarray]


def _xyxy(rows: list[dict]) -> np.ndarray:
    boxes = np.asarray([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


class Scene:
    """Ground truth and detections of the reference data."""

    def __init__(self, folder: Path) -> None:
        truth = json.loads((folder / "small.gt.json").read_text())
        detected = json.loads((folder / "small.dets.json").read_text())
        categories = {c["id"]: i for i, c in enumerate(truth["categories"])}
        self.records, self.detections = [], []
        for image in truth["images"]:
            objects = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
            results = [d for d in detected if d["image_id"] == image["id"]]
            self.records.append(
                Record(
                    Path(image["file_name"]),
                    (image["height"], image["width"]),
                    _xyxy(objects),  # float64: float32 would change the decimals
                    np.asarray([categories[a["category_id"]] for a in objects], dtype=np.int64),
                    np.asarray([a["iscrowd"] for a in objects], dtype=bool),
                    np.asarray([a["area"] for a in objects]),
                    image["id"],
                )
            )
            self.detections.append(
                Detections(
                    _xyxy(results),
                    np.asarray([d["score"] for d in results]),
                    np.asarray([categories[d["category_id"]] for d in results], dtype=np.int64),
                )
            )
        names = tuple(c["name"] for c in truth["categories"])
        split = Split("val", tuple(self.records), "")
        self.dataset = Dataset(folder, names, tuple(categories), {"val": split})
        self.reference: Reference = dict(np.load(folder / "small.npz"))
