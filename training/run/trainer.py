"""A run: epoch after epoch, evaluated, kept, and ended when it is done, no longer gets better, or is asked to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.weights import store
from training.config import TrainConfig
from training.evaluate.coco import Metrics
from training.loop.engine import Engine, Loader, StepResult
from training.loop.nonfinite import BrokenStep, dump_batch
from training.report.images import batch_sheet, jpeg
from training.report.run import BATCHES
from training.run import checkpoint
from training.run.checkpoint import State
from training.run.progress import LossMeter, Row, RunLogger, memory_used, metrics_row
from training.run.run_folder import BEST, BROKEN, CHECKPOINT, LAST

Evaluate = Callable[[Detector], Metrics]
PICTURED = 3  # batches
FINISHED, NO_BETTER, OUT_OF_TIME, INTERRUPTED = "finished", "no better", "out of time", "interrupted"


class Trainer:
    """Takes an engine through its epochs. Process 0 evaluates and writes; the others learn, and do as it decides."""

    def __init__(
        self, engine: Engine, loader: Loader, evaluate: Evaluate | None, config: TrainConfig, folder: Path, state: State
    ) -> None:
        self.engine, self.loader, self.evaluate = engine, loader, evaluate
        self.config, self.folder, self.state = config, folder, state
        self.processes, self.epochs = engine.processes, engine.timetable.epochs
        self._per_image = engine.recipe.reduction != "mean"
        self._tally = LossMeter(self._per_image, state.sums, state.batch, state.images)
        self._began = self._saved = time.monotonic()
        self._epoch_began = self._began - state.seconds

    def run(self) -> str:
        """Learn until the run ends, and return why; one that was interrupted or out of time can be gone on with."""
        timetable, silent = self.engine.timetable, not self.processes.main
        journal = RunLogger(self.folder, timetable, self.state.epoch, silent=silent)
        try:
            with interruptions() as interrupted:
                while not self.state.ended:
                    if not self._learn(journal, interrupted):
                        return INTERRUPTED
                    self._end_epoch(journal)
        except BrokenStep as broken:
            raise self._explained(broken) from broken
        finally:
            journal.close()
            self.loader.close()
        return self.state.ended

    def _learn(self, journal: RunLogger, interrupted: Sequence[int]) -> bool:
        """Learn from the rest of the epoch; False if it was interrupted, with all that was learned saved."""
        journal.begin(self.state.epoch, self.state.batch)
        if self.state.batch == self.loader.steps_per_epoch:  # interrupted between the last step and the evaluation
            return True
        for learned in self.engine.learn(self.loader, self.state.epoch, self.state.batch):
            self._tally.add(learned)
            journal.show(learned, self._tally, self._memory)
            self._picture(learned)
            if learned.complete and not self._go_on(interrupted):
                return False
        return True

    def _go_on(self, interrupted: Sequence[int]) -> bool:
        """Between two steps: save where it is time to, and tell whether to go on."""
        stop = self.processes.any(bool(interrupted))
        if self.processes.main and (stop or time.monotonic() - self._saved > 60 * self.config.save_minutes):
            self._save()
        return not stop

    def _picture(self, learned: StepResult) -> None:
        """Keep pictures of the first batches: what is wrong with images or boxes is seen there."""
        if self.processes.main and self.state.epoch == 0 and learned.number < PICTURED:
            path = self.folder / BATCHES / f"{learned.number + 1}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(jpeg(batch_sheet(learned.batch, self.engine.detector.class_names)))

    def _end_epoch(self, journal: RunLogger) -> None:
        """Evaluate, keep what is worth keeping, and decide whether that was the last epoch."""
        state, row = self.state, self._row()
        state.epoch, state.history = state.epoch + 1, [*state.history, row]
        self._tally = LossMeter(self._per_image, {}, 0, 0)
        if self.processes.main:
            self._judge(row)
            row["seconds"] = time.monotonic() - self._epoch_began
            state.ended = verdict(state, self.config, self.epochs) or self._late()
            self._keep()
            journal.end(state.history, self._eta())
        self.state = self.processes.tell(state)
        self._epoch_began = time.monotonic()

    def _row(self) -> Row:
        """Return what is known of an epoch before it is evaluated."""
        pace = self.engine.timetable.at(self.engine.timetable.steps_per_epoch * (self.state.epoch + 1) - 1)
        losses = self._tally.row()
        seen = self._tally.images * self.processes.world
        speed = seen / (time.monotonic() - self._epoch_began)
        row = {"epoch": self.state.epoch + 1, **losses, "lr": pace.lr, "momentum": pace.momentum}
        return {**row, "images_per_second": speed, "memory_gib": self._memory()}

    def _judge(self, row: Row) -> None:
        """Evaluate the averaged weights where it is their turn, and keep them if they are the best so far."""
        epoch = self.state.epoch
        if self.evaluate is None or (epoch % self.config.evaluate_every and epoch < self.epochs):
            return
        row |= metrics_row(self.evaluate(self.engine.average.detector))
        if (fitness := fitness_of(row)) > self.state.best:
            self.state.best, self.state.best_epoch = fitness, epoch
            store.save(self.engine.average.detector, self.folder / BEST)

    def _keep(self) -> None:
        """Write the weights of this epoch, and the checkpoint after them: an epoch that is done is never done again."""
        epoch = self.state.epoch
        if self.config.save_every and epoch % self.config.save_every == 0:
            store.save(self.engine.average.detector, self.folder / f"epoch_{epoch}.safetensors")
        store.save(self.engine.average.detector, self.folder / LAST)
        self._epoch_began = time.monotonic()
        self._save()

    def _save(self) -> None:
        """Write a checkpoint."""
        state, tally = self.state, self._tally
        state.batch, state.sums, state.images = tally.batches, tally.sums(), tally.images
        state.seconds = time.monotonic() - self._epoch_began
        checkpoint.save(self.folder / CHECKPOINT, self.engine, state)
        self._saved = time.monotonic()

    def _late(self) -> str:
        """Return OUT_OF_TIME if the next epoch would not be done in the hours there are."""
        used = time.monotonic() - self._began
        late = self.config.hours and used + self.state.history[-1]["seconds"] > 3600 * self.config.hours
        return OUT_OF_TIME if late else ""

    def _eta(self) -> timedelta:
        seconds = [row["seconds"] for row in self.state.history]
        left = 0 if self.state.ended else self.epochs - self.state.epoch
        return timedelta(seconds=round(left * sum(seconds) / len(seconds)))

    def _memory(self) -> float:
        return memory_used(self.engine.arithmetic.device)

    def _explained(self, broken: BrokenStep) -> LineageError:
        """Lay the batch down that broke the run, and say where and what can be done."""
        rank = f"-{self.processes.rank}" if self.processes.rank else ""
        folder = self.folder / f"{BROKEN}{rank}"
        where = {"epoch": self.state.epoch + 1, "batch": broken.tried.number + 1}
        dump_batch(broken, folder, where)
        return LineageError(
            f"epoch {where['epoch']}, batch {where['batch']}: {broken}; its images and objects are in {folder}. "
            "Look at them; then try a lower --lr or --precision fp32. The weights before it are in the checkpoint"
        )


def fitness_of(row: Row) -> float:
    """Return what makes one epoch better than another: 0.1 AP50 + 0.9 AP (YOLOv5)."""
    return 0.1 * float(row["ap50"]) + 0.9 * float(row["ap"])


def verdict(state: State, config: TrainConfig, epochs: int) -> str:
    """Return why a run has come to its end, or nothing if it has not."""
    if state.epoch >= epochs:
        return FINISHED
    worse = state.best_epoch and "ap" in state.history[-1] and state.epoch - state.best_epoch >= config.patience > 0
    return NO_BETTER if worse else ""


@contextmanager
def interruptions() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT, for a run to end in good order; a second one ends it at once."""
    received: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
