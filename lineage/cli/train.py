"""`lineage train`: train a detector. Its options and their help are the fields of `training.config.TrainConfig`."""

from __future__ import annotations

from typing import Annotated, Final

from lineage.cli.arguments import option
from training.config import DEFAULTS, TrainConfig

EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT


def train(config: Annotated[TrainConfig, option(name="")] = DEFAULTS) -> int:
    """Train a detector with the recipe of its generation.

    To train on N GPUs: torchrun --nproc-per-node N -m lineage train ...
    """
    from training.run.train import train as train_run
    from training.run.trainer import INTERRUPTED

    return EXIT_INTERRUPTED if train_run(config, print).stop_reason == INTERRUPTED else 0
