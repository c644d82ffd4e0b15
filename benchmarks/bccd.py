"""Collect the results of training runs on BCCD (blood cells): one row per run, and AP50 over its epochs.

    python -m benchmarks.bccd runs/yolov5n runs/yolov7-tiny --alone alone

Runs are folders of `lineage train`. The folder `alone` holds short runs, named by variant, without other processes
on the machine. Images per second are those of their last epoch. Writes benchmarks/results/bccd.csv
and bccd.png.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from matplotlib.figure import Figure

from model_zoo.contract.image_size import format_size
from training.config import TrainConfig
from training.report.plots import History, add_legend, make_epoch_figure, plot_column
from training.report.png import figure_png
from training.report.run import read_history
from training.run.run_folder import read_config
from training.run.trainer import fitness_of

RESULTS = Path(__file__).parent / "results"
CHOSEN = ("weights", "optimizer", "lr", "nominal_batch")
NUMBERS = ("ap", "ap50", "ap75")


@dataclass(frozen=True)
class Run:
    """A training run."""

    config: TrainConfig
    """Its options."""

    history: History
    """One row per epoch."""

    @property
    def title(self) -> str:
        """The variant, with options that differ from its recipe."""
        options = {name: getattr(self.config, name) for name in CHOSEN}
        other = [f"{name} {Path(str(value)).name}" for name, value in options.items() if value is not None]
        return f"{self.config.model} ({', '.join(other)})" if other else self.config.model

    def cells(self, images_per_second: float) -> list[object]:
        """Return the row of the best epoch."""
        best = max((row for row in self.history if "ap" in row), key=lambda row: fitness_of(dict(row)))
        size = format_size(self.config.image_size)
        numbers = [f"{best[name]:.3f}" for name in NUMBERS]
        return [self.title, len(self.history), size, best["epoch"], *numbers, f"{images_per_second:.1f}"]


def read(folder: Path) -> Run:
    """Read the folder of a run."""
    return Run(read_config(folder)[0], read_history(folder))


def main(folders: Annotated[tuple[Path, ...], tyro.conf.Positional], alone: Path) -> None:
    """Write the table and the plot.

    Args:
        folders: Folders of runs.
        alone: Folder of short runs without other processes on the machine.
    """
    runs = [read(folder) for folder in folders]
    with (RESULTS / "bccd.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["model", "epochs", "image_size", "best_epoch", *NUMBERS, "images_per_second"])
        for run in runs:
            out.writerow(run.cells(read(alone / run.config.model).history[-1]["images_per_second"]))
    (RESULTS / "bccd.png").write_bytes(figure_png(curves(runs)))


def curves(runs: Sequence[Run]) -> Figure:
    """Draw AP50 over the epochs."""
    figure, axes = make_epoch_figure("AP50 on val")
    for run in runs:
        plot_column(axes, run.history, "ap50", run.title)
    axes.set_ylim(0, 1.02)
    add_legend(axes)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
