"""Set up a new training run, or resume one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import plural
from model_zoo.detector import Detector
from model_zoo.export.card import build_card
from model_zoo.export.log import Log
from model_zoo.progress import Progress
from training.config import TrainConfig, resume_config
from training.data.dataset import Dataset
from training.data.loading.loader import TrainingLoader
from training.data.loading.sampler import BatchSampler
from training.data.open import open_dataset
from training.data.validation.check import require_valid
from training.data.validation.findings import MAX_LISTED
from training.evaluate.coco import Metrics
from training.evaluate.evaluation import Evaluation, EvaluationImages, evaluate_detector
from training.loop.autobatch import MAX_BATCH, choose_batch
from training.loop.contention import OtherLoad, describe_contention, usable_cores
from training.loop.distributed import ProcessGroup
from training.loop.engine import TrainLoop
from training.loop.precision import DTYPES, ComputePrecision, choose_device, choose_precision
from training.loop.schedule import LRSchedule, fit_to_run
from training.loop.threads import TrialSteps, available_threads, choose_threads, given_threads
from training.recipe import Recipe
from training.recipes import recipe_of
from training.run import checkpoint
from training.run.checkpoint import TrainingState
from training.run.initial_weights import create_detector, frozen_modules, initialize_weights
from training.run.job import describe_job, find_run
from training.run.resolve_options import default_workers, resolve_recipe
from training.run.run_folder import (
    CHECKPOINT,
    create_run_folder,
    describe_run,
    read_config,
    read_origin,
    recipe_document,
    write_config,
)
from training.run.run_lock import lock_folder
from training.run.trainer import EARLY_STOPPED, FINISHED, Trainer, stop_reason


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to train."""

    trainer: Trainer
    """Trainer of the run."""
    dataset: Dataset
    """Dataset of the run."""
    evaluation_images: EvaluationImages | None
    """Images to evaluate on, or None without evaluation."""

    def evaluate(self, detector: Detector) -> Evaluation:
        """Evaluate a detector on the evaluation images in float32, with the settings of the server."""
        assert self.evaluation_images is not None
        return _evaluate(detector, self.dataset, self.evaluation_images)


def open_session(config: TrainConfig, group: ProcessGroup, resources: ExitStack, log: Log) -> Session:
    """Set up a run: resume the one that is given, or the one of a job that was started again, else start a new one.

    Args:
        config: Options of the run.
        group: Process group of the run.
        resources: Closed when the run ends: the lock of its folder, and the number of threads.
        log: Receives messages for the user.

    Raises:
        LineageError: An option, the dataset, the initial weights or the checkpoint are unusable.
    """
    if config.resume:
        return resume_run(config, group, resources, log)
    folder = find_run(config) if group.is_main else None
    folder, saved = group.broadcast((folder, folder is not None and (folder / CHECKPOINT).is_file()))
    if folder and saved:
        again = TrainConfig(resume=folder, device=config.device)
        return resume_run(again, group, resources, log, ended=True)
    return start_run(config, group, resources, log, folder)


def start_run(
    config: TrainConfig, group: ProcessGroup, resources: ExitStack, log: Log, folder: Path | None = None
) -> Session:
    """Set up a new run in `folder`, by default a new one. Other arguments and errors are those of `open_session`."""
    job = describe_job(config)
    recipe = resolve_recipe(config, recipe_of(config.model))  # first: checking a dataset can take minutes
    dataset = _open_checked(config, group, log)
    _require_batch(config, len(dataset.split(config.train_split).records))
    detector = create_detector(config, dataset)
    initialize_weights(detector, config, dataset.split(config.train_split), log)
    device = choose_device(config.device, group.local_rank)
    config = replace(config, image_size=detector.input_spec.size, precision=choose_precision(config.precision, device))
    config = replace(config, batch=group.broadcast(_choose_batch(config, recipe, detector, group)))
    if group.is_main and folder is None:
        folder = create_run_folder(config.runs, config.name or config.model)
    folder = group.broadcast(folder)
    assert folder
    if group.is_main:
        resources.enter_context(lock_folder(folder))
    config = replace(config, threads=_choose_threads(config, recipe, detector, group, log))
    _set_threads(config.threads, resources)
    if group.is_main:
        origin = {"job": job, "weights": asdict(detector.weights)}
        write_config(folder, describe_run(config, recipe, dataset, group.world_size) | origin)
    return _build_session(config, recipe, dataset, detector, folder, group, TrainingState())


