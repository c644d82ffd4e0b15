"""Every variant has a recipe, and every generation overfits eight images with its network, assigner and losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from model_zoo.contract import letterbox
from model_zoo.contract.images import decode_image
from model_zoo.detector import Detector
from model_zoo.export.card import build_card
from model_zoo.registry import build, variants
from tests.training.tiny_models import ONE_RANK
from training.batch import Batch, Sample, collate
from training.data.dataset import Dataset, Record, Split
from training.data.open import open_dataset
from training.evaluate.evaluation import EvaluationImages, evaluate_detector
from training.loop.engine import TrainLoop
from training.loop.precision import DTYPES, ComputePrecision, choose_device, choose_precision
from training.loop.schedule import LRSchedule
from training.recipe import Augmentation, Optimizer, Schedule
from training.recipes import recipe_of

IMAGES, EPOCHS, STEPS = 8, 8, 50
SIDE = 192
SIDES = {"yolov2-tiny-voc": 256}  # at 192, its cells of 32 pixels are too large for neighboring blood cells
SMALLEST = (
    "yolov1-tiny", "yolov2-tiny-voc", "yolov3-tiny", "yolov4-tiny", "yolov5n", "yolox-nano", "yolov6n", "yolov7-tiny",
)  # fmt: skip


@dataclass(frozen=True)
class RepeatedBatch:
    """Batch source that repeats one batch."""

    batch: Batch
    steps_per_epoch: int = STEPS

    def epoch(self, epoch: int, close_mosaic: bool = False, start_step: int = 0) -> Iterator[Batch]:
        return iter([self.batch] * (self.steps_per_epoch - start_step))

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def dataset(shared: Path) -> Dataset:
    """The first images of BCCD."""
    bccd = open_dataset(shared / "data" / "bccd")
    split = bccd.split("train")
    return replace(bccd, splits={"val": Split("val", split.records[:IMAGES], split.fingerprint)})


def letterboxed(record: Record, detector: Detector) -> Sample:
    """Return an image as the server prepares it, without augmentation."""
    image, policy = decode_image(record.path.read_bytes()), detector.input_spec.letterbox
    geometry = letterbox.plan(policy, record.size, detector.input_spec.size)
    scale, offset = (torch.tensor(pair[::-1] * 2).numpy() for pair in (geometry.scale, geometry.offset))
    boxes = (record.boxes * scale + offset).astype("float32")
    return Sample(letterbox.apply(image, geometry, policy.fill), boxes, record.class_ids)


def test_every_variant_has_a_recipe() -> None:
    for variant in variants():
        recipe = recipe_of(variant)
        assert recipe.source
        assert recipe.epochs > recipe.augmentation.close_mosaic


@pytest.mark.slow
@pytest.mark.parametrize("variant", SMALLEST)
def test_generation_overfits_eight_images(variant: str, dataset: Dataset) -> None:
    torch.manual_seed(0)
    detector = build(variant, class_names=dataset.class_names)
    if detector.input_spec.dynamic:
        side = SIDES.get(variant, SIDE)
        detector.resize((side, side))
    records = dataset.splits["val"].records
    source = RepeatedBatch(collate([letterboxed(record, detector) for record in records]))
    optimizer = Optimizer("adamw", lr=0.003, momentum=0.9, nesterov=False, nominal_batch=IMAGES, clip_norm=10.0)
    schedule = Schedule(warmup_epochs=0.5, warmup_min_steps=0)
    recipe = replace(
        recipe_of(variant), optimizer=optimizer, schedule=schedule, augmentation=Augmentation(), ema_decay=0.9
    )
    device = choose_device("cpu")
    compute = ComputePrecision(device, DTYPES[choose_precision("auto", device)])
    loop = TrainLoop(detector, recipe, LRSchedule(schedule, optimizer, EPOCHS, STEPS, IMAGES), compute, ONE_RANK)
    losses, ap50, images = list[float](), 0.0, EvaluationImages(records, build_card(detector))
    for epoch in range(EPOCHS):
        losses += [float(sum(result.parts.values())) for result in loop.train_epoch(source, epoch)]
        ap50 = evaluate_detector(loop.average.detector, dataset, images).metrics.ap50
        if ap50 > 0.9:
            break
    assert ap50 > 0.9
    assert losses[-1] < losses[0] / 2
