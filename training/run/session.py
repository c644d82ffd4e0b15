"""From options to a run that is ready to go: a new one, or one that is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.export.card import build_card
from training.config import TrainConfig, resume_config
from training.data.dataset import Dataset
from training.data.loading.loader import TrainingLoader
from training.data.loading.sampler import Sampler
from training.data.open import open_dataset
from training.data.validation.check import require_valid
from training.data.validation.findings import LISTED
from training.evaluate.coco import Metrics
from training.evaluate.detector import Evaluation, EvaluationImages, evaluate_detector
from training.loop.autobatch import batch_for
from training.loop.distributed import Processes
from training.loop.engine import Engine
from training.loop.precision import DTYPES, Arithmetic, choose_device, choose_precision
from training.loop.schedule import LRSchedule, fit_to_run
from training.recipe import Recipe
from training.recipes import recipe_of
from training.run import checkpoint
from training.run.checkpoint import State
from training.run.initial_weights import Say, frozen_parts, new_detector, start_weights
from training.run.resolve_options import default_workers, resolve_recipe
from training.run.run_folder import CHECKPOINT, describe, new_folder, numbers_of, read_config, write_config
from training.run.trainer import FINISHED, NO_BETTER, Trainer, verdict


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to go, the dataset it learns, and the images it is evaluated on, if it is."""

    trainer: Trainer
    dataset: Dataset
    evaluation_images: EvaluationImages | None

    def evaluate(self, detector: Detector) -> Evaluation:
        """Evaluate a detector on the images, as it will be served."""
        assert self.evaluation_images is not None
        return evaluate_detector(detector, self.dataset, self.evaluation_images)


def begin(config: TrainConfig, processes: Processes, say: Say) -> Session:
    """Set up a new run and make its folder; `say` is told what was decided."""
    dataset = _open(config, processes, say)
    detector = new_detector(config, dataset)
    recipe = resolve_recipe(config, recipe_of(config.model))
    start_weights(detector, config, dataset.split(config.train_split), say)
    device = choose_device(config.device, processes.local_rank)
    config = replace(config, image_size=detector.input_spec.size, precision=choose_precision(config.precision, device))
    config = replace(config, batch=processes.tell(_batch(config, recipe, detector, processes)))
    folder = processes.tell(new_folder(config.runs, config.name or config.model) if processes.main else Path())
    if processes.main:
        write_config(folder, describe(config, recipe, dataset, processes.world))
    return _session(config, recipe, dataset, detector, folder, processes)


def go_on(asked: TrainConfig, processes: Processes, say: Say) -> Session:
    """Set up a run where it was left; LineageError if it is over, or its data or recipe are no longer the same."""
    assert asked.resume
    began, document = read_config(asked.resume)
    config = resume_config(asked, began)
    recipe = resolve_recipe(config, recipe_of(config.model))
    if numbers_of(recipe) != document["recipe"]:
        raise LineageError(f"{asked.resume}: it began with another recipe than this version has; begin it anew")
    tensors, state = checkpoint.read(asked.resume / CHECKPOINT)
    state = _go_on_from(state, config, recipe.epochs, asked.resume)
    dataset = _open(config, processes, say)
    _expect_same(dataset, config, document)
    detector = new_detector(config, dataset)
    detector.load_state_dict(checkpoint.part(tensors, "detector"))  # its anchors above all: the criterion asks for them
    session = _session(config, recipe, dataset, detector, asked.resume, processes, state)
    checkpoint.restore(session.trainer.engine, tensors, state)
    say(f"{asked.resume}: goes on in epoch {state.epoch + 1}, after {state.batch} of its batches")
    return session