def resume_run(
    requested: TrainConfig, group: ProcessGroup, resources: ExitStack, log: Log, *, ended: bool = False
) -> Session:
    """Set up a run from its checkpoint.

    Args:
        requested: Options of the resumed run: `resume`, and changes that are allowed on resume.
        group: Process group of the run.
        resources: Closed when the run ends: the lock of its folder, and the number of threads.
        log: Receives messages for the user.
        ended: Whether the run may have ended. It is then not trained, but evaluated and reported once more.

    Raises:
        LineageError: The run has ended, or its options, recipe or data have changed.
    """
    assert requested.resume
    folder = requested.resume
    original, document = read_config(folder)
    if group.is_main:
        resources.enter_context(lock_folder(folder))
    config = resume_config(requested, original)
    config = replace(config, threads=given_threads(requested.threads) or config.threads)
    assert config.batch != "auto"
    _require_shares(config.batch, group)
    _set_threads(config.threads, resources)
    recipe = resolve_recipe(config, recipe_of(config.model))
    if recipe_document(recipe) != document["recipe"]:
        raise LineageError(
            f"{folder}: the recipe of {config.model} has changed since the run started. "
            f"Start a new run instead, with --weights {folder}"
        )
    tensors, state = checkpoint.read(folder / CHECKPOINT)
    state.stop_reason = stop_reason(state, config, recipe.epochs)
    if not ended:
        _require_unfinished(state, folder)
    dataset = _open_checked(config, group, log)
    _require_same_data(dataset, config, document)
    detector = create_detector(config, dataset)
    detector.weights = read_origin(document)
    detector.load_state_dict(checkpoint.select(tensors, "detector"))  # before the criterion copies its anchors
    session = _build_session(config, recipe, dataset, detector, folder, group, state)
    checkpoint.restore(session.trainer.loop, tensors, state)
    log(f"resuming {folder} at epoch {state.epoch + 1}, batch {state.batch + 1}")
    return session


def _open_checked(config: TrainConfig, group: ProcessGroup, log: Log) -> Dataset:
    """Open the dataset. Rank 0 checks it and logs warnings."""
    assert config.data
    dataset = open_dataset(config.data)
    if group.is_main and config.val_split:
        warnings = [f for f in require_valid(dataset, config.train_split, config.val_split) if f.severity == "warning"]
        for finding in warnings[:MAX_LISTED]:
            log(f"warning: {finding}")
        if len(warnings) > MAX_LISTED:
            log(f"{plural(len(warnings) - MAX_LISTED, 'more warning')}. To list them: lineage data check {config.data}")
    group.broadcast(None)  # barrier: the other ranks wait for the check
    return dataset


def _require_batch(config: TrainConfig, images: int) -> None:
    """Raise LineageError for a batch that would mostly repeat images. A batch that is a little larger is filled up."""
    if config.batch != "auto" and config.batch > max(images, MAX_BATCH):
        raise LineageError(
            f"--batch: expected at most {max(images, MAX_BATCH):,} for {plural(images, 'training image')}; "
            f"got {config.batch:,}"
        )


def _choose_batch(config: TrainConfig, recipe: Recipe, detector: Detector, group: ProcessGroup) -> int:
    """Return the images per batch over all ranks."""
    if config.batch != "auto":
        _require_shares(config.batch, group)
        return config.batch
    sampler = BatchSampler(1, recipe.augmentation, detector.input_spec.size, detector.stride, 1, config.seed)
    return choose_batch(detector, recipe, _compute(config, group), sampler.largest_size) * group.world_size


def _require_shares(batch: int, group: ProcessGroup) -> None:
    if batch % group.world_size:
        raise LineageError(f"--batch: expected a multiple of {group.world_size}, the number of ranks; got {batch}")


