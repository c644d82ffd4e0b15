"""Short runs of a tiny network, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.config import TrainConfig
from training.run import checkpoint
from training.run.checkpoint import TrainingState

OPTIONS = ["--model", "yolox-test", "--image-size", "64", "--batch", "4", "--device", "cpu"]
TIMES = ("seconds", "images_per_second", "memory_gib")


def build_config(data: Path, runs: Path, **options: Any) -> TrainConfig:
    fixed = {"model": "yolox-test", "image_size": (64,), "batch": 4, "device": "cpu", "workers": 0}
    return TrainConfig(**fixed, data=data, runs=runs, **options)


def load_run(folder: Path) -> tuple[dict[str, torch.Tensor], TrainingState]:
    """Return the tensors and the state of a run's checkpoint without its times."""
    tensors, state = checkpoint.read(folder / "checkpoint.safetensors")
    for row in state.history:
        for name in TIMES:
            del row[name]
    state.seconds = 0.0
    return dict(tensors), state
