"""A step that broke a run: what it saw, laid down where it can be looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from model_zoo.contract.errors import LineageError
from training.batch import Batch


@dataclass(frozen=True, eq=False)
class BatchRecord:
    """A batch that was learned from, its number in the epoch, and what it cost."""

    number: int
    batch: Batch
    total: Tensor
    parts: Mapping[str, Tensor]

    @property
    def images(self) -> int:
        """How many images it has."""
        return len(self.batch.images)


class BrokenStep(LineageError):
    """The loss or the gradient of a step is not finite; `tried` are its batches."""

    def __init__(self, tried: Sequence[BatchRecord]) -> None:
        broken = [t for t in tried if not torch.isfinite(t.total)]
        self.tried = (broken or list(tried))[0]
        self.what = "loss" if broken else "gradient"
        parts = ", ".join(f"{name} {float(part):.4g}" for name, part in self.tried.parts.items())
        super().__init__(f"expected a finite {self.what}; got {parts}")


def dump_batch(broken: BrokenStep, folder: Path, where: Mapping[str, Any]) -> None:
    """Write the images of the batch as PNG, and what is known of the step as step.json; `where` says when it was."""
    folder.mkdir(exist_ok=True)
    batch = broken.tried.batch
    for number, pixels in enumerate(batch.images.cpu().numpy()):
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    index, class_ids, boxes = (part.tolist() for part in batch.targets)
    rows = zip(index, class_ids, boxes, strict=True)
    document = {
        **where,
        "not_finite": broken.what,
        "losses": {name: float(part) for name, part in broken.tried.parts.items()},
        "objects": [{"image": f"{i:03d}.png", "class_id": c, "box": box} for i, c, box in rows],
    }
    (folder / "step.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