def _choose_threads(
    config: TrainConfig, recipe: Recipe, detector: Detector, group: ProcessGroup, log: Log
) -> int | None:
    """Return the number of threads of this rank, measured unless it is given. None leaves it to PyTorch."""
    given, compute = given_threads(config.threads), _compute(config, group)
    if compute.device.type != "cpu" or group.world_size > 1:
        return config.threads
    if given or available_threads() == 1:
        return given or 1
    assert config.batch != "auto"
    trial, load = TrialSteps(detector, recipe, compute, config.batch), OtherLoad()
    choice = choose_threads(trial.seconds_per_image, available_threads())
    log(str(choice))
    if warning := describe_contention(load.cores(), len(usable_cores()), threads=1):
        log(warning)
    return choice.threads


def _set_threads(threads: int | None, resources: ExitStack) -> None:
    if threads:
        resources.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)


def _evaluate(
    detector: Detector, dataset: Dataset, images: EvaluationImages, precision: torch.dtype = torch.float32
) -> Evaluation:
    with Progress("evaluate", len(images.records)) as progress:
        return evaluate_detector(detector, dataset, images, progress=progress.update, precision=precision)


def _compute(config: TrainConfig, group: ProcessGroup) -> ComputePrecision:
    return ComputePrecision(choose_device(config.device, group.local_rank), DTYPES[config.precision])


def _build_session(
    config: TrainConfig,
    recipe: Recipe,
    dataset: Dataset,
    detector: Detector,
    folder: Path,
    group: ProcessGroup,
    state: TrainingState,
) -> Session:
    """Build loader, loop and trainer."""
    loader = _build_loader(config, recipe, dataset, detector, group)
    schedule = fit_to_run(recipe.schedule, recipe.epochs, loader.steps_per_epoch)
    assert config.batch != "auto"
    lr_schedule = LRSchedule(schedule, recipe.optimizer, recipe.epochs, loader.steps_per_epoch, config.batch)
    frozen, compute = frozen_modules(detector, config), _compute(config, group)
    loop = TrainLoop(detector, recipe, lr_schedule, compute, group, seed=config.seed, frozen=frozen)
    images = None
    if config.val_split:
        images = EvaluationImages(dataset.split(config.val_split).records, build_card(detector))

    def evaluate(averaged: Detector) -> Metrics:
        assert images is not None
        return _evaluate(averaged, dataset, images, compute.dtype).metrics

    trainer = Trainer(loop, loader, evaluate if images else None, config, folder, state)
    return Session(trainer, dataset, images)


def _build_loader(
    config: TrainConfig, recipe: Recipe, dataset: Dataset, detector: Detector, group: ProcessGroup
) -> TrainingLoader:
    assert config.batch != "auto"
    return TrainingLoader(
        split=dataset.split(config.train_split),
        augmentation=recipe.augmentation,
        image_size=detector.input_spec.size,
        policy=detector.input_spec.letterbox,
        stride=detector.stride,
        batch=config.batch // group.world_size,
        workers=default_workers() if config.workers is None else config.workers,
        seed=config.seed,
        rank=group.rank,
        world=group.world_size,
        cache=config.cache,
    )


def _require_unfinished(state: TrainingState, folder: Path) -> None:
    """Raise LineageError if the run has ended."""
    if state.stop_reason == FINISHED:
        raise LineageError(
            f"{folder}: a finished run cannot be resumed; all of its epochs are done ({state.epoch}) and its learning "
            f"rate has decayed. Start a new run instead, with --weights {folder}"
        )
    if state.stop_reason == EARLY_STOPPED:
        raise LineageError(
            f"{folder}: early stopping ended the run after epoch {state.epoch}; the best was epoch {state.best_epoch}. "
            "To resume it, set a larger --patience, or 0 for no early stopping"
        )


def _require_same_data(dataset: Dataset, config: TrainConfig, document: Mapping[str, Any]) -> None:
    """Raise LineageError if the dataset differs from the one the run was started with."""
    original = document["data"]
    if list(dataset.class_names) != original["class_names"]:
        raise LineageError(
            f"{dataset.root}: expected the classes the run was started with, {original['class_names']}; "
            f"got {list(dataset.class_names)}"
        )
    for name in {config.train_split, config.val_split} - {""}:
        split = dataset.split(name)
        if original["splits"].get(split.name, {}).get("sha256") != split.fingerprint:
            raise LineageError(
                f"{dataset.root}: split {split.name!r} has changed since the run started. "
                f"Start a new run instead, with --weights {config.resume}"
            )
