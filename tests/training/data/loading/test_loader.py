"""The loader: the same batches whatever reads them, and mistakes told in one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from model_zoo.contract.errors import LineageError
from model_zoo.contract.letterbox import LetterboxPolicy
from tests.conftest import ROOT
from training.batch import Batch
from training.data.dataset import Record, Split
from training.data.loading import image_cache, loader, memory
from training.data.loading.image_cache import CachedImages, SharedPixels
from training.data.loading.loader import TrainingLoader
from training.recipe import Augmentation

SIDE = 64
RECIPE = Augmentation(mixup=0.3, mosaic_nine=0.3, multi_scale=(0.5, 1.5), multi_scale_every=2)
OFF = Augmentation(mosaic=0, translate=0, scale=(1, 1), hue=0, saturation=0, value=0, flip=0)


def record(path: Path, size: tuple[int, int], objects: int, seed: int = 0) -> Record:
    corners = np.sort(np.random.default_rng(seed).random((objects, 2, 2)), axis=1) * (size[1], size[0])
    boxes = corners.reshape(-1, 4).astype(np.float32)
    nothing = np.zeros(objects, np.float32)
    return Record(path, size, boxes, np.arange(objects, dtype=np.int64), nothing.astype(bool), nothing, seed)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Ten images of different sizes, some without objects."""
    records = []
    for seed in range(10):
        height, width = np.random.default_rng(seed).integers(30, 200, 2).tolist()
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        path = tmp_path / f"{seed}.png"
        cv2.imwrite(str(path), image)
        records.append(record(path, (height, width), seed % 4, seed))
    return Split("train", tuple(records), "")


def load(split: Split, workers: int = 0, augmentation: Augmentation = RECIPE, **options: Any) -> TrainingLoader:
    given = {"batch": 4, "seed": 5} | options
    return TrainingLoader(split, augmentation, (SIDE, SIDE), LetterboxPolicy(), 32, workers=workers, **given)


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other, strict=True):
        for came, expected in zip((mine.images, *mine.targets), (theirs.images, *theirs.targets), strict=True):
            assert torch.equal(came, expected)


# PyTorch advises against more workers than cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_batches(split: Split, workers: int) -> None:
    alone, shared = load(split), load(split, workers)
    for epoch in (0, 1):
        assert_equal(list(shared.epoch(epoch)), list(alone.epoch(epoch)))
    assert_equal(list(shared.epoch(2, close_mosaic=True)), list(alone.epoch(2, close_mosaic=True)))
    shared.close()


def test_an_epoch_is_taken_up_in_its_middle(split: Split) -> None:
    begun = load(split)
    for step, _ in enumerate(begun.epoch(3)):
        if step == 1:
            break
    assert_equal(list(load(split).epoch(3, start_step=2)), list(begun.epoch(3))[2:])


def test_workers_live_on_when_an_epoch_is_left(split: Split) -> None:
    shared = load(split, workers=1)
    next(shared.epoch(0))
    assert_equal(list(shared.epoch(1)), list(load(split).epoch(1)))
    shared.close()
    assert_equal(list(shared.epoch(1)), list(load(split).epoch(1)))
    shared.close()


def test_processes_see_what_one_would(split: Split) -> None:
    one = list(load(split, batch=4).epoch(0))
    ranks = [list(load(split, batch=2, rank=rank, world=2).epoch(0)) for rank in (0, 1)]
    for whole, *parts in zip(one, *ranks, strict=True):
        assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
        assert torch.equal(whole.targets.boxes, torch.cat([part.targets.boxes for part in parts]))


def test_batches_are_what_the_network_takes(split: Split) -> None:
    mine = load(split)
    batches = list(mine.epoch(0))
    assert len(batches) == mine.steps_per_epoch == 3
    sizes = set()
    for images, targets in batches:
        assert images.dtype == torch.uint8
        assert images.shape[0] == 4
        assert images.shape[3] == 3
        sizes.add(tuple(images.shape[1:3]))
        height, width = images.shape[1:3]
        assert height % 32 == width % 32 == 0
        assert (targets.boxes >= 0).all()
        assert (targets.boxes <= torch.tensor([width, height, width, height])).all()
    assert {size for epoch in range(6) for b in mine.epoch(epoch) for size in [tuple(b.images.shape[1:3])]} > sizes


def test_memory_changes_nothing(split: Split) -> None:
    kept, read = (load(split, cache=cache) for cache in ("memory", "off"))
    for epoch in (0, 1):
        assert_equal(list(kept.epoch(epoch)), list(read.epoch(epoch)))


def test_images_in_memory_are_not_read_again(split: Split) -> None:
    kept = load(split, cache="memory", augmentation=OFF)
    first = list(kept.epoch(0))
    for one in split.records:
        one.path.unlink()
    assert_equal(list(kept.epoch(0)), first)


