"""Curves of the training benchmark."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bccd import Run, curves
from training.config import TrainConfig
from training.report.png import figure_png


def test_runs_of_one_epoch_are_visible() -> None:
    config = TrainConfig(model="yolov5n", data=Path("data"))
    short, long = ([{"epoch": i + 1, "ap50": 0.1, "ap": 0.1} for i in range(n)] for n in (1, 100))
    figure = curves([Run(config, short), Run(config, long)])
    assert figure_png(figure)
    [axes] = figure.axes
    assert [line.get_marker() for line in axes.get_lines()] == ["o", "None"]
