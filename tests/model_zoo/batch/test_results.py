"""Parts in Parquet and COCO, and the table of faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from model_zoo.batch.folder import Folder
from model_zoo.batch.manifest import Manifest
from model_zoo.batch.results import Counts, Fault, Row, read_counts, write_shard
from model_zoo.contract.detections import Detections

MakeManifest = Callable[..., Manifest]
NAMES = ("red", "green", "blue")
FOUND = Detections(np.float32([[1, 2, 3, 5], [0, 0, 1, 1]]), np.float32([0.9, 0.1]), np.int64([2, 0]))
NONE = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
ROWS = [Row("a.jpg", (40, 30), FOUND, ""), Row("b.jpg", (4, 3), NONE, "ends early")]
FAULT = Fault("ü.jpg", "no image", 7)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out"))


def test_parquet_has_a_row_per_image(folder: Folder, make_manifest: MakeManifest) -> None:
    counts = write_shard(folder, make_manifest(), 7, NAMES, ROWS, [])
    rows = pq.read_table(folder.file("part-00007.parquet")).to_pylist()
    assert rows[0] == {
        "image": "a.jpg", "width": 30, "height": 40, "warning": None, "model": "toy", "model_version": 1,
        "detections": FOUND.to_dict(NAMES),
    }  # fmt: skip
    assert (rows[1]["detections"], rows[1]["warning"]) == ([], "ends early")
    assert counts == read_counts(folder, make_manifest(), 7) == Counts(2, 0, 2)


def test_coco_ids_are_unique_over_all_shards(folder: Folder, make_manifest: MakeManifest) -> None:
    manifest = make_manifest(format="coco")
    for number in (0, 3):
        counts = write_shard(folder, manifest, number, NAMES, ROWS, [])
        assert counts == read_counts(folder, manifest, number)
    parts = [json.loads(folder.read(f"part-0000{number}.json")) for number in (0, 3)]
    assert [image["id"] for part in parts for image in part["images"]] == [1, 2, 3_000_001, 3_000_002]
    assert [entry["id"] for part in parts for entry in part["annotations"]] == [1, 2, 3_000_000_001, 3_000_000_002]
    assert parts[1]["annotations"][0] == {
        "id": 3_000_000_001, "image_id": 3_000_001, "category_id": 3, "bbox": [1, 2, 2, 3], "score": 0.9, "area": 6,
        "iscrowd": 0, "segmentation": [],
    }  # fmt: skip
    assert [entry["name"] for entry in parts[0]["categories"]] == [*NAMES]


def test_faults_are_written_before_the_part_and_removed_if_there_are_none(
    folder: Folder, make_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, order = folder.write, []
    monkeypatch.setattr(folder, "write", lambda name, data: (order.append(name), write(name, data)))
    assert write_shard(folder, make_manifest(), 1, NAMES, ROWS, [FAULT]).faults == 1
    assert order == ["faults-00001.jsonl", "part-00001.parquet"]
    assert json.loads(folder.read("faults-00001.jsonl")) == {"image": "ü.jpg", "reason": "no image", "bytes": 7}
    write_shard(folder, make_manifest(), 1, NAMES, ROWS, [])
    assert folder.names() == {"part-00001.parquet"}
