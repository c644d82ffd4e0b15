"""What is read from every format: boxes, classes, crowd, sizes, splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from model_zoo.contract.errors import LineageError
from model_zoo.contract.images import decode_image
from tests.images import encode, exif, with_exif
from tests.training.data.tiny_datasets import (
    HEIGHT,
    TRUTH,
    WIDTH,
    Documents,
    make_coco,
    make_voc,
    make_yolo,
    noise,
    replace_line,
    voc_object,
    write_coco,
    write_image,
    yolo_line,
)
from training.data.dataset import Dataset, Record, Split
from training.data.open import open_dataset
from training.data.validation.check import check_dataset

MAKERS = (make_coco, make_yolo, make_voc)


def boxes_of(record: Record) -> list[tuple[int, tuple[float, ...]]]:
    return [(c, tuple(box)) for c, box in zip(record.class_ids.tolist(), record.boxes.tolist(), strict=True)]


def write_yaml(root: Path, text: str) -> None:
    (root / "data.yaml").write_text(text)


@pytest.mark.parametrize("make", MAKERS)
def test_every_format_reads_the_same(make: Callable[[Path], Path], tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path / "set"))
    assert dataset.class_names == ("ant", "bee")
    for name, images in TRUTH.items():
        records = dataset.split(name).records
        assert [record.size for record in records] == [(HEIGHT, WIDTH)] * len(images)
        assert [record.path.name for record in records] == [f"{name}_{i}.jpg" for i in range(len(images))]
        for record, truth in zip(records, images, strict=True):
            found = boxes_of(record)
            assert [class_id for class_id, _ in found] == [class_id for class_id, _ in truth]
            np.testing.assert_allclose([b for _, b in found], [b for _, b in truth], atol=1e-4)
            assert record.boxes.dtype == record.areas.dtype == np.float32
            assert record.boxes.shape == (len(truth), 4)
            assert (record.class_ids.dtype, record.crowd.dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize("make", [make_yolo, make_voc])
def test_areas_are_those_of_the_boxes_where_the_format_has_none(make: Callable[[Path], Path], tmp_path: Path) -> None:
    record = open_dataset(make(tmp_path / "set")).split("train").records[1]
    np.testing.assert_allclose(record.areas, [16 * 12, 32 * 24], rtol=1e-4)


class TestCoco:
    @pytest.mark.parametrize("name", ["bccd", "coco_mini"])
    def test_agrees_with_pycocotools(self, name: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
        dataset = open_dataset(shared / "data" / name)
        for split in dataset.splits.values():
            oracle = COCO(str(shared / "data" / name / "annotations" / f"{split.name}.json"))
            assert [record.image_id for record in split.records] == oracle.getImgIds()
            for record in split.records:
                entries = oracle.loadAnns(oracle.getAnnIds(record.image_id))
                assert [dataset.category_ids[i] for i in record.class_ids] == [e["category_id"] for e in entries]
                assert record.crowd.tolist() == [bool(e["iscrowd"]) for e in entries]
                np.testing.assert_allclose(record.areas, [e["area"] for e in entries], rtol=1e-6)
                boxes = np.array([e["bbox"] for e in entries]).reshape(-1, 4)
                boxes[:, 2:] += boxes[:, :2]
                np.testing.assert_allclose(record.boxes, boxes, atol=1, err_msg="but for clipping at the edge")
                inside = boxes[:, 2:] <= record.size[::-1]
                np.testing.assert_allclose(record.boxes[:, 2:][inside], boxes[:, 2:][inside], rtol=1e-6)
            names = {category["id"]: category["name"] for category in oracle.loadCats(oracle.getCatIds())}
            assert dict(zip(dataset.category_ids, dataset.class_names, strict=True)) == names
        capsys.readouterr()

    def test_classes_are_in_the_order_of_their_ids_whatever_these_are(self, tmp_path: Path) -> None:
        dataset = open_dataset(make_coco(tmp_path / "set"))
        assert dict(zip(dataset.category_ids, dataset.class_names, strict=True)) == {3: "ant", 7: "bee"}

    def test_area_and_crowd_are_kept(self, tmp_path: Path) -> None:
        def change(documents: Documents) -> None:
            documents["train"]["annotations"][1]["iscrowd"] = 1

        records = open_dataset(make_coco(tmp_path / "set", change)).split("train").records
        assert [record.crowd.tolist() for record in records] == [[False], [True, False], []]
        assert records[1].areas.tolist() == [96, 384]

    def test_annotations_may_come_in_any_order(self, tmp_path: Path) -> None:
        sorted_set = open_dataset(make_coco(tmp_path / "a")).split("train")
        mixed = open_dataset(
            make_coco(tmp_path / "b", lambda d: d["train"]["annotations"].insert(0, d["train"]["annotations"].pop()))
        )
        assert mixed.split("train").records[1].class_ids.tolist() == [0, 1], "as written, image by image"
        assert mixed.split("train").records[0].boxes.tolist() == sorted_set.records[0].boxes.tolist()

    def test_a_classes_list_may_differ_by_what_a_split_lacks(self, tmp_path: Path) -> None:
        def change(documents: Documents) -> None:
            documents["val"]["categories"] = [{"id": 7, "name": "bee"}]
            documents["val"]["annotations"] = documents["val"]["annotations"][:1]

        dataset = open_dataset(make_coco(tmp_path / "set", change))
        assert dataset.class_names == ("ant", "bee")
        assert dataset.split("val").records[0].class_ids.tolist() == [1]

    def test_whole_numbers_may_be_written_with_a_point(self, tmp_path: Path) -> None:
        def change(documents: Documents) -> None:
            documents["train"]["images"][0]["width"] = float(WIDTH)
            documents["train"]["annotations"][0]["category_id"] = 3.0

        assert open_dataset(make_coco(tmp_path / "set", change)).split("train").records[0].class_ids.tolist() == [0]

    def test_a_single_file_is_a_split_named_by_it(self, tmp_path: Path) -> None:
        root = make_coco(tmp_path / "set")
        dataset = open_dataset(root / "annotations" / "val.json")
        assert list(dataset.splits) == ["val"]
        assert len(dataset.split("val").records) == 2
        assert check_dataset(root / "annotations" / "val.json") == []

    def test_the_folders_of_coco_itself(self, tmp_path: Path) -> None:
        root = make_coco(tmp_path / "set")
        for split in TRUTH:
            (root / "annotations" / f"{split}.json").rename(root / "annotations" / f"instances_{split}2017.json")
            (root / f"{split}2017").mkdir()
            for path in root.glob(f"images/{split}_*"):
                path.rename(root / f"{split}2017" / path.name)
        (root / "annotations" / "captions_train2017.json").write_text("{}")
        dataset = open_dataset(root)
        assert sorted(dataset.splits) == ["train2017", "val2017"]
        assert dataset.split("train").records[0].path == root / "train2017" / "train_0.jpg"

    def test_a_file_in_each_folder(self, tmp_path: Path) -> None:
        root = make_coco(tmp_path / "set")
        for split, folder in (("train", "train"), ("val", "valid")):
            (root / folder).mkdir()
            (root / "annotations" / f"{split}.json").rename(root / folder / "_annotations.coco.json")
            for path in root.glob(f"images/{split}_*"):
                path.rename(root / folder / path.name)
        (root / "annotations").rmdir()
        dataset = open_dataset(root)
        assert [len(dataset.split(name).records) for name in ("train", "val")] == [3, 2]

    def test_a_byte_order_mark_and_sizes_left_out_do_no_harm(self, tmp_path: Path) -> None:
        root = make_coco(tmp_path / "set", lambda d: [e.pop("width") for e in d["train"]["images"]])
        file = root / "annotations" / "train.json"
        file.write_text(file.read_text(), encoding="utf-8-sig")
        assert open_dataset(root).split("train").records[0].size == (HEIGHT, WIDTH)

    @pytest.mark.parametrize(
        ("frame", "orientation"),
        [*(("displayed", i) for i in range(1, 9)), *(("stored", i) for i in (1, 5, 6, 7, 8))],  # others look alike
    )
    def test_boxes_follow_the_picture_that_exif_turns(self, frame: str, orientation: int, tmp_path: Path) -> None:
        """A white box on black: where the reader says it is, it is in what the decoder gives."""
        left, top, right, bottom = 8, 4, 24, 12
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[top:bottom, left:right] = 255
        plain = encode(Image.fromarray(pixels), "jpeg", quality=100, subsampling=0)
        root = make_coco(tmp_path / "set")
        path = root / "images" / "train_0.jpg"
        path.write_bytes(with_exif(plain, exif(orientation)))
        upright = decode_image(path.read_bytes())[:, :, 0] > 128
        ys, xs = np.nonzero(upright)
        truth = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
        written = [left, top, right, bottom] if frame == "stored" else truth
        height, width = (32, 64) if frame == "stored" else upright.shape
        document = json.loads((root / "annotations" / "train.json").read_text())
        document["images"][0] |= {"height": height, "width": width}
        document["annotations"][0]["bbox"] = [*written[:2], written[2] - written[0], written[3] - written[1]]
        write_coco(root / "annotations" / "train.json", document)
        record = open_dataset(root).split("train").records[0]
        assert record.size == upright.shape
        assert record.boxes[0].tolist() == truth


class TestYolo:
    def test_names_may_be_numbered_and_may_look_like_other_things(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        write_yaml(root, "train: images/train\nval: images/val\nnames:\n  1: no\n  0: 007\n")
        assert open_dataset(root).class_names == ("007", "no")

    def test_the_description_may_lie_elsewhere(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "data.yaml").unlink()
        file = tmp_path / "mine.yaml"
        file.write_text(f"path: {root}\ntrain: images/train\nval: [images/val]\ntest:\nnames: [ant, bee]\n")
        assert list(open_dataset(file).splits) == ["train", "val"]
        file.write_text("path: set\ntrain: images/train\nval: images/val\nnames: [ant, bee]\n")
        assert len(open_dataset(file).split("train").records) == 3

    def test_paths_with_dots_that_lead_out_of_the_folder_are_meant_inside(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        write_yaml(root, "train: ../images/train\nval: ../images/val\nnames: [ant, bee]\n")
        assert len(open_dataset(root).split("val").records) == 2

    def test_lists_of_images_and_several_sources(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "some.txt").write_text("./images/train/train_1.jpg\n\nimages/train/train_0.jpg\n")
        write_yaml(root, "train: [some.txt, images/val]\nval: images/val\nnames: [ant, bee]\n")
        records = open_dataset(root).split("train").records
        assert [record.path.stem for record in records] == ["train_1", "train_0", "val_0", "val_1"]
        assert len(records[0].boxes) == 2

    def test_a_list_names_what_is_missing_by_its_line(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "some.txt").write_text("images/train/train_0.jpg\nimages/train/gone.jpg\n")
        write_yaml(root, "train: some.txt\nval: images/val\nnames: [ant, bee]\n")
        with pytest.raises(LineageError, match=r"some\.txt:2: expected the image .*gone\.jpg"):
            open_dataset(root)

    def test_labels_may_lie_beside_the_images(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        for path in list((root / "labels").rglob("*.txt")):
            shutil.move(path, root / "images" / path.relative_to(root / "labels"))
        assert [len(record.boxes) for record in open_dataset(root).split("train").records] == [1, 2, 0]

    def test_a_polygon_is_the_box_around_it(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        replace_line(root / "labels/train/train_0.txt", 1, "1 0.25 0.5 0.5 0.125 0.75 0.25 0.5 0.75")
        record = open_dataset(root).split("train").records[0]
        assert boxes_of(record) == [(1, (16, 6, 48, 36))]

    def test_what_reaches_over_the_edge_is_clipped(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        replace_line(root / "labels/train/train_0.txt", 1, yolo_line(0, (-16, 12, 16, 60)))
        assert boxes_of(open_dataset(root).split("train").records[0]) == [(0, (0, 12, 16, 48))]

    def test_pictures_that_cannot_be_read_are_not_passed_over(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "images/train/new.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        (root / "labels/train/new.txt").write_text("")
        with pytest.raises(LineageError, match=r"new\.heic: the file: expected a JPEG.*HEI"):
            open_dataset(root)

    def test_several_descriptions_are_not_guessed_at(self, tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "data.yaml").rename(root / "a.yaml")
        (root / "settings.yaml").write_text("color: red\n")
        assert open_dataset(root).class_names == ("ant", "bee")
        shutil.copy(root / "a.yaml", root / "b.yaml")
        with pytest.raises(LineageError, match=r"expected one description; got a\.yaml, b\.yaml"):
            open_dataset(root)


class TestVoc:
    def test_pixels_are_counted_from_one(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        one_pixel = voc_object("ant", 0, 0, 1, 1)
        assert "<xmin>1</xmin>" in one_pixel
        assert "<xmax>1</xmax>" in one_pixel
        replace_line(root / "Annotations/train_0.xml", 4, one_pixel)
        assert boxes_of(open_dataset(root).split("train").records[0]) == [(0, (0, 0, 1, 1))]

    def test_difficult_objects_are_crowd(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        replace_line(root / "Annotations/train_0.xml", 4, voc_object("ant", 8, 6, 40, 30, difficult=1))
        assert open_dataset(root).split("train").records[0].crowd.tolist() == [True]

    def test_parts_of_objects_and_comments_are_not_objects(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
        entry = voc_object("ant", 8, 6, 40, 30).replace("</object>", f"{part}</object>")
        replace_line(root / "Annotations/train_0.xml", 4, f"<!-- <object> -->{entry}")
        dataset = open_dataset(root)
        assert dataset.class_names == ("ant", "bee")
        assert boxes_of(dataset.split("train").records[0]) == [(0, (8, 6, 40, 30))]

    def test_a_list_of_classes_gives_their_order(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        (root / "classes.txt").write_text("wasp\nbee\nant\n")
        dataset = open_dataset(root)
        assert dataset.class_names == ("wasp", "bee", "ant")
        assert dataset.split("train").records[1].class_ids.tolist() == [1, 2]

    def test_lists_of_single_classes_are_passed_over(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        (root / "ImageSets/Main/ant_train.txt").write_text("train_0  1\ntrain_1 -1\n")
        assert sorted(open_dataset(root).splits) == ["train", "val"]

    def test_a_list_in_another_encoding_names_what_is_not_there(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        with (root / "ImageSets/Main/val.txt").open("ab") as file:
            file.write(b"caf\xe9\n")
        with pytest.raises(LineageError, match=r"val\.txt:3: expected the image"):
            open_dataset(root)

    def test_several_years_are_one_set(self, tmp_path: Path) -> None:
        make_voc(tmp_path / "kit" / "VOC2007")
        make_voc(tmp_path / "kit" / "VOC2012")
        dataset = open_dataset(tmp_path / "kit")
        assert [len(dataset.split(name).records) for name in ("train", "val")] == [6, 4]

    def test_a_size_of_zero_tells_nothing(self, tmp_path: Path) -> None:
        root = make_voc(tmp_path / "set")
        replace_line(root / "Annotations/train_0.xml", 3, "<size><width>0</width><height>0</height></size>")
        assert open_dataset(root).split("train").records[0].size == (HEIGHT, WIDTH)


class TestSplit:
    def dataset(self, *names: str) -> Dataset:
        return Dataset(Path("set"), ("ant",), (0,), {name: Split(name, (), "") for name in names})

    @pytest.mark.parametrize(
        ("asked", "there", "found"),
        [
            ("train", ("train", "train2017"), "train"),
            ("train", ("val", "train2017"), "train2017"),
            ("train", ("trainval", "test"), "trainval"),
            ("train", ("Training_2", "test"), "Training_2"),
            ("val", ("train", "valid"), "valid"),
            ("val", ("trainval", "test"), "test"),
            ("val", ("test", "minival2014"), "minival2014"),
            ("test", ("val", "test2007"), "test2007"),
            ("coco128", ("val", "coco128"), "coco128"),
        ],
    )
    def test_names_are_found_by_convention(self, asked: str, there: tuple[str, ...], found: str) -> None:
        assert self.dataset(*there).split(asked).name == found

    @pytest.mark.parametrize(
        ("asked", "there", "said"),
        [
            ("train", ("val", "test"), "set: no split 'train'; expected the name of one of its splits: val, test"),
            ("val", (), "set: no split 'val'; expected the name of one of its splits: there are none"),
            ("wild", ("val",), "set: no split 'wild'; expected the name of one of its splits: val"),
            (
                "train",
                ("train2014", "train2017"),
                "set: train2014 and train2017 may be meant by split 'train'",
            ),
        ],
    )
    def test_what_is_not_there_is_told_with_what_is(self, asked: str, there: tuple[str, ...], said: str) -> None:
        with pytest.raises(LineageError) as error:
            self.dataset(*there).split(asked)
        assert str(error.value).startswith(said)


class TestNoDataSet:
    def test_a_path_that_leads_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(LineageError, match=r"gone: no such dataset; expected a COCO \.json file"):
            open_dataset(tmp_path / "gone")

    def test_a_folder_of_other_things(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", noise(1))
        with pytest.raises(LineageError, match=r"no dataset is recognized; expected .*; got a\.png"):
            open_dataset(tmp_path)

    def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", noise(1))
        with pytest.raises(LineageError, match=r"no dataset is recognized; expected .*; got a file"):
            open_dataset(tmp_path / "a.png")


class TestFingerprint:
    def test_is_of_the_content_and_not_of_the_place(self, tmp_path: Path) -> None:
        first, second = (open_dataset(make_coco(tmp_path / name)) for name in "ab")
        for name in TRUTH:
            assert first.split(name).fingerprint == second.split(name).fingerprint
        assert first.split("train").fingerprint != first.split("val").fingerprint

    def test_the_white_space_of_labels_does_not_count(self, tmp_path: Path) -> None:
        plain, spaced = make_yolo(tmp_path / "a"), make_yolo(tmp_path / "b")
        file = spaced / "labels/train/train_1.txt"
        file.write_text(file.read_text().replace(" ", "   ") + "\n")
        assert open_dataset(plain).split("train").fingerprint == open_dataset(spaced).split("train").fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            lambda root: write_image(root / "images/train/train_0.jpg", noise(77)),
            lambda root: replace_line(root / "labels/train/train_0.txt", 1, yolo_line(1, (8, 6, 40, 30))),
            lambda root: replace_line(root / "labels/train/train_0.txt", 1, yolo_line(0, (8, 6, 40, 31))),
            lambda root: write_yaml(root, "train: images/train\nval: images/val\nnames: [ant, wasp]\n"),
            lambda root: (root / "images/train/train_2.jpg").unlink() or (root / "labels/train/train_2.txt").unlink(),
        ],
        ids=["pixels", "class", "box", "name", "image"],
    )
    def test_changes_with_what_is_read(self, change: Callable[[Path], object], tmp_path: Path) -> None:
        root = make_yolo(tmp_path / "set")
        before = open_dataset(root).split("train").fingerprint
        change(root)
        assert open_dataset(root).split("train").fingerprint != before
