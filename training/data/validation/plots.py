"""Plots of a dataset: matplotlib figures, and a contact sheet of labeled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model_zoo.contract.files import write_atomic
from model_zoo.contract.images import decode_image
from training.data.dataset import Dataset, Record, Split
from training.data.validation.statistics import SplitStatistics, boxes_and_sizes
from training.report.images import draw_labeled, make_sheet
from training.report.plots import COLORS, add_legend
from training.report.png import figure_png
from training.report.text import plot_label, shorten

MAX_CLASSES = 100  # classes in the plot; of more, the most frequent
MAX_PANELS = 8  # splits side by side; of more, the first
MAX_SAMPLES = 16  # images on a sheet
CENTER_BINS = 32  # cells along each side of the map of box centers
SIZE_LIMITS = (32, 96)  # pixels; square roots of COCO's area limits
FEW_TO_MANY = LinearSegmentedColormap.from_list("few_to_many", COLORS[:2])  # visible on white and on black


def class_figure(class_names: Sequence[str], statistics: Sequence[SplitStatistics]) -> Figure:
    """Plot the objects per class and split, most frequent classes first."""
    totals = np.sum([split.class_objects for split in statistics], axis=0)
    shown = np.argsort(-totals, kind="stable")[:MAX_CLASSES]
    figure = Figure(figsize=(4.6, 1.4 + 0.22 * max(len(shown), 8)), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=COLORS)
    axes.spines[["top", "right"]].set_visible(False)
    thickness = 0.8 / len(statistics)
    for i, split in enumerate(statistics):
        objects = np.array(split.class_objects)[shown]
        axes.barh(np.arange(len(shown)) + i * thickness, objects, thickness, label=plot_label(split.name))
    axes.set_yticks(np.arange(len(shown)) + 0.4 - thickness / 2, [shorten(class_names[i]) for i in shown])
    hidden = len(class_names) - len(shown)
    axes.set(xlabel="Objects" + (f" ({hidden:,} rarest classes not shown)" if hidden else ""))
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    add_legend(axes)
    return figure


def box_size_figure(splits: Sequence[Split], image_size: int) -> Figure:
    """Plot box widths and heights in pixels, with images scaled to a longer side of `image_size`."""
    figure, panels = _make_panels(splits)
    limit = math.log10(1.1 * image_size)
    for axes, split in zip(panels, splits, strict=False):
        boxes, sizes = boxes_and_sizes(split.records)
        sides = (boxes[:, 2:] - boxes[:, :2]) * (image_size / sizes.max(axis=1, initial=1))[:, None]
        sides = sides.clip(1, image_size)  # smaller boxes are drawn as one pixel
        axes.set(xscale="log", yscale="log")
        if len(sides):
            extent = (0, limit, 0, limit)
            log: Any = {"xscale": "log", "yscale": "log", "bins": "log"}
            axes.hexbin(*sides.T, **log, extent=extent, gridsize=50, mincnt=1, cmap=FEW_TO_MANY, rasterized=True)
        for side in SIZE_LIMITS:  # curves of constant area
            widths = np.geomspace(1, image_size, 50)
            axes.plot(widths, side**2 / widths, color="gray", linewidth=0.8, linestyle=":")
        axes.set(
            xlim=(1, image_size * 1.1),
            ylim=(1, image_size * 1.1),
            aspect="equal",
        )
    panels[0].set_ylabel("Height (px)")
    figure.supxlabel(f"Width (px) at image size {image_size}. Dotted: areas of 32² and 96²", fontsize="medium")
    return figure


def center_figure(splits: Sequence[Split]) -> Figure:
    """Plot the density of box centers over the image."""
    figure, panels = _make_panels(splits)
    for axes, split in zip(panels, splits, strict=False):
        boxes, sizes = boxes_and_sizes(split.records)
        y, x = ((boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2 / sizes).T
        counts, _, _ = np.histogram2d(y, x, bins=CENTER_BINS, range=[[0, 1], [0, 1]])
        axes.imshow(counts, extent=(0, 1, 1, 0), cmap="viridis", interpolation="none")
        axes.set(xlabel="x / width")
    panels[0].set_ylabel("y / height")
    return figure


def sample_sheet(split: Split, class_names: Sequence[str], max_images: int = MAX_SAMPLES) -> NDArray[np.uint8]:
    """Return a sheet (H, W, 3) of evenly spaced images of a split with their boxes."""
    count = min(max_images, len(split.records))
    indices = np.unique(np.linspace(0, len(split.records) - 1, count).round().astype(int))
    return make_sheet((_draw_record(split.records[i], class_names) for i in indices), columns=4)


def write_plots(
    dataset: Dataset, statistics: Sequence[SplitStatistics], folder: str | Path, image_size: int
) -> list[Path]:
    """Write all plots as PNG files and return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    splits = list(dataset.splits.values())
    figures = {
        "classes": class_figure(dataset.class_names, statistics),
        "box_sizes": box_size_figure(splits, image_size),
        "centers": center_figure(splits),
    }
    paths = [folder / f"{name}.png" for name in figures]
    for figure, path in zip(figures.values(), paths, strict=True):
        write_atomic(path, figure_png(figure))
    for split in splits:
        if split.records:
            paths.append(folder / f"sample_{split.name}.png")
            image = cv2.cvtColor(sample_sheet(split, dataset.class_names), cv2.COLOR_RGB2BGR)
            write_atomic(paths[-1], cv2.imencode(".png", image)[1].tobytes())
    return paths


def _make_panels(splits: Sequence[Split]) -> tuple[Figure, list[Axes]]:
    """Return a figure with one square panel per split, titled with its name."""
    count = min(max(len(splits), 1), MAX_PANELS)
    figure = Figure(figsize=(1 + 3.1 * count, 3.6), layout="constrained")
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes, split in zip(panels, splits, strict=False):
        axes.set_title(shorten(split.name))
    return figure, panels


def _draw_record(record: Record, class_names: Sequence[str]) -> NDArray[np.uint8]:
    image = decode_image(record.path.read_bytes())
    marks = [" (crowd)" if is_crowd else "" for is_crowd in record.crowd.tolist()]
    return draw_labeled(image, record.boxes, record.class_ids, class_names, marks)
