"""Toy runs for one process or, under torchrun, for two that share every batch; the one argument is a folder."""

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
from training.loop.distributed import Processes, average_over_processes, joined
from training.loop.engine import Engine
from training.loop.schedule import LRSchedule
from training.losses.criterion import Losses, StepContext
from training.recipes import recipe_of
from training.run.checkpoint import State
from training.run.trainer import Trainer

KINDS = ("mean", "sum", "per_image")
VARIANTS = tuple(variant for variant in registry.variants() if variant.endswith("-test"))
EPOCHS, STEPS, BATCH = 1, 4, 4


class Normalized(ToyCriterion):
    """Divides by a count over all processes, as papers' losses do; `lazy` learns nothing from one map."""

    def __init__(self, reduction: str, lazy: bool) -> None:
        super().__init__(per_image=reduction == "per_image")
        self.reduction, self.lazy = reduction, lazy

    def forward(self, maps, targets, context) -> Losses:
        maps = [*maps[:2], maps[2].detach()] if self.lazy else maps
        losses = super().forward(maps, targets, context)
        if self.reduction == "per_image":
            return losses
        count = average_over_processes((targets.boxes[:, 2] - targets.boxes[:, 0]).sum() / 64)
        factor = len(maps[0]) / count * (len(maps[0]) if self.reduction == "sum" else 1)
        return Losses(losses.total * factor, {name: part * factor for name, part in losses.parts.items()})


def learn(folder: Path, reduction: str, processes: Processes, lazy: bool = False) -> dict[str, Tensor]:
    """Learn an epoch and return the state. The network is float64, or its noise would hide what is compared."""
    optimizer = replace(TOY.optimizer, lr=1e-4)
    recipe = replace(
        TOY, criterion=lambda _: Normalized(reduction, lazy), reduction=reduction, optimizer=optimizer, epochs=EPOCHS
    )
    detector = toy_detector().double()
    detector.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    engine = Engine(detector, recipe, LRSchedule(recipe.schedule, optimizer, EPOCHS, STEPS, BATCH), CPU, processes)
    loader = ToyLoader(STEPS, BATCH, processes.rank, processes.world)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(engine, loader, toy_evaluate, CONFIG, folder, State())
    trainer.run()
    losses = [row["loss"] for row in trainer.state.history]
    return {**state_of(engine), "losses": torch.tensor(losses, dtype=torch.float64)}


def loss_of_all(variant: str, processes: Processes) -> Tensor:
    """Return the loss of a generation over the images of all processes; batch norms are at rest."""
    torch.manual_seed(0)
    detector = build(variant, class_names=CLASSES).eval()
    height, width = size = detector.input_spec.size if not detector.input_spec.dynamic else (128, 128)
    detector.resize(size)
    [batch] = ToyLoader(1, BATCH, processes.rank, processes.world).epoch(0)
    images = F.interpolate(to_network(batch.images, detector.input_spec), size)
    targets = batch.targets._replace(boxes=batch.targets.boxes * torch.tensor([width, height] * 2) / SIDE)
    with torch.no_grad():
        recipe = recipe_of(variant)
        losses = recipe.criterion(detector)(detector(images), targets, StepContext(close_mosaic=True))
    share = {"sum": processes.world, "mean": 1.0, "per_image": processes.world}[recipe.reduction]
    return average_over_processes(losses.total) * share


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(cuda=False) as processes:
        runs = {kind: learn(folder / kind, kind, processes) for kind in KINDS}
        runs["lazy"] = learn(folder / "lazy", "mean", processes, lazy=processes.rank == 1)
        runs["losses"] = {variant: loss_of_all(variant, processes) for variant in VARIANTS}
        everything = {
            f"{kind}/{key}": value.contiguous() for kind, state in runs.items() for key, value in state.items()
        }
        save_file(everything, folder / f"{processes.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
