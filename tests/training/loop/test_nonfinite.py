"""The batch behind a non-finite loss is saved with its position, losses and objects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from tests.training.tiny_models import LOADER, TOY, NaNCriterion, toy_trainer


def test_batch_with_non_finite_loss_is_saved(tmp_path: Path) -> None:
    recipe = replace(TOY, criterion=lambda _: NaNCriterion())
    with pytest.raises(LineageError, match=r"epoch 1, batch 3.*nonfinite_batch.*--lr"):
        toy_trainer(tmp_path / "run", recipe).run()
    folder = tmp_path / "run" / "nonfinite_batch"
    document = json.loads((folder / "step.json").read_text(encoding="utf-8"))
    third = list(LOADER.epoch(0))[2]
    assert (document["epoch"], document["batch"], document["not_finite"]) == (1, 3, "loss")
    assert [entry["box"] for entry in document["objects"]] == third.targets.boxes.tolist()
    assert set(document["losses"]) == {"level0", "level1", "level2"}
    for number, pixels in enumerate(third.images.numpy()):
        np.testing.assert_array_equal(cv2.imread(str(folder / f"{number:03d}.png"))[..., ::-1], pixels)
