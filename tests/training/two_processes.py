"""Tiny runs with one rank or, under torchrun, with two. Usage: FOLDER."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model_zoo import registry
from model_zoo.detector import to_network
from model_zoo.registry import build
from tests.training.tiny_models import (
    CLASSES,
    CONFIG,
    CPU,
    SIDE,
    TOY,
    ToyCriterion,
    ToyLoader,
    state_of,
    toy_detector,
    toy_evaluate,
)
from training.loop.distributed import ProcessGroup, average_over_ranks, process_group
from training.loop.engine import TrainLoop
from training.loop.schedule import LRSchedule
from training.losses.criterion import Losses, StepContext
from training.recipes import recipe_of
from training.run.checkpoint import TrainingState
from training.run.trainer import Trainer

KINDS = ("mean", "sum", "per_image")
VARIANTS = tuple(variant for variant in registry.variants() if variant.endswith("-test"))
EPOCHS, STEPS, BATCH = 1, 4, 4


class Normalized(ToyCriterion):
    """Divides by a count over all ranks, as real criteria do. With `detach`, one map gets no gradient."""

    def __init__(self, reduction: str, detach: bool) -> None:
        super().__init__(per_image=reduction == "per_image")
        self.reduction, self.detach = reduction, detach

    def forward(self, maps, targets, context) -> Losses:
        maps = [*maps[:2], maps[2].detach()] if self.detach else maps
        losses = super().forward(maps, targets, context)
        if self.reduction == "per_image":
            return losses
        count = average_over_ranks((targets.boxes[:, 2] - targets.boxes[:, 0]).sum() / 64)
        factor = len(maps[0]) / count * (len(maps[0]) if self.reduction == "sum" else 1)
        return Losses(losses.total * factor, {name: part * factor for name, part in losses.parts.items()})


def train(folder: Path, reduction: str, group: ProcessGroup, detach: bool = False) -> dict[str, Tensor]:
    """Train for an epoch and return the state, in float64 so that rounding hides no difference."""
    optimizer = replace(TOY.optimizer, lr=1e-4)
    recipe = replace(
        TOY, criterion=lambda _: Normalized(reduction, detach), reduction=reduction, optimizer=optimizer, epochs=EPOCHS
    )
    detector = toy_detector().double()
    detector.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    loop = TrainLoop(detector, recipe, LRSchedule(recipe.schedule, optimizer, EPOCHS, STEPS, BATCH), CPU, group)
    loader = ToyLoader(STEPS, BATCH, group.rank, group.world_size)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(loop, loader, toy_evaluate, CONFIG, folder, TrainingState())
    trainer.run()
    losses = [row["loss"] for row in trainer.state.history]
    return {**state_of(loop), "losses": torch.tensor(losses, dtype=torch.float64)}


def total_loss(variant: str, group: ProcessGroup) -> Tensor:
    """Return the loss of a generation over the images of all ranks, with batch norms in evaluation mode."""
    torch.manual_seed(0)
    detector = build(variant, class_names=CLASSES).eval()
    height, width = size = detector.input_spec.size if not detector.input_spec.dynamic else (128, 128)
    detector.resize(size)
    [batch] = ToyLoader(1, BATCH, group.rank, group.world_size).epoch(0)
    images = F.interpolate(to_network(batch.images, detector.input_spec), size)
    targets = batch.targets._replace(boxes=batch.targets.boxes * torch.tensor([width, height] * 2) / SIDE)
    with torch.no_grad():
        recipe = recipe_of(variant)
        losses = recipe.criterion(detector)(detector(images), targets, StepContext(close_mosaic=True))
    scale = {"sum": group.world_size, "mean": 1.0, "per_image": group.world_size}[recipe.reduction]
    return average_over_ranks(losses.total) * scale


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group(cuda=False) as group:
        runs = {kind: train(folder / kind, kind, group) for kind in KINDS}
        runs["detached"] = train(folder / "detached", "mean", group, detach=group.rank == 1)
        runs["losses"] = {variant: total_loss(variant, group) for variant in VARIANTS}
        tensors = {f"{kind}/{key}": value.contiguous() for kind, state in runs.items() for key, value in state.items()}
        save_file(tensors, folder / f"{group.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
