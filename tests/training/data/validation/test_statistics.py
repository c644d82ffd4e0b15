"""What `lineage data stats` counts and draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from tests.training.data.tiny_datasets import HEIGHT, WIDTH, Documents, make_coco, make_yolo
from training.data.dataset import Dataset, Split
from training.data.open import open_dataset
from training.data.validation.plots import box_size_figure, center_figure, class_figure, sample_sheet, write_plots
from training.data.validation.statistics import count_dataset, tables


def crowded(documents: Documents) -> None:
    documents["train"]["annotations"][2]["iscrowd"] = 1
    documents["train"]["annotations"][2]["area"] = 96**2


def renamed(dataset: Dataset, *names: str) -> Dataset:
    return replace(dataset, class_names=names)


def test_counts(tmp_path: Path) -> None:
    train, val = count_dataset(open_dataset(make_coco(tmp_path / "set", crowded)))
    assert (train.name, train.images, train.empty_images, train.objects, train.crowd) == ("train", 3, 1, 3, 1)
    assert (train.small, train.medium, train.large) == (2, 0, 1)
    assert train.per_image == (0, 1.0, 2)
    assert (train.class_objects, train.class_images) == ((2, 1), (2, 1))
    assert train.image_sizes == (((HEIGHT, WIDTH), 3),)
    assert (val.images, val.empty_images, val.objects, val.class_objects) == (2, 0, 2, (1, 1))


def test_counts_of_the_reference_data_set(shared: Path) -> None:
    train, val = count_dataset(open_dataset(shared / "data" / "bccd"))
    assert (train.images, train.objects, train.class_objects) == (292, 3941, (3348, 301, 292))
    assert (val.images, val.objects, val.class_objects) == (72, 945, (805, 71, 69))


def test_tables_name_every_split_and_class(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    lines = tables(dataset.class_names, count_dataset(dataset)).splitlines()
    assert lines[0].split() == ["train", "val"]
    assert "  without objects               1            0" in lines
    assert lines[-2].split() == ["ant", "2", "(2)", "1", "(1)"]


def test_the_command_prints_json_and_writes_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, folder = make_yolo(tmp_path / "set"), tmp_path / "plots"
    assert main(["data", "stats", str(root), "--json", "--output", str(folder)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["classes"] == ["ant", "bee"]
    assert [split["objects"] for split in document["splits"]] == [3, 2]
    assert list(document["fingerprint"]) == ["train", "val"]
    written = ["box_sizes.png", "centers.png", "classes.png", "sample_train.png", "sample_val.png"]
    assert sorted(path.name for path in folder.iterdir()) == written
    for path in folder.iterdir():
        assert cv2.imread(str(path)) is not None


def test_the_command_names_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "plots"
    assert main(["data", "stats", str(make_yolo(tmp_path / "set")), "--output", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-5:] == [
        str(folder / f"{name}.png") for name in ("classes", "box_sizes", "centers", "sample_train", "sample_val")
    ]


def test_check_draws_no_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(make_yolo(tmp_path / "set")), "--output", str(tmp_path)]) == 2
    assert "--output: expected with `lineage data stats`" in capsys.readouterr().err


def test_classes_are_drawn_from_the_most_frequent_on(tmp_path: Path) -> None:
    dataset = renamed(open_dataset(make_coco(tmp_path / "set")), "$rare$", "x")
    val, train = count_dataset(dataset)[::-1]
    figure = class_figure(dataset.class_names, [replace(val, class_objects=(1, 5)), train])
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "$rare$"]
    widths = [[bar.get_width() for bar in container] for container in axes.containers]
    assert widths == [[5, 1], [1, 2]]


def test_only_so_many_classes_are_drawn(tmp_path: Path) -> None:
    [count, _] = count_dataset(open_dataset(make_coco(tmp_path / "set")))
    many = replace(count, class_objects=tuple(range(150)), class_images=(0,) * 150)
    [axes] = class_figure([str(i) for i in range(150)], [many]).axes
    assert len(axes.get_yticklabels()) == 100
    assert axes.get_xlabel() == "objects, the 50 rarest classes left out"


def test_centers_lie_where_the_boxes_are(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    shown = center_figure([dataset.split("val")]).axes[0].images[0].get_array()
    assert shown is not None
    rows, columns = np.nonzero(shown)
    found = sorted(zip(((columns + 0.5) / 32).tolist(), ((rows + 0.5) / 32).tolist(), strict=True))
    np.testing.assert_allclose(found, [(12 / WIDTH, 12 / HEIGHT), (32 / WIDTH, 24 / HEIGHT)], atol=1 / 32)


def test_sizes_are_those_at_the_size_of_training(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    [axes] = box_size_figure([dataset.split("train")], 10 * WIDTH).axes
    drawn = 10 ** np.asarray(axes.collections[0].get_offsets())  # hexagons, on logarithmic axes
    for width, height in ((320, 240), (160, 120)):
        assert np.abs(drawn / (width, height) - 1).max(axis=1).min() < 0.15


def test_samples_are_taken_from_beginning_to_end(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path / "set"))
    one_row = sample_sheet(dataset.split("train"), dataset.class_names)
    assert one_row.shape == (360 + 6, 4 * 486, 3)
    assert sample_sheet(dataset.split("train"), dataset.class_names, most=1).shape == one_row.shape


def test_a_set_without_objects_and_names_in_any_script_can_be_drawn(tmp_path: Path) -> None:
    dataset = renamed(open_dataset(make_coco(tmp_path / "set")), "人", "$x_")
    empty = replace(dataset, splits={**dataset.splits, "_$": Split("_$", (), "")})
    paths = write_plots(empty, count_dataset(empty), tmp_path / "plots", 640)
    assert len(paths) == 5
