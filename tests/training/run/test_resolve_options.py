"""Options that a config leaves to the recipe or the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from training.config import TrainConfig
from training.recipes import recipe_of
from training.run.resolve_options import default_workers, resolve_recipe

CONFIG = TrainConfig(model="yolov5n", data=Path("data"))


def test_omitted_options_leave_the_recipe_unchanged() -> None:
    recipe = recipe_of("yolox-s")
    assert resolve_recipe(CONFIG, recipe) == recipe


def test_given_options_override_the_recipe() -> None:
    config = replace(CONFIG, epochs=40, optimizer="adamw", lr=0.001, ema=False, multi_scale=(0.8, 1.2), close_mosaic=3)
    config = replace(config, nominal_batch=16)
    recipe = resolve_recipe(config, recipe_of("yolox-s"))
    assert (recipe.epochs, recipe.optimizer.name, recipe.optimizer.lr, recipe.ema_decay) == (40, "adamw", 0.001, 0.0)
    assert recipe.optimizer.nominal_batch == 16
    assert (recipe.augmentation.multi_scale, recipe.augmentation.close_mosaic) == ((0.8, 1.2), 3)


def test_warmup_rate_of_biases_applies_to_the_recipes_optimizer_only() -> None:
    recipe = recipe_of("yolov5n")
    assert resolve_recipe(replace(CONFIG, optimizer="sgd", lr=0.1), recipe).schedule.warmup_bias_lr == 0.1
    assert resolve_recipe(replace(CONFIG, optimizer="adamw", lr=0.1), recipe).schedule.warmup_bias_lr == 0.0


def test_short_run_trains_with_mosaic_for_half_of_its_epochs() -> None:
    assert resolve_recipe(replace(CONFIG, epochs=10), recipe_of("yolox-s")).augmentation.close_mosaic == 5


def test_default_workers_leave_one_core_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, expected in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr("training.run.resolve_options.cpu_count", lambda n=cores: n)
        assert default_workers() == expected
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert default_workers() == 3