def _open(config: TrainConfig, processes: Processes, say: Say) -> Dataset:
    """Open the dataset; process 0 looks it through, and `say` is told what is doubtful."""
    assert config.data
    dataset = open_dataset(config.data)
    if processes.main and config.val_split:
        warnings = [f for f in require_valid(dataset, config.train_split, config.val_split) if f.severity == "warning"]
        for finding in warnings[:LISTED]:
            say(f"warning: {finding}")
        if len(warnings) > LISTED:
            say(f"and {len(warnings) - LISTED} more warnings; `lineage data check {config.data}` lists them")
    processes.tell(None)  # the others wait: a dataset that is refused ends them all
    return dataset


def _batch(config: TrainConfig, recipe: Recipe, detector: Detector, processes: Processes) -> int:
    """Return the images of one batch over all processes."""
    if config.batch != "auto":
        if config.batch % processes.world:
            raise LineageError(f"--batch: expected a multiple of {processes.world}, the processes; got {config.batch}")
        return config.batch
    sampler = Sampler(1, recipe.augmentation, detector.input_spec.size, detector.stride, 1, config.seed)
    return batch_for(detector, recipe, _arithmetic(config, processes), sampler.largest_size) * processes.world


def _arithmetic(config: TrainConfig, processes: Processes) -> Arithmetic:
    return Arithmetic(choose_device(config.device, processes.local_rank), DTYPES[config.precision])


def _session(
    config: TrainConfig,
    recipe: Recipe,
    dataset: Dataset,
    detector: Detector,
    folder: Path,
    processes: Processes,
    state: State | None = None,
) -> Session:
    """Put a run together from what was decided."""
    assert config.batch != "auto"
    split, spec = dataset.split(config.train_split), detector.input_spec
    evaluation_images = None
    if config.val_split:
        evaluation_images = EvaluationImages(dataset.split(config.val_split).records, build_card(detector))
    loader = TrainingLoader(
        split,
        recipe.augmentation,
        spec.size,
        spec.letterbox,
        detector.stride,
        config.batch // processes.world,
        default_workers() if config.workers is None else config.workers,
        config.seed,
        processes.rank,
        processes.world,
        config.cache,
    )
    schedule = fit_to_run(recipe.schedule, recipe.epochs, loader.steps_per_epoch)
    timetable = LRSchedule(schedule, recipe.optimizer, recipe.epochs, loader.steps_per_epoch, config.batch)
    frozen, arithmetic = frozen_parts(detector, config), _arithmetic(config, processes)
    engine = Engine(detector, recipe, timetable, arithmetic, processes, seed=config.seed, frozen=frozen)

    def evaluate(averaged: Detector) -> Metrics:
        assert evaluation_images is not None
        return evaluate_detector(averaged, dataset, evaluation_images).metrics

    trainer = Trainer(engine, loader, evaluate if evaluation_images else None, config, folder, state or State())
    return Session(trainer, dataset, evaluation_images)


def _go_on_from(state: State, config: TrainConfig, epochs: int, folder: Path) -> State:
    """Return the state of a run that can be gone on with; LineageError if it is over."""
    state.ended = verdict(state, config, epochs)
    if state.ended == FINISHED:
        raise LineageError(
            f"{folder}: it is finished, all {epochs} epochs of it, and its learning rate has come down. To learn more, "
            f"begin a new run with --weights {folder}"
        )
    if state.ended == NO_BETTER:
        raise LineageError(
            f"{folder}: it ended with epoch {state.epoch}, since none was better than epoch {state.best_epoch}. To go "
            "on all the same, give it a larger --patience; 0 has no end"
        )
    return state


def _expect_same(dataset: Dataset, config: TrainConfig, document: Mapping[str, Any]) -> None:
    """Raise LineageError if the data is no longer what the run began with."""
    began = document["data"]
    if list(dataset.class_names) != began["class_names"]:
        raise LineageError(f"{dataset.root}: expected the classes the run began with, {began['class_names']}")
    for name in {config.train_split, config.val_split} - {""}:
        split = dataset.split(name)
        if began["splits"].get(split.name, {}).get("sha256") != split.fingerprint:
            raise LineageError(
                f"{dataset.root}: split {split.name!r} is not what the run began with; begin a new one with --weights"
            )
