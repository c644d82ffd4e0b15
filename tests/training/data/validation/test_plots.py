"""Plots of datasets: class counts, box sizes and centers, sample images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests.training.data.tiny_datasets import HEIGHT, WIDTH, make_coco
from training.data.dataset import Dataset, Split
from training.data.open import open_dataset
from training.data.validation.plots import box_size_figure, center_figure, class_figure, sample_sheet, write_plots
from training.data.validation.statistics import count_dataset
from training.report.png import figure_png


def with_class_names(dataset: Dataset, *names: str) -> Dataset:
    return replace(dataset, class_names=names)


def test_classes_are_sorted_by_frequency(tmp_path: Path) -> None:
    dataset = with_class_names(open_dataset(make_coco(tmp_path / "set")), "$rare$", "x")
    val, train = count_dataset(dataset)[::-1]
    figure = class_figure(dataset.class_names, [replace(val, class_objects=(1, 5)), train])
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "$rare$"]
    widths = [[bar.get_width() for bar in container] for container in axes.containers]
    assert widths == [[5, 1], [1, 2]]


def test_number_of_classes_is_limited(tmp_path: Path) -> None:
    [split, _] = count_dataset(open_dataset(make_coco(tmp_path / "set")))
    many = replace(split, class_objects=tuple(range(150)), class_images=(0,) * 150)
    [axes] = class_figure([str(i) for i in range(150)], [many]).axes
    assert len(axes.get_yticklabels()) == 100
    assert axes.get_xlabel() == "Objects (50 rarest classes not shown)"


def test_centers_match_the_boxes(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    counts = center_figure([dataset.split("val")]).axes[0].images[0].get_array()
    assert counts is not None
    rows, columns = np.nonzero(counts)
    centers = sorted(zip(((columns + 0.5) / 32).tolist(), ((rows + 0.5) / 32).tolist(), strict=True))
    np.testing.assert_allclose(centers, [(12 / WIDTH, 12 / HEIGHT), (32 / WIDTH, 24 / HEIGHT)], atol=1 / 32)


def test_box_sizes_are_scaled_to_the_image_size(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    [axes] = box_size_figure([dataset.split("train")], 10 * WIDTH).axes
    hexagons = 10 ** np.asarray(axes.collections[0].get_offsets())  # the axes are logarithmic
    for width, height in ((320, 240), (160, 120)):
        assert np.abs(hexagons / (width, height) - 1).max(axis=1).min() < 0.15


def test_sample_sheet_has_rows_of_up_to_four_images(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    split = dataset.split("train")
    assert sample_sheet(split, dataset.class_names).shape == (360 + 6, 3 * 486, 3)
    assert sample_sheet(split, dataset.class_names, max_images=1).shape == (360 + 6, 486, 3)
    many = replace(split, records=split.records * 2)
    assert sample_sheet(many, dataset.class_names).shape == (2 * (360 + 6), 4 * 486, 3)


def test_sizes_of_the_smallest_boxes_and_of_many_splits_are_plotted(tmp_path: Path) -> None:
    split = open_dataset(make_coco(tmp_path / "set")).split("train")
    records = [replace(record, boxes=record.boxes * np.float32(1e-3)) for record in split.records]
    dots = Split("dots", tuple(records), "")
    figure = box_size_figure([dots] * 300, 640)
    assert len(figure.axes) == 8
    assert len(figure.axes[0].collections[0].get_offsets()) == 1, "all of them in the corner"
    assert figure_png(figure)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()][-1] == "500"


def test_plots_accept_empty_splits_and_names_in_any_script(tmp_path: Path) -> None:
    dataset = with_class_names(open_dataset(make_coco(tmp_path / "set")), "\N{CJK UNIFIED IDEOGRAPH-4EBA}", "$x_")
    dataset = replace(dataset, splits={**dataset.splits, "_$": Split("_$", (), "")})
    paths = write_plots(dataset, count_dataset(dataset), tmp_path / "plots", 640)
    names = ["classes.png", "box_sizes.png", "centers.png", "sample_train.png", "sample_val.png"]
    assert [path.name for path in paths] == names
    for path in paths:
        assert cv2.imread(str(path)) is not None
