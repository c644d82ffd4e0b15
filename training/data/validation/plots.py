"""What is in a dataset, to look at: matplotlib figures and a sheet of labeled images; nothing here opens a window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model_zoo.contract.drawing import draw_boxes
from model_zoo.contract.images import decode_image
from training.data.dataset import Dataset, Record, Split
from training.data.validation.statistics import SplitStatistics, boxes_and_sizes
from training.report.images import sheet
from training.report.png import figure_png

MAX_CLASSES = 100  # that are drawn; of more, the most frequent
SAMPLE = 16  # images on a sheet
GRID = 32  # cells along a side of the map of centers
SIDES = (32, 96)  # of COCO's small and large objects, in pixels


def class_figure(class_names: Sequence[str], counts: Sequence[SplitStatistics]) -> Figure:
    """Draw the objects of every class, the most frequent first, split by split."""
    totals = np.sum([count.class_objects for count in counts], axis=0)
    shown = np.argsort(-totals, kind="stable")[:MAX_CLASSES]
    figure = Figure(figsize=(7, 1.5 + 0.22 * max(len(shown), 8)), layout="constrained")
    axes = figure.subplots()
    thickness = 0.8 / len(counts)
    for i, count in enumerate(counts):
        objects = np.array(count.class_objects)[shown]
        axes.barh(np.arange(len(shown)) + i * thickness, objects, thickness, label=count.name)
    axes.set_yticks(np.arange(len(shown)) + 0.4 - thickness / 2, [class_names[i] for i in shown])
    left_out = len(class_names) - len(shown)
    axes.set(xlabel="objects" + (f", the {left_out:,} rarest classes left out" if left_out else ""))
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    return figure


def box_size_figure(splits: Sequence[Split], image_size: int) -> Figure:
    """Draw the widths and heights of boxes in pixels, images scaled so that their longer side is `image_size`."""
    figure, panels = _panels(splits)
    for axes, split in zip(panels, splits, strict=True):
        boxes, sizes = boxes_and_sizes(split.records)
        sides = (boxes[:, 2:] - boxes[:, :2]) * (image_size / sizes.max(axis=1, initial=1))[:, None]
        if len(sides):
            axes.hexbin(*sides.T, xscale="log", yscale="log", gridsize=50, bins="log", mincnt=1, cmap="viridis")
        for side in SIDES:  # curves of one area
            widths = np.geomspace(1, image_size, 50)
            axes.plot(widths, side**2 / widths, color="gray", linewidth=0.8, linestyle=":")
        axes.set(
            xlabel="width (dotted: the areas of squares of 32 and 96)",
            xlim=(1, image_size * 1.1),
            ylim=(1, image_size * 1.1),
            aspect="equal",
        )
    panels[0].set_ylabel(f"height, in pixels at {image_size}")
    return figure


def center_figure(splits: Sequence[Split]) -> Figure:
    """Draw where in their images the centers of boxes lie."""
    figure, panels = _panels(splits)
    for axes, split in zip(panels, splits, strict=True):
        boxes, sizes = boxes_and_sizes(split.records)
        y, x = ((boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2 / sizes).T
        counts, _, _ = np.histogram2d(y, x, bins=GRID, range=[[0, 1], [0, 1]])
        axes.imshow(counts, extent=(0, 1, 1, 0), cmap="viridis")
        axes.set(xlabel="x, share of the width")
    panels[0].set_ylabel("y, share of the height")
    return figure


def sample_sheet(split: Split, class_names: Sequence[str], most: int = SAMPLE) -> NDArray[np.uint8]:
    """Lay out images of a split, from its beginning to its end, with their boxes: RGB (H, W, 3)."""
    chosen = np.unique(np.linspace(0, len(split.records) - 1, min(most, len(split.records))).round().astype(int))
    return sheet([_drawn(split.records[i], class_names) for i in chosen], columns=4)


def write_plots(dataset: Dataset, counts: Sequence[SplitStatistics], folder: Path, image_size: int) -> list[Path]:
    """Write all of them as PNG files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = list(dataset.splits.values())
    figures = {
        "classes": class_figure(dataset.class_names, counts),
        "box_sizes": box_size_figure(splits, image_size),
        "centers": center_figure(splits),
    }
    paths = [folder / f"{name}.png" for name in figures]
    for figure, path in zip(figures.values(), paths, strict=True):
        path.write_bytes(figure_png(figure))
    for split in splits:
        if split.records:
            paths.append(folder / f"sample_{split.name}.png")
            picture = cv2.cvtColor(sample_sheet(split, dataset.class_names), cv2.COLOR_RGB2BGR)
            paths[-1].write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return paths


def _panels(splits: Sequence[Split]) -> tuple[Figure, list[Axes]]:
    """Make a figure with a square for each split, and its name above."""
    figure = Figure(figsize=(1 + 4 * max(len(splits), 1), 4.5), layout="constrained")
    panels = list(figure.subplots(1, max(len(splits), 1), squeeze=False)[0])
    for axes, split in zip(panels, splits, strict=False):
        axes.set_title(split.name)
    return figure, panels


def _drawn(record: Record, class_names: Sequence[str]) -> NDArray[np.uint8]:
    image = decode_image(record.path.read_bytes())
    crowd = (" (crowd)" if is_crowd else "" for is_crowd in record.crowd.tolist())
    texts = [class_names[i] + mark for i, mark in zip(record.class_ids.tolist(), crowd, strict=True)]
    return draw_boxes(image, record.boxes, record.class_ids, texts)
