"""Save the batch that produced a non-finite loss or gradient, for debugging."""

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
    """A batch of the current optimizer step with its losses."""

    index: int
    """Index of the batch in the epoch, from 0."""
    batch: Batch
    """Images and objects."""
    total: Tensor
    """Total loss, detached."""
    parts: Mapping[str, Tensor]
    """Weighted losses by name, detached."""

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.batch.images)


class NonFiniteError(LineageError):
    """The loss or the gradient of a step is not finite.

    Attributes:
        record: The first batch with a non-finite loss, or the first of the step if only the gradient is not finite.
        quantity: Which one is not finite: `loss` or `gradient`.
    """

    def __init__(self, records: Sequence[BatchRecord]) -> None:
        nonfinite = [record for record in records if not torch.isfinite(record.total)]
        self.record = (nonfinite or list(records))[0]
        self.quantity = "loss" if nonfinite else "gradient"
        parts = ", ".join(f"{name} {float(part):.4g}" for name, part in self.record.parts.items())
        super().__init__(f"expected a finite {self.quantity}; got {parts}")


def dump_batch(error: NonFiniteError, folder: Path, position: Mapping[str, Any]) -> None:
    """Write the images of the batch as PNG files, and its objects and losses as step.json.

    Args:
        error: Error of the step.
        folder: Folder to write to; created if it does not exist.
        position: Epoch and batch of the step, added to step.json.
    """
    folder.mkdir(exist_ok=True)
    record = error.record
    for number, pixels in enumerate(record.batch.images.cpu().numpy()):
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    index, class_ids, boxes = (tensor.tolist() for tensor in record.batch.targets)
    rows = zip(index, class_ids, boxes, strict=True)
    document = {
        **position,
        "not_finite": error.quantity,
        "losses": {name: float(part) for name, part in record.parts.items()},
        "objects": [{"image": f"{i:03d}.png", "class_id": c, "box": box} for i, c, box in rows],
    }
    (folder / "step.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
