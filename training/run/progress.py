"""What a run tells while it goes: a live line, one row an epoch in results.csv, metrics.jsonl and TensorBoard."""

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
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no types

from training.evaluate.coco import NUMBERS, Metrics
from training.loop.distributed import average_over_processes
from training.loop.engine import StepResult
from training.loop.schedule import LRSchedule
from training.run.run_folder import write_text

Row = dict[str, Any]
GIB = 2**30


class LossMeter:
    """Sums of the losses of an epoch, by name; they stay on the device until they are asked for.

    per_image: whether losses grow with the images of a batch.
    """

    def __init__(self, per_image: bool, sums: Mapping[str, float], batches: int, images: int) -> None:
        self.per_image, self.batches, self.images = per_image, batches, images
        self._sums = {name: torch.tensor(value) for name, value in sums.items()}

    def add(self, learned: StepResult) -> None:
        """Count one batch."""
        for name, part in learned.parts.items():
            self._sums[name] = part + self._sums[name].to(part.device) if name in self._sums else part
        self.batches, self.images = self.batches + 1, self.images + len(learned.batch.images)

    def sums(self) -> dict[str, float]:
        """Return the sums as they are."""
        return {name: float(value) for name, value in self._sums.items()}

    def means(self) -> dict[str, float]:
        """Return the losses of an average image, or batch, of this process."""
        share = self.images if self.per_image else self.batches
        return {name: value / share for name, value in self.sums().items()}

    def row(self) -> Row:
        """Return the losses of an average image, or batch, of all processes, and their sum."""
        means = average_over_processes(torch.tensor(list(self.means().values()), dtype=torch.float64))
        parts = dict(zip(self._sums, means.tolist(), strict=True))
        return {"loss": sum(parts.values()), **{f"loss/{name}": value for name, value in parts.items()}}


def metrics_row(metrics: Metrics) -> Row:
    """Return COCO's numbers and those of the classes."""
    classes = {c.label: {"ap": c.ap, "ap50": c.ap50, "objects": c.objects} for c in metrics.classes}
    return {**{name: getattr(metrics, name) for name in NUMBERS}, "classes": classes}


def memory_used(device: torch.device) -> float:
    """Return the most memory that was held so far, of the GPU or of this process, in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB  # Linux counts it in KiB


class RunLogger:
    """Tells how a run goes, on the terminal and in its folder; `silent` tells nothing.

    The files are written anew from the history of the run, so that one that was interrupted has each epoch once.
    begin: epochs that are done already.
    """

    def __init__(self, folder: Path, timetable: LRSchedule, begin: int, *, silent: bool) -> None:
        self.folder, self.timetable, self.silent = folder, timetable, silent
        self._board = None if silent else SummaryWriter(str(folder), purge_step=begin + 1)
        self._bar: tqdm | None = None

    def begin(self, epoch: int, batch: int) -> None:
        """Begin the live line of an epoch; on anything but a terminal there is none."""
        self._bar = tqdm(
            desc=f"epoch {epoch + 1}/{self.timetable.epochs}",
            total=self.timetable.steps_per_epoch,
            initial=batch,
            unit=" images",
            unit_scale=self.timetable.batch,
            disable=self.silent or not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def show(self, learned: StepResult, tally: LossMeter, memory: Callable[[], float]) -> None:
        """Bring the live line up to date; numbers leave the device only when they are shown."""
        assert self._bar is not None
        if self._bar.update():
            losses = {name: f"{value:.3g}" for name, value in tally.means().items()}
            self._bar.set_postfix({**losses, "lr": f"{learned.pace.lr:.2g}", "GiB": f"{memory():.2g}"}, refresh=False)

    def end(self, history: Sequence[Row], eta: timedelta) -> None:
        """End an epoch: one line, and its row in the files."""
        assert self._bar is not None
        self._bar.close()
        if self._board is None:
            return
        tqdm.write(_line(history[-1], self.timetable.epochs, eta), file=sys.stdout)
        write_text(self.folder / "results.csv", _csv(history))
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        for name, value in _numbers(history[-1]).items():
            self._board.add_scalar(name, value, history[-1]["epoch"])
        self._board.flush()

    def close(self) -> None:
        """Close the files."""
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()


def _line(row: Row, epochs: int, eta: timedelta) -> str:
    found = "".join(f"  {name} {row[name]:.3f}" for name in ("ap", "ap50", "ap75") if name in row)
    parts = " ".join(f"{name.removeprefix('loss/')} {row[name]:.3g}" for name in row if name.startswith("loss/"))
    speed = f"{row['images_per_second']:.1f} images/s  {row['memory_gib']:.1f} GiB  eta {eta}"
    return f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.4g} ({parts}){found}  lr {row['lr']:.2g}  {speed}"


def _csv(history: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in history for name in _numbers(row)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_numbers(row) for row in history)
    return text.getvalue()


def _numbers(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, Mapping)}
