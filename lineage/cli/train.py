"""`lineage train`."""

from __future__ import annotations

import gc
from typing import Annotated

import tyro

from model_zoo.weights import store
from training.config import DEFAULTS, TrainConfig, check_config
from training.loop.distributed import joined
from training.loop.precision import choose_device
from training.report.run import write_report
from training.run.run_folder import weights_in
from training.run.session import Session, begin, go_on
from training.run.trainer import FINISHED, INTERRUPTED, NO_BETTER, OUT_OF_TIME

EXIT_INTERRUPTED = 130  # as shells say it
WHY = {
    FINISHED: "all epochs are done",
    NO_BETTER: "it no longer got better",
    OUT_OF_TIME: "its time is over",
    INTERRUPTED: "it was interrupted",
}


def train(config: Annotated[TrainConfig, tyro.conf.arg(name="")] = DEFAULTS) -> int:
    """Train a detector by the recipe of its generation.

    Under `torchrun --nproc-per-node N -m lineage train ...` N processes share every batch.
    """
    check_config(config)
    with joined(choose_device(config.device).type == "cuda") as processes:
        say = print if processes.main else _say_nothing
        session = (go_on if config.resume else begin)(config, processes, say)
        say(_introduction(session))
        gc.freeze()  # all this stays to the end: collections, which evaluations cause many of, need not walk through it
        ended = session.trainer.run()
        if processes.main:
            _conclude(session, ended)
    return EXIT_INTERRUPTED if ended == INTERRUPTED else 0


def _say_nothing(_: str) -> None:
    """Leave it to process 0."""


def _introduction(session: Session) -> str:
    """Tell what is about to be done."""
    engine, config = session.trainer.engine, session.trainer.config
    timetable, (height, width) = engine.timetable, engine.detector.input_spec.size
    images, classes = len(session.dataset.split(config.train_split).records), len(session.dataset.class_names)
    processes = f", {engine.processes.world} processes" if engine.processes.world > 1 else ""
    return (
        f"{engine.detector.variant} on {engine.arithmetic.device}, {config.precision}{processes}: {images} images of "
        f"{height} x {width}, {classes} classes, {timetable.epochs} epochs of {timetable.steps_per_epoch} batches of "
        f"{timetable.batch}\n"
        f"recipe: {engine.recipe.source}\n"
        f"run: {session.trainer.folder}"
    )


def _conclude(session: Session, ended: str) -> None:
    """Write the report and tell how the run ended, and what can be done now."""
    trainer, folder = session.trainer, session.trainer.folder
    state = trainer.state
    print(f"{WHY[ended]}, after {state.epoch} of {trainer.epochs} epochs")
    if ended != INTERRUPTED and session.evaluation_images:
        evaluation = session.evaluate(store.load(weights_in(folder)).to(trainer.engine.arithmetic.device))
        metrics = evaluation.metrics
        print(f"best is epoch {state.best_epoch}: ap {metrics.ap:.3f}, ap50 {metrics.ap50:.3f}")
        print(f"report: {write_report(folder, session.dataset, evaluation)}")
    if ended in (INTERRUPTED, OUT_OF_TIME):
        print(f"go on with: lineage train --resume {folder}")
    elif state.epoch:
        print(f"publish it: lineage export {folder} --name {folder.name}")
