"""What a user may ask of one run, and what it comes to once every choice is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from loky import cpu_count
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from model_zoo.contract.errors import LineageError
from training.data.loading.image_cache import Cache
from training.loop.precision import Precision
from training.loop.schedule import MAX_FLAT
from training.recipe import Recipe

MAX_WORKERS = 8


@dataclass(frozen=True)
class TrainConfig:
    """Options of a run; what is left out is the recipe's, the variant's or the machine's.

    Attributes:
        model: Variant to train, such as yolov7-tiny.
        data: Dataset: a folder, a data.yaml or a COCO .json file.
        epochs: Passes over the training images; by default the paper's.
        batch: Images of one batch over all processes; auto is what fits the GPU's memory, or 16 on a CPU.
        image_size: Input size in pixels, one number for a square or height and width; by default the variant's.
        weights: Weights to start from: an official checkpoint, our own .safetensors, or the folder of a run.
        backbone_weights: Darknet weights of a classifier, to start the backbone from.
        freeze: Part that does not learn.
        resume: Folder of a run to go on with, exactly where it was; nothing else needs to be given.
        name: Folder of the run inside `runs`; by default the model's name. A number is added where it is taken.
        runs: Folder of all runs.
        seed: Of weights, augmentation and order; the same seed gives the same run.
        device: auto, cpu, cuda or cuda:N.
        precision: Of the network; auto is bf16 where the hardware has it.
        workers: Processes that load images; by default as many as cores, up to 8, less one.
        cache: Where resized images are kept; auto is in memory where there is room.
        optimizer: Another optimizer than the recipe's.
        lr: Another learning rate than the recipe's.
        nominal_batch: Another number of images than the recipe's that one step and its learning rate are meant for;
            smaller batches are added up to it, or the rate is scaled. A smaller one makes more steps.
        ema: Averaged weights are evaluated and kept; with --no-ema the weights as they are.
        multi_scale: Least and largest side of training images, as shares of the image size.
        close_mosaic: Last epochs without mosaic and mixup.
        anchors: auto fits them to the dataset where the network's fit its objects badly, fit does in any case and lets
            every class count alike, keep never does.
        train_split: Split to learn from.
        val_split: Split to evaluate on.
        evaluate_every: Epochs between two evaluations; the last epoch is always evaluated.
        patience: Epochs without a better result after which the run ends; 0 never ends it.
        hours: Time after which the run ends with the epoch; 0 is no limit.
        save_every: Epochs between two weights files that are kept for good; 0 keeps the best and the last alone.
        save_minutes: Time between two checkpoints within an epoch.
    """

    model: str = ""
    data: Path | None = None
    epochs: PositiveInt | None = None
    batch: PositiveInt | Literal["auto"] = "auto"
    image_size: tuple[PositiveInt, ...] = ()
    weights: Path | None = None
    backbone_weights: Path | None = None
    freeze: Literal["none", "backbone"] = "none"
    resume: Path | None = None
    name: str | None = None
    runs: Path = Path("runs")
    seed: NonNegativeInt = 0
    device: str = "auto"
    precision: Precision = "auto"
    workers: NonNegativeInt | None = None
    cache: Cache = "auto"
    optimizer: Literal["sgd", "adamw"] | None = None
    lr: PositiveFloat | None = None
    nominal_batch: PositiveInt | None = None
    ema: bool = True
    multi_scale: tuple[PositiveFloat, PositiveFloat] | None = None
    close_mosaic: NonNegativeInt | None = None
    anchors: Literal["auto", "fit", "keep"] = "auto"
    train_split: str = "train"
    val_split: str = "val"
    evaluate_every: PositiveInt = 1
    patience: NonNegativeInt = 100
    hours: NonNegativeFloat = 0.0
    save_every: NonNegativeInt = 0
    save_minutes: PositiveFloat = 15.0


ADAPTER = TypeAdapter(TrainConfig)
DEFAULTS = TrainConfig()
MAY_CHANGE = frozenset({"resume", "data", "device", "workers", "cache", "patience", "hours", "save_minutes"})


def checked(config: TrainConfig) -> TrainConfig:
    """Return the config as it is; LineageError names an option that is out of range or missing."""
    parse(asdict(config))
    if config.resume is None and (not config.model or config.data is None):
        raise LineageError("expected --model and --data, or --resume with the folder of a run")
    if len(config.image_size) > 2:
        raise LineageError(f"--image-size: expected one number, or height and width; got {config.image_size}")
    if config.optimizer and config.lr is None:
        raise LineageError(
            f"--optimizer {config.optimizer}: expected --lr with it; the recipe's lr is for the recipe's"
        )
    return config


def parse(values: Mapping[str, Any]) -> TrainConfig:
    """Make a config of its fields, as JSON has them or as they are; LineageError names one that is out of range."""
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]).replace("_", "-")
        raise LineageError(f"--{name}: {fault['msg']}; got {fault['input']!r}") from error


def recipe_for(config: TrainConfig, recipe: Recipe) -> Recipe:
    """Return the recipe that runs: with what a config changes of it.

    Biases warm up from a rate of their own with the recipe's optimizer alone: that of SGD is far too high for AdamW.
    """
    epochs = config.epochs or recipe.epochs
    same = config.optimizer in (None, recipe.optimizer.name)
    schedule = recipe.schedule if same else replace(recipe.schedule, warmup_bias_lr=0.0)
    optimizer = replace(
        recipe.optimizer,
        name=config.optimizer or recipe.optimizer.name,
        lr=config.lr or recipe.optimizer.lr,
        nominal_batch=config.nominal_batch or recipe.optimizer.nominal_batch,
    )
    close = min(recipe.augmentation.close_mosaic, int(MAX_FLAT * epochs))
    augmentation = replace(
        recipe.augmentation,
        close_mosaic=close if config.close_mosaic is None else config.close_mosaic,
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
    """Return how many processes load images for one that trains: the cores it has, less its own."""
    cores: int = cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(cores - 1, 1), MAX_WORKERS)


def resumed(asked: TrainConfig, began: TrainConfig) -> TrainConfig:
    """Return the config of a run that is gone on with; LineageError if it was asked to become another run."""
    given = {f.name: getattr(asked, f.name) for f in fields(asked)}
    given = {name: value for name, value in given.items() if value != getattr(DEFAULTS, name)}
    other = [name for name in given if name not in MAY_CHANGE and given[name] != getattr(began, name)]
    if other:
        flags = ", ".join("--" + name.replace("_", "-") for name in other)
        raise LineageError(
            f"--resume goes on with a run as it began; {flags} would make it another: start that with "
            f"--weights {asked.resume}"
        )
    changed = {name: value for name, value in given.items() if name in MAY_CHANGE}
    return replace(began, **{**changed, "resume": asked.resume, "device": asked.device})
