"""What may be asked of a run, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from training.config import ADAPTER, TrainConfig, check_config, parse_config, resume_config
from training.recipes import recipe_of
from training.run.resolve_options import default_workers, resolve_recipe
from training.run.run_folder import create_run_folder, recipe_document, weights_in

ASKED = TrainConfig(model="yolov5n", data=Path("data"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs: .*greater than 0; got 0"),
        ({"batch": -4}, "--batch: .*got -4"),
        ({"lr": -0.1}, "--lr: "),
        ({"patience": -1}, "--patience: "),
        ({"save_minutes": 0.0}, "--save-minutes: "),
        ({"image_size": (64, 64, 64)}, "--image-size: expected one number, or height and width"),
        ({"model": ""}, "expected --model and --data, or --resume"),
        ({"data": None}, "expected --model and --data, or --resume"),
        ({"optimizer": "adamw"}, "--optimizer adamw: expected --lr as well"),
    ],
)
def test_a_mistake_is_named_by_its_flag(changes: dict[str, object], message: str) -> None:
    with pytest.raises(LineageError, match=message):
        check_config(replace(ASKED, **changes))


def test_a_config_survives_json() -> None:
    config = replace(ASKED, batch=4, image_size=(320, 640), multi_scale=(0.5, 1.5), weights=Path("a.pt"), lr=1 / 3)
    assert parse_config(json.loads(json.dumps(ADAPTER.dump_python(config, mode="json")))) == config


def test_what_is_left_out_is_the_recipes() -> None:
    recipe = recipe_of("yolox-s")
    assert resolve_recipe(ASKED, recipe) == recipe


def test_what_is_given_is_not() -> None:
    config = replace(ASKED, epochs=40, optimizer="adamw", lr=0.001, ema=False, multi_scale=(0.8, 1.2), close_mosaic=3)
    config = replace(config, nominal_batch=16)
    recipe = resolve_recipe(config, recipe_of("yolox-s"))
    assert (recipe.epochs, recipe.optimizer.name, recipe.optimizer.lr, recipe.ema_decay) == (40, "adamw", 0.001, 0.0)
    assert recipe.optimizer.nominal_batch == 16
    assert (recipe.augmentation.multi_scale, recipe.augmentation.close_mosaic) == ((0.8, 1.2), 3)


def test_biases_warm_up_from_a_rate_that_fits_the_optimizer() -> None:
    recipe = recipe_of("yolov5n")
    assert resolve_recipe(replace(ASKED, optimizer="sgd", lr=0.1), recipe).schedule.warmup_bias_lr == 0.1
    assert resolve_recipe(replace(ASKED, optimizer="adamw", lr=0.1), recipe).schedule.warmup_bias_lr == 0.0


def test_a_short_run_is_not_all_without_mosaic() -> None:
    assert resolve_recipe(replace(ASKED, epochs=10), recipe_of("yolox-s")).augmentation.close_mosaic == 5


def test_the_numbers_of_a_recipe_are_strict_json() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for variant in ("yolov1", "yolov5n", "yolov6n", "yolox-s"):
        numbers = recipe_document(recipe_of(variant))
        assert json.loads(json.dumps(numbers), parse_constant=refuse) == numbers
        assert "criterion" not in numbers


BEGAN = replace(ASKED, epochs=10, batch=8, seed=3, image_size=(320, 320), precision="bf16")


def test_a_run_is_gone_on_with_as_it_began() -> None:
    asked = TrainConfig(resume=Path("runs/a"))
    assert resume_config(asked, BEGAN) == replace(BEGAN, resume=Path("runs/a"))
    assert resume_config(replace(asked, epochs=10), BEGAN).epochs == 10


def test_what_does_not_change_what_is_learned_may_change() -> None:
    asked = TrainConfig(resume=Path("runs/a"), data=Path("moved"), workers=5, patience=0, hours=2.0, device="cpu")
    config = resume_config(asked, BEGAN)
    assert (config.data, config.workers, config.patience, config.hours, config.device) == (
        Path("moved"), 5, 0, 2.0, "cpu"
    )  # fmt: skip


def test_what_would_make_it_another_run_is_refused() -> None:
    asked = TrainConfig(resume=Path("runs/a"), epochs=20, lr=0.1, workers=5)
    with pytest.raises(LineageError, match=r"--epochs, --lr cannot change on resume.*--weights runs/a"):
        resume_config(asked, BEGAN)


def test_one_core_is_left_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, expected in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr("training.run.resolve_options.cpu_count", lambda n=cores: n)
        assert default_workers() == expected
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert default_workers() == 3


def test_no_run_takes_the_place_of_another(tmp_path: Path) -> None:
    names = [create_run_folder(tmp_path / "runs", "yolov5n").name for _ in range(3)]
    assert names == ["yolov5n", "yolov5n-2", "yolov5n-3"]


def test_a_run_is_known_by_its_best_weights(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="expected a run with weights"):
        weights_in(tmp_path)
    (tmp_path / "last.safetensors").touch()
    assert weights_in(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").touch()
    assert weights_in(tmp_path).name == "best.safetensors"
