"""Train a detector from its options: set up or resume a run, train, evaluate the best weights, write the report.

result = train(TrainConfig(model="yolov5n", data=Path("data/bccd")), log=print)
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.plural import plural
from model_zoo.export.log import Log, silent
from model_zoo.weights import store
from training.config import TrainConfig, check_config
from training.evaluate.coco import Metrics
from training.loop.distributed import is_lost_rank, process_group
from training.loop.precision import choose_device
from training.loop.reuse_memory import reuse_memory
from training.loop.schedule import LRSchedule
from training.run.commands import command, export_command
from training.run.optional_step import describe, optional_step
from training.run.run_folder import CHECKPOINT, weights_in
from training.run.session import Session, open_session
from training.run.trainer import EARLY_STOPPED, FINISHED, INTERRUPTED, OUT_OF_TIME, Trainer

FEW_STEPS: Final = 100  # optimizer steps that teach a detector little, even from official weights
MESSAGES = {
    FINISHED: "finished",
    EARLY_STOPPED: "early stopping: no improvement for {patience}",
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
    config = check_config(config)
    with process_group(choose_device(config.device).type == "cuda") as group, ExitStack() as resources:
        log = log if group.is_main else silent
        if choose_device(config.device).type == "cpu":
            resources.enter_context(reuse_memory())
        session = open_session(config, group, resources, log)
        log(_introduction(session))
        gc.freeze()  # existing objects live until the end, so garbage collection need not scan them
        stop_reason = _run(session.trainer)
        metrics = _conclude(session, stop_reason, log) if group.is_main else None
    return TrainResult(session.trainer.folder, stop_reason, metrics)


def _run(trainer: Trainer) -> str:
    """Train until the run ends. A full disk, a lost rank or network leaves the last checkpoint to resume from."""
    try:
        return trainer.run()
    except OSError as error:
        reason, advice = describe(error), "Free some space or correct the permissions, then"
        raise LineageError(_stopped(trainer, reason, advice)) from error
    except RuntimeError as error:
        if not is_lost_rank(error):
            raise
        reason = "a rank has ended, or its network failed"
        advice = "If torchrun does not restart all ranks (--max-restarts),"
        raise LineageError(_stopped(trainer, reason, advice)) from error


def _stopped(trainer: Trainer, reason: str, advice: str) -> str:
    can_resume = (trainer.folder / CHECKPOINT).is_file()
    again = command("train", "--resume", trainer.folder) if can_resume else "the same command"
    return (
        f"{trainer.folder}: training stopped after epoch {trainer.state.epoch}: {reason}. "
        f"{advice} continue with: {again}"
    )


def _introduction(session: Session) -> str:
    loop, config = session.trainer.loop, session.trainer.config
    schedule, size = loop.lr_schedule, format_size(loop.detector.input_spec.size)
    images = plural(len(session.dataset.split(config.train_split).records), "image")
    classes = plural(len(session.dataset.class_names), "class")
    epochs, batches = plural(schedule.epochs, "epoch"), plural(schedule.steps_per_epoch, "batch")
    ranks = f", {loop.group.world_size} ranks" if loop.group.world_size > 1 else ""
    return (
        f"{loop.detector.variant} on {loop.compute.device}, {config.precision}{ranks}: {images} of "
        f"{size}, {classes}, {epochs} of {batches} of {schedule.batch}\n"
        f"recipe: {loop.recipe.source}\n"
        f"run: {session.trainer.folder}{_few_steps(schedule)}"
    )


def _few_steps(schedule: LRSchedule) -> str:
    """Return a line with advice if accumulated batches leave few optimizer steps, else nothing."""
    nominal, batch = schedule.optimizer.nominal_batch, schedule.batch
    if not schedule.optimizer.accumulate or batch >= nominal:
        return ""
    steps = max(schedule.total_steps * batch // nominal, 1)
    if steps >= FEW_STEPS:
        return ""
    return (
        f"\nwarning: the run has about {plural(steps, 'optimizer step')}, one per {nominal} images, and learns little. "
        f"Use more epochs, or a step for each batch: --nominal-batch {batch}"
    )


def _conclude(session: Session, stop_reason: str, log: Log) -> Metrics | None:
    """Log how the run ended and what to do next. Unless it was interrupted, evaluate it and write the report."""
    trainer, folder = session.trainer, session.trainer.folder
    patience = plural(trainer.config.patience, "epoch")
    message = MESSAGES[stop_reason].format(patience=patience)
    log(f"{message}, after {trainer.state.epoch} of {plural(trainer.epochs, 'epoch')}")
    metrics = None
    if stop_reason != INTERRUPTED and session.evaluation_images:
        metrics = _evaluate_and_report(session, log)
    if stop_reason in (INTERRUPTED, OUT_OF_TIME):
        log(f"resume with: {command('train', '--resume', folder)}")
    elif trainer.state.epoch:
        log(f"export with: {export_command(folder)}")
    return metrics


def _evaluate_and_report(session: Session, log: Log) -> Metrics | None:
    """Evaluate the best weights and write the report. The weights are saved, so neither can fail the run."""
    trainer, folder = session.trainer, session.trainer.folder
    again = command("evaluate", folder, "--data", trainer.config.data or "", "--report")
    repeat = f"All weights are saved. To repeat it: {again}"
    evaluation = None
    with optional_step("evaluation of the best weights", repeat, log):
        evaluation = session.evaluate(store.load(weights_in(folder)).to(trainer.loop.compute.device))
        metrics = evaluation.metrics
        log(f"best epoch: {trainer.state.best_epoch}, ap {metrics.ap:.3f}, ap50 {metrics.ap50:.3f}")
    if evaluation is None:
        return None
    with optional_step("report", repeat, log):
        from training.report.run import write_report  # here, so that a damaged plot library costs the report only

        log(f"report: {write_report(folder, session.dataset, evaluation)}")
    return evaluation.metrics
