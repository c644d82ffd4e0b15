"""Log a run: a live line on the terminal, and one row per epoch in results.csv, metrics.jsonl and TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model_zoo.contract.files import write_atomic
from model_zoo.progress import LineTimer
from training.evaluate.coco import METRIC_NAMES, Metrics
from training.loop.distributed import average_over_ranks
from training.loop.engine import StepResult
from training.loop.schedule import LRSchedule

Row = dict[str, Any]
GIB = 2**30


class LossMeter:
    """Sums of the losses of an epoch by name. They stay on the device until they are read."""

    def __init__(self, per_image: bool, sums: Mapping[str, float], batches: int, images: int) -> None:
        """Start from the sums of an interrupted epoch, or from none.

        Args:
            per_image: Whether losses grow with the images of a batch.
            sums: Sums of the losses by name.
            batches: Batches in the sums.
            images: Images in the sums.
        """
        self.per_image, self.batches, self.images = per_image, batches, images
        self._sums = {name: torch.tensor(value) for name, value in sums.items()}

    def add(self, result: StepResult) -> None:
        """Add the losses of one batch."""
        for name, part in result.parts.items():
            self._sums[name] = part + self._sums[name].to(part.device) if name in self._sums else part
        self.batches, self.images = self.batches + 1, self.images + len(result.batch.images)

    def sums(self) -> dict[str, float]:
        """Return the sums."""
        return {name: float(value) for name, value in self._sums.items()}

    def means(self) -> dict[str, float]:
        """Return the mean losses of this rank, per image or per batch."""
        count = self.images if self.per_image else self.batches
        return {name: value / count for name, value in self.sums().items()}

    def average_sums(self) -> dict[str, float]:
        """Return the sums, averaged over the ranks."""
        sums = average_over_ranks(torch.tensor(list(self.sums().values()), dtype=torch.float64))
        return dict(zip(self._sums, sums.tolist(), strict=True))

    def row(self) -> Row:
        """Return the mean losses of all ranks, per image or per batch, and their sum."""
        means = average_over_ranks(torch.tensor(list(self.means().values()), dtype=torch.float64))
        parts = dict(zip(self._sums, means.tolist(), strict=True))
        return {"loss": sum(parts.values()), **{f"loss/{name}": value for name, value in parts.items()}}


def metrics_row(metrics: Metrics) -> Row:
    """Return COCO metrics over all classes and of each class."""
    classes = {c.label: {"ap": c.ap, "ap50": c.ap50, "objects": c.objects} for c in metrics.classes}
    return {**{name: getattr(metrics, name) for name in METRIC_NAMES}, "classes": classes}


def peak_memory_gib(device: torch.device) -> float:
    """Return the peak memory in GiB, of the GPU or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # KiB on Linux


class RunLogger:
    """Logs a run on the terminal and in its folder.

    Files are rewritten from the history of the run, so that a resumed run has one row per epoch.
    """

    def __init__(self, folder: Path, lr_schedule: LRSchedule, epochs_done: int, *, silent: bool) -> None:
        """Open the log files, unless `silent`, as on ranks other than 0."""
        self.folder, self.lr_schedule, self.silent = folder, lr_schedule, silent
        self._tensorboard = None if silent else SummaryWriter(str(folder), purge_step=epochs_done + 1)
        self._bar: tqdm | None = None
        self._timer = LineTimer()
        self._epoch, self._first_batch = 0, 0

    def start_epoch(self, epoch: int, batch: int) -> None:
        """Start the live line of an epoch if stderr is a terminal, else the time to the next line."""
        self._timer, self._epoch, self._first_batch = LineTimer(), epoch, batch
        self._bar = tqdm(
            desc=f"epoch {epoch + 1}/{self.lr_schedule.epochs}",
            total=self.lr_schedule.steps_per_epoch,
            initial=batch,
            unit=" images",
            unit_scale=self.lr_schedule.batch,
            disable=self.silent or not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def update(self, result: StepResult, meter: LossMeter, memory: Callable[[], float]) -> None:
        """Update the live line, or print one if it is due. Only then are losses copied from the device."""
        assert self._bar is not None
        if self._bar.disable and not self.silent and self._timer.due():
            self.log(self._status(meter))
        if self._bar.update():
            losses = {name: f"{value:.3g}" for name, value in meter.means().items()}
            numbers = {**losses, "lr": f"{result.settings.lr:.2g}", "GiB": f"{memory():.2g}"}
            self._bar.set_postfix(numbers, refresh=False)

    def end_epoch(self, history: Sequence[Row], eta: timedelta) -> None:
        """Print the line of an epoch and write its row to the files."""
        assert self._bar is not None
        self._bar.close()
        if self._tensorboard is None:
            return
        tqdm.write(_line(history[-1], self.lr_schedule.epochs, eta), file=sys.stdout)
        write_atomic(self.folder / "results.csv", _csv(history).encode())
        write_atomic(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history).encode())
        for name, value in _numbers(history[-1]).items():
            self._tensorboard.add_scalar(name, value, history[-1]["epoch"])
        self._tensorboard.flush()

    def log(self, text: str) -> None:
        """Print a line on stderr, on rank 0 only."""
        if not self.silent:
            tqdm.write(text, file=sys.stderr)

    def _status(self, meter: LossMeter) -> str:
        """Return the progress of the epoch, as on the live line."""
        done, total = (n - self._first_batch for n in (meter.batches, self.lr_schedule.steps_per_epoch))
        status = self._timer.status(done * self.lr_schedule.batch, total * self.lr_schedule.batch, "images")
        return f"epoch {self._epoch + 1}/{self.lr_schedule.epochs}: {status}, loss {sum(meter.means().values()):.4g}"

    def close(self) -> None:
        """Close the live line and the files."""
        if self._bar is not None:
            self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def _line(row: Row, epochs: int, eta: timedelta) -> str:
    metrics = "".join(f"  {name} {row[name]:.3f}" for name in ("ap", "ap50", "ap75") if name in row)
    parts = " ".join(f"{name.removeprefix('loss/')} {row[name]:.3g}" for name in row if name.startswith("loss/"))
    speed = f"{row['images_per_second']:.1f} images/s  {row['memory_gib']:.1f} GiB  eta {eta}"
    return f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.4g} ({parts}){metrics}  lr {row['lr']:.2g}  {speed}"


def _csv(history: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in history for name in _numbers(row)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_numbers(row) for row in history)
    return text.getvalue()


def _numbers(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, Mapping)}
