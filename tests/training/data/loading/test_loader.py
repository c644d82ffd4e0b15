"""Training batches do not depend on workers, ranks or cache."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from model_zoo.contract.errors import LineageError
from tests.conftest import ROOT
from tests.training.data.loading.records import NO_AUGMENTATION, make_loader
from training.batch import Batch
from training.data.dataset import Split
from training.data.loading import loader


def assert_equal(actual: list[Batch], expected: list[Batch]) -> None:
    assert len(actual) == len(expected) > 0
    for a, b in zip(actual, expected, strict=True):
        for tensor, other in zip((a.images, *a.targets), (b.images, *b.targets), strict=True):
            assert torch.equal(tensor, other)


# PyTorch advises against more workers than cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_do_not_depend_on_the_number_of_workers(split: Split, workers: int) -> None:
    single, parallel = make_loader(split), make_loader(split, workers)
    for epoch in (0, 1):
        assert_equal(list(parallel.epoch(epoch)), list(single.epoch(epoch)))
    assert_equal(list(parallel.epoch(2, close_mosaic=True)), list(single.epoch(2, close_mosaic=True)))
    parallel.close()


def test_epoch_resumes_at_any_step(split: Split) -> None:
    interrupted = make_loader(split)
    for step, _ in enumerate(interrupted.epoch(3)):
        if step == 1:
            break
    assert_equal(list(make_loader(split).epoch(3, start_step=2)), list(interrupted.epoch(3))[2:])


def test_workers_survive_an_abandoned_epoch_and_restart_after_close(split: Split) -> None:
    parallel = make_loader(split, workers=1)
    next(parallel.epoch(0))
    assert_equal(list(parallel.epoch(1)), list(make_loader(split).epoch(1)))
    parallel.close()
    assert_equal(list(parallel.epoch(1)), list(make_loader(split).epoch(1)))
    parallel.close()


def test_ranks_share_the_batches_of_one_process(split: Split) -> None:
    single = list(make_loader(split, batch=4).epoch(0))
    ranks = [list(make_loader(split, batch=2, rank=rank, world=2).epoch(0)) for rank in (0, 1)]
    for batch, *parts in zip(single, *ranks, strict=True):
        assert torch.equal(batch.images, torch.cat([part.images for part in parts]))
        assert torch.equal(batch.targets.boxes, torch.cat([part.targets.boxes for part in parts]))


def test_batches_have_valid_shapes_and_boxes(split: Split) -> None:
    source = make_loader(split)
    batches = list(source.epoch(0))
    assert len(batches) == source.steps_per_epoch == 3
    sizes = set()
    for images, targets in batches:
        assert images.dtype == torch.uint8
        assert images.shape[0] == 4
        assert images.shape[3] == 3
        height, width = images.shape[1:3]
        sizes.add((height, width))
        assert height % 32 == width % 32 == 0
        assert (targets.boxes >= 0).all()
        assert (targets.boxes <= torch.tensor([width, height, width, height])).all()
    assert {tuple(batch.images.shape[1:3]) for epoch in range(6) for batch in source.epoch(epoch)} > sizes


def test_batches_do_not_depend_on_the_cache(split: Split) -> None:
    cached, uncached = (make_loader(split, cache=cache) for cache in ("memory", "off"))
    for epoch in (0, 1):
        assert_equal(list(cached.epoch(epoch)), list(uncached.epoch(epoch)))


def test_cached_images_are_not_read_again(split: Split) -> None:
    source = make_loader(split, cache="memory", augmentation=NO_AUGMENTATION)
    first = list(source.epoch(0))
    for record in split.records:
        record.path.unlink()
    assert_equal(list(source.epoch(0)), first)


def test_global_random_state_is_unchanged(split: Split) -> None:
    before = torch.get_rng_state()
    list(make_loader(split).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def change_size(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", [delete, truncate, change_size])
def test_damaged_image_raises_one_line_with_its_path(split: Split, damage: Any, workers: int) -> None:
    path = split.records[6].path
    damage(path)
    source = make_loader(split, workers)
    with pytest.raises(LineageError) as raised:
        list(source.epoch(0))
    source.close()
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_split_without_images_raises() -> None:
    with pytest.raises(LineageError, match=r"'train'.*none"):
        make_loader(Split("train", (), ""))


def test_too_little_shared_memory_raises(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(loader, "SHARED_MEMORY", Path("/"))
    needed = 4 * 96 * 96 * 3 * 3  # 4 images of 96 x 96 x 3 bytes; two batches in advance and one in use
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed - 1))
    with pytest.raises(LineageError, match="shm-size"):
        next(make_loader(split, workers=1).epoch(0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed))
    sufficient = make_loader(split, workers=1)
    next(sufficient.epoch(0))
    sufficient.close()


SCRIPT = """
import sys, time
from pathlib import Path
from tests.training.data.loading.records import make_loader, make_record
from training.data.dataset import Split

if __name__ == "__main__":
    path = Path(sys.argv[1])
    records = tuple(make_record(path, (50, 50), 2, seed) for seed in range(2000))
    source = make_loader(Split("train", records, ""), workers=2)
    try:
        for step, _ in enumerate(source.epoch(0)):
            print("step", flush=True)
            time.sleep(0.05)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to interrupt")
def test_interrupt_stops_the_workers_without_output(tmp_path: Path) -> None:
    image, script = tmp_path / "one.png", tmp_path / "script.py"
    cv2.imwrite(str(image), np.zeros((50, 50, 3), np.uint8))
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(image)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline() == "step\n"
    os.killpg(process.pid, signal.SIGINT)  # the terminal interrupts the workers too
    output, errors = process.communicate(timeout=60)
    assert output.splitlines()[-1] == "interrupted"
    assert errors == ""
    assert process.returncode == 0