def test_all_of_torchs_chance_is_left_to_others(split: Split) -> None:
    before = torch.get_rng_state()
    list(load(split).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_crowds_are_not_learned(split: Split) -> None:
    first = split.records[3]
    crowd = np.array([False, True, False])
    images = CachedImages([replace(first, crowd=crowd)], (SIDE, SIDE), LetterboxPolicy(), "off", 1)
    assert images[0].class_ids.tolist() == [0, 2]


def test_images_are_upright_and_their_boxes_scaled(tmp_path: Path) -> None:
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:20, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter clockwise to show
    path = tmp_path / "turned.png"
    Image.fromarray(stored).save(path, exif=exif)
    one = record(path, (80, 40), 1)
    one.boxes[:] = (20, 0, 40, 20)
    sample = CachedImages([one], (SIDE, SIDE), LetterboxPolicy(), "off", 1)[0]
    assert sample.pixels.shape == (64, 32, 3)
    np.testing.assert_array_equal(sample.boxes, [[16, 0, 32, 16]])
    assert sample.pixels[2:14, 18:30].min() == 255
    assert sample.pixels[18:].max() == 0


def spoil_by_absence(path: Path) -> None:
    path.unlink()


def spoil_by_cutting(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def spoil_by_another_size(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("spoil", [spoil_by_absence, spoil_by_cutting, spoil_by_another_size])
def test_a_spoilt_image_is_named_in_one_line(split: Split, spoil: Any, workers: int) -> None:
    path = split.records[6].path
    spoil(path)
    broken = load(split, workers)
    with pytest.raises(LineageError) as caught:
        list(broken.epoch(0))
    broken.close()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_split_without_images_is_refused() -> None:
    with pytest.raises(LineageError, match=r"'train'.*none"):
        load(Split("train", (), ""))


def test_workers_without_room_for_their_batches_are_refused(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(loader, "SHARED_MEMORY", Path("/"))
    # 4 images of 96 x 96 x 3 bytes, two batches ahead and one in use.
    needed = 4 * 96 * 96 * 3 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed - 1))
    with pytest.raises(LineageError, match="shm-size"):
        next(load(split, workers=1).epoch(0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed))
    enough = load(split, workers=1)
    next(enough.epoch(0))
    enough.close()


@pytest.mark.parametrize(("free", "world", "kept"), [(2.6, 1, True), (2.4, 1, False), (2.6, 2, False), (5.1, 2, True)])
def test_images_are_kept_where_they_fit(
    split: Split, monkeypatch: pytest.MonkeyPatch, free: float, world: int, kept: bool
) -> None:
    """They take at most 0.4 of the free memory, with those of the other processes."""
    images = CachedImages(split.records, (SIDE, SIDE), LetterboxPolicy(), "off", 1)
    needed = sum(images[index].pixels.nbytes for index in range(len(images)))
    monkeypatch.setattr(image_cache, "free_memory", lambda: int(free * needed))
    mine = CachedImages(split.records, (SIDE, SIDE), LetterboxPolicy(), "auto", world)
    first = mine[0].pixels
    assert np.shares_memory(first, mine[0].pixels) == kept


def test_pixels_in_shared_memory_lie_apart() -> None:
    pixels = SharedPixels([(2, 3), (4, 1), (1, 1)])
    given = [np.full((*size, 3), value, np.uint8) for value, size in enumerate([(2, 3), (4, 1), (1, 1)], 1)]
    for index in (1, 0, 2):
        assert not pixels.has(index)
        pixels.put(index, given[index])
    for index in range(3):
        np.testing.assert_array_equal(pixels.get(index), given[index])
        with pytest.raises(ValueError, match="read-only"):
            pixels.get(index)[:] = 0


@pytest.fixture
def _ten_thousand_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    available = namedtuple("memory", "available")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: available(10_000))


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 10_000),
        ({"memory.max": "max", "memory.current": "700", "memory.stat": "inactive_file 0"}, 10_000),
        ({"memory.max": "3000", "memory.current": "700", "memory.stat": "anon 1\ninactive_file 50\nx 2"}, 2350),
        ({"memory.max": "30000", "memory.current": "700", "memory.stat": "inactive_file 0"}, 10_000),
        (
            {
                "memory/memory.limit_in_bytes": "2000",
                "memory/memory.usage_in_bytes": "500",
                "memory/memory.stat": "inactive_file 9\ntotal_inactive_file 100",
            },
            1600,
        ),
    ],
    ids=["no container", "without limit", "version 2", "a limit above the machine's", "version 1"],
)
@pytest.mark.usefixtures("_ten_thousand_bytes")
def test_memory_of_a_container(tmp_path: Path, files: dict[str, str], free: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.free_memory(tmp_path) == free


INTERRUPTED = """
import sys, time
from pathlib import Path
from tests.training.data.loading.test_loader import load, record
from training.data.dataset import Split

if __name__ == "__main__":
    path = Path(sys.argv[1])
    mine = load(Split("train", tuple(record(path, (50, 50), 2, seed) for seed in range(2000)), ""), workers=2)
    try:
        for step, _ in enumerate(mine.epoch(0)):
            print("step", flush=True)
            time.sleep(0.05)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to interrupt")
def test_an_interrupt_ends_the_workers_without_noise(tmp_path: Path) -> None:
    image, script = tmp_path / "one.png", tmp_path / "script.py"
    cv2.imwrite(str(image), np.zeros((50, 50, 3), np.uint8))
    script.write_text(INTERRUPTED)
    root = str(ROOT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(image)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": root},
        cwd=root,
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline() == "step\n"
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the workers too
    output, errors = process.communicate(timeout=60)
    assert output.splitlines()[-1] == "interrupted"
    assert errors == ""
    assert process.returncode == 0
