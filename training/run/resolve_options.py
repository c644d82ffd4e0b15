"""Resolve the options that a config leaves to the recipe or the machine."""

from __future__ import annotations

import os
from dataclasses import replace

from loky import cpu_count

from training.config import TrainConfig
from training.loop.schedule import MAX_FLAT
from training.recipe import Recipe

MAX_WORKERS = 8


def resolve_recipe(config: TrainConfig, recipe: Recipe) -> Recipe:
    """Return the recipe with the config's overrides.

    The separate warm-up rate of biases applies to the recipe's optimizer only: SGD's is far too high for AdamW.
    """
    epochs = config.epochs or recipe.epochs
    same_optimizer = config.optimizer in (None, recipe.optimizer.name)
    schedule = recipe.schedule if same_optimizer else replace(recipe.schedule, warmup_bias_lr=0.0)
    optimizer = replace(
        recipe.optimizer,
        name=config.optimizer or recipe.optimizer.name,
        lr=config.lr or recipe.optimizer.lr,
        nominal_batch=config.nominal_batch or recipe.optimizer.nominal_batch,
    )
    close_mosaic = min(recipe.augmentation.close_mosaic, int(MAX_FLAT * epochs))
    augmentation = replace(
        recipe.augmentation,
        close_mosaic=close_mosaic if config.close_mosaic is None else config.close_mosaic,
        multi_scale=config.multi_scale or recipe.augmentation.multi_scale,
    )
    return replace(
        recipe,
        optimizer=optimizer,
        schedule=schedule,
        augmentation=augmentation,
        epochs=epochs,
        ema_decay=recipe.ema_decay if config.ema else 0.0,
    )


def default_workers() -> int:
    """Return the number of loader processes per rank: its share of the cores less one, from 1 to MAX_WORKERS."""
    cores: int = cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(cores - 1, 1), MAX_WORKERS)
