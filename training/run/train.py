"""Train a detector from its options: set up or resume a run, train, evaluate the best weights, write the report.

result = train(TrainConfig(model="yolov5n", data=Path("data/bccd")), log=print)
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

from model_zoo.contract.image_size import format_size
from model_zoo.export.log import Log, silent
from model_zoo.weights import store
from training.config import TrainConfig, check_config
from training.evaluate.coco import Metrics
from training.loop.distributed import process_group
from training.loop.precision import choose_device
from training.report.run import write_report
from training.run.run_folder import weights_in
from training.run.session import Session, resume_run, start_run
from training.run.trainer import EARLY_STOPPED, FINISHED, INTERRUPTED, OUT_OF_TIME

MESSAGES = {
    FINISHED: "finished",
    EARLY_STOPPED: "early stopping: no improvement for {patience} epochs",
    OUT_OF_TIME: "stopped: the time limit is reached",
    INTERRUPTED: "interrupted",
}


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a run."""

    folder: Path
    """Folder of the run."""
    stop_reason: str
    """One of the reasons of `training.run.trainer`. OUT_OF_TIME and INTERRUPTED runs can be resumed."""
    metrics: Metrics | None
    """Metrics of the best weights. None if interrupted, without a validation split, and on ranks other than 0."""


def train(config: TrainConfig, log: Log = silent) -> TrainResult:
    """Train a run to its end, or until SIGTERM or SIGINT. Under `torchrun`, all ranks share every batch.

    Args:
        config: Options of the run.
        log: Called with progress messages, on rank 0.

    Raises:
        LineageError: An option, the dataset or the initial weights are unusable.
    """
    check_config(config)
    with process_group(choose_device(config.device).type == "cuda") as group:
        log = log if group.is_main else silent
        session = (resume_run if config.resume else start_run)(config, group, log)
        log(_introduction(session))
        gc.freeze()  # existing objects live until the end, so garbage collection need not scan them
        stop_reason = session.trainer.run()
        metrics = _conclude(session, stop_reason, log) if group.is_main else None
    return TrainResult(session.trainer.folder, stop_reason, metrics)


def _introduction(session: Session) -> str:
    loop, config = session.trainer.loop, session.trainer.config
    schedule, size = loop.lr_schedule, format_size(loop.detector.input_spec.size)
    images, classes = len(session.dataset.split(config.train_split).records), len(session.dataset.class_names)
    ranks = f", {loop.group.world_size} ranks" if loop.group.world_size > 1 else ""
    return (
        f"{loop.detector.variant} on {loop.compute.device}, {config.precision}{ranks}: {images} images of "
        f"{size}, {classes} classes, {schedule.epochs} epochs of {schedule.steps_per_epoch} batches of "
        f"{schedule.batch}\n"
        f"recipe: {loop.recipe.source}\n"
        f"run: {session.trainer.folder}"
    )


def _conclude(session: Session, stop_reason: str, log: Log) -> Metrics | None:
    """Log how the run ended and what to do next. Unless it was interrupted, evaluate it and write the report."""
    trainer, folder = session.trainer, session.trainer.folder
    message = MESSAGES[stop_reason].format(patience=trainer.config.patience)
    log(f"{message}, after {trainer.state.epoch} of {trainer.epochs} epochs")
    metrics = None
    if stop_reason != INTERRUPTED and session.evaluation_images:
        evaluation = session.evaluate(store.load(weights_in(folder)).to(trainer.loop.compute.device))
        metrics = evaluation.metrics
        log(f"best epoch: {trainer.state.best_epoch}, ap {metrics.ap:.3f}, ap50 {metrics.ap50:.3f}")
        log(f"report: {write_report(folder, session.dataset, evaluation)}")
    if stop_reason in (INTERRUPTED, OUT_OF_TIME):
        log(f"resume with: lineage train --resume {folder}")
    elif trainer.state.epoch:
        log(f"export with: lineage export {folder} --name {folder.name}")
    return metrics
