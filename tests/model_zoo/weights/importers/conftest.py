"""Save and load checkpoints of the original programs."""

from __future__ import annotations

import sys

import pytest
import torch

from model_zoo.weights.importers import ImportedModel, load_checkpoint
from tests.model_zoo.weights.importers.originals import Originals


@pytest.fixture
def originals(monkeypatch) -> Originals:
    return Originals(monkeypatch)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Save an object with torch and load it, after removing the original classes from `sys.modules`."""

    def load(content: object, variant: str | None = None, **how: bool) -> ImportedModel:
        path = tmp_path / "weights.pt"
        torch.save(content, path, **how)
        for name in ("models", "models.yolo", "models.common"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return load_checkpoint(path, variant)

    return load
