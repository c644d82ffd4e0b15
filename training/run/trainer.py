"""Run of a training loop over epochs: evaluation, checkpoints, early stopping and interruption."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.detector import Detector
from model_zoo.weights import store
from training.config import TrainConfig
from training.evaluate.coco import Metrics
from training.loop.contention import ContentionWarning
from training.loop.engine import BatchSource, StepResult, TrainLoop
from training.loop.nonfinite import NonFiniteError, dump_batch
from training.report.images import batch_sheet, encode_jpeg
from training.run import checkpoint
from training.run.checkpoint import TrainingState
from training.run.optional_step import optional_step
from training.run.progress import LossMeter, Row, RunLogger, metrics_row, peak_memory_gib
from training.run.run_folder import BATCHES, BEST, CHECKPOINT, LAST, NONFINITE

Evaluate = Callable[[Detector], Metrics]
SAVED_BATCHES = 3
FINISHED, EARLY_STOPPED, OUT_OF_TIME, INTERRUPTED = "finished", "early stopped", "out of time", "interrupted"


class Trainer:
    """Runs a training loop over its epochs.

    Rank 0 evaluates and writes files; other ranks train and follow its decisions.
    """

    def __init__(
        self,
        loop: TrainLoop,
        source: BatchSource,
        evaluate: Evaluate | None,
        config: TrainConfig,
        folder: Path,
        state: TrainingState,
    ) -> None:
        self.loop, self.source, self.evaluate = loop, source, evaluate
        self.config, self.folder, self.state = config, folder, state
        self.group, self.epochs = loop.group, loop.lr_schedule.epochs
        self._per_image = loop.recipe.reduction != "mean"
        self._losses = LossMeter(self._per_image, state.loss_sums, state.batch, state.images)
        alone = loop.compute.device.type == "cpu" and self.group.world_size == 1  # ranks share the cores as well
        self._contention = ContentionWarning() if alone else None
        self._start = self._last_save = time.monotonic()
        self._epoch_start = self._start - state.seconds

    def run(self) -> str:
        """Train until the run ends, and return the reason. INTERRUPTED and OUT_OF_TIME runs can be resumed.

        Raises:
            LineageError: A loss or gradient is not finite.
        """
        silent = not self.group.is_main
        logger = RunLogger(self.folder, self.loop.lr_schedule, self.state.epoch, silent=silent)
        try:
            with record_signals() as received:
                while not self.state.stop_reason:
                    if not self._train_epoch(logger, received):
                        return INTERRUPTED
                    self._end_epoch(logger)
        except NonFiniteError as error:
            raise self._explain(error) from error
        finally:
            logger.close()
            self.source.close()
        return self.state.stop_reason

    def _train_epoch(self, logger: RunLogger, received: Sequence[int]) -> bool:
        """Train on the rest of the epoch. Return False if interrupted, after saving a checkpoint."""
        logger.start_epoch(self.state.epoch, self.state.batch)
        if self.state.batch == self.source.steps_per_epoch:  # interrupted between the last step and the evaluation
            return True
        for result in self.loop.train_epoch(self.source, self.state.epoch, self.state.batch):
            self._losses.add(result)
            logger.update(result, self._losses, self._peak_memory)
            self._save_batch_image(result, logger)
            if self._contention and (warning := self._contention.poll()):
                logger.log(warning)
            if result.stepped and not self._save_if_due(received):
                return False
        return True

    def _save_if_due(self, received: Sequence[int]) -> bool:
        """Save a checkpoint between two steps if it is time. Return False if the run was interrupted."""
        due = self.group.is_main and time.monotonic() - self._last_save > 60 * self.config.save_minutes
        stop, save = self.group.any(bool(received), due)
        if stop or save:
            self._save_checkpoint(self._losses.average_sums())
        return not stop

    def _save_batch_image(self, result: StepResult, logger: RunLogger) -> None:
        """Save images of the first batches with their boxes, to show mistakes in images or labels."""
        if self.group.is_main and self.state.epoch == 0 and result.index < SAVED_BATCHES:
            path = self.folder / BATCHES / f"{result.index + 1}.jpg"
            with optional_step(f"drawing {path.name} of {BATCHES}", "Training continues without it.", logger.log):
                write_atomic(path, encode_jpeg(batch_sheet(result.batch, self.loop.detector.class_names)))

    def _end_epoch(self, logger: RunLogger) -> None:
        """Evaluate, save, and decide on rank 0 whether the run ends."""
        state, row = self.state, self._row()
        state.epoch, state.history = state.epoch + 1, [*state.history, row]
        self._losses = LossMeter(self._per_image, {}, 0, 0)
        if self.group.is_main:
            self._evaluate(row)
            row["seconds"] = time.monotonic() - self._epoch_start
            state.stop_reason = stop_reason(state, self.config, self.epochs) or self._out_of_time()
            self._save_epoch()
            logger.end_epoch(state.history, self._eta())
        self.state = self.group.broadcast(state)
        self._epoch_start = time.monotonic()

    def _row(self) -> Row:
        """Return the row of the epoch before evaluation."""
        lr_schedule = self.loop.lr_schedule
        settings = lr_schedule.at(lr_schedule.steps_per_epoch * (self.state.epoch + 1) - 1)
        losses = self._losses.row()
        images = self._losses.images * self.group.world_size
        speed = images / (time.monotonic() - self._epoch_start)
        row = {"epoch": self.state.epoch + 1, **losses, "lr": settings.lr, "momentum": settings.momentum}
        return {**row, "images_per_second": speed, "memory_gib": self._peak_memory()}

    def _evaluate(self, row: Row) -> None:
        """Evaluate the averaged weights if this epoch is due, and save them if they are the best so far."""
        epoch = self.state.epoch
        if self.evaluate is None or (epoch % self.config.evaluate_every and epoch < self.epochs):
            return
        row |= metrics_row(self.evaluate(self.loop.average.detector))
        if (fitness := fitness_of(row)) > self.state.best_fitness or fitness < 0:  # without objects, the newest is best
            self.state.best_fitness, self.state.best_epoch = fitness, epoch
            store.save(self.loop.average.detector, self.folder / BEST)

    def _save_epoch(self) -> None:
        """Write the weights of this epoch, then the checkpoint."""
        epoch = self.state.epoch
        if self.config.save_every and epoch % self.config.save_every == 0:
            store.save(self.loop.average.detector, self.folder / f"epoch_{epoch}.safetensors")
        store.save(self.loop.average.detector, self.folder / LAST)
        self._epoch_start = time.monotonic()
        self._save_checkpoint({})

    def _save_checkpoint(self, loss_sums: dict[str, float]) -> None:
        """Write a checkpoint on rank 0."""
        if not self.group.is_main:
            return
        state, losses = self.state, self._losses
        state.batch, state.loss_sums, state.images = losses.batches, loss_sums, losses.images
        state.seconds = time.monotonic() - self._epoch_start
        checkpoint.save(self.folder / CHECKPOINT, self.loop, state)
        self._last_save = time.monotonic()

    def _out_of_time(self) -> str:
        """Return OUT_OF_TIME if another epoch would exceed the time limit, else an empty string."""
        used = time.monotonic() - self._start
        exceeded = self.config.hours and used + self.state.history[-1]["seconds"] > 3600 * self.config.hours
        return OUT_OF_TIME if exceeded else ""

    def _eta(self) -> timedelta:
        seconds = [row["seconds"] for row in self.state.history]
        left = 0 if self.state.stop_reason else self.epochs - self.state.epoch
        return timedelta(seconds=round(left * sum(seconds) / len(seconds)))

    def _peak_memory(self) -> float:
        return peak_memory_gib(self.loop.compute.device)

    def _explain(self, error: NonFiniteError) -> LineageError:
        """Save the batch of the error, and return an error with its position and advice."""
        rank = f"-{self.group.rank}" if self.group.rank else ""
        folder = self.folder / f"{NONFINITE}{rank}"
        position = {"epoch": self.state.epoch + 1, "batch": error.record.index + 1}
        dump_batch(error, folder, position)
        return LineageError(
            f"epoch {position['epoch']}, batch {position['batch']}: {error}. The batch was saved in {folder}: check "
            "its images and boxes, then try a lower --lr or --precision fp32. The checkpoint has the weights before it"
        )


def fitness_of(row: Row) -> float:
    """Return the fitness by which epochs are compared: 0.1 AP50 + 0.9 AP (YOLOv5)."""
    return 0.1 * float(row["ap50"]) + 0.9 * float(row["ap"])


def stop_reason(state: TrainingState, config: TrainConfig, epochs: int) -> str:
    """Return FINISHED or EARLY_STOPPED if the run has ended, else an empty string."""
    if state.epoch >= epochs:
        return FINISHED
    stale = state.best_epoch and "ap" in state.history[-1] and state.epoch - state.best_epoch >= config.patience > 0
    return EARLY_STOPPED if stale else ""


@contextmanager
def record_signals() -> Iterator[list[int]]:
    """Record SIGTERM and SIGINT instead of stopping the process. A second signal raises KeyboardInterrupt.

    Outside the main thread, as in a worker of Ray, signals remain with the program.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def handle(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
