"""The optimizer of a recipe: which weights decay, and one fused kernel for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn, optim

from training.loop.schedule import StepSettings
from training.recipe import Optimizer

BIASES, WEIGHTS, OTHERS = 0, 1, 2  # the order of the groups
Grouped = list[list[nn.Parameter]]


def build_optimizer(module: nn.Module, recipe: Optimizer, batch: int) -> optim.Optimizer:
    """Make the optimizer of all parameters that learn; `batch` is the number of images of one batch."""
    groups = group_parameters(module)
    decay = scaled_decay(recipe, batch)
    decays = (decay * recipe.decay_all, decay, decay * recipe.decay_all)
    options = [{"params": params, "weight_decay": wd} for params, wd in zip(groups, decays, strict=True)]
    if recipe.name == "adamw":
        return optim.AdamW(options, lr=recipe.lr, betas=(recipe.momentum, 0.999), fused=True)
    return optim.SGD(options, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


def group_parameters(module: nn.Module) -> Grouped:
    """Split the parameters that learn in biases, weights of convolutions and linear layers, and others.

    Others are the gains of batch norms, implicit knowledge (YOLOv7) and learned factors (YOLOv6).
    """
    groups: Grouped = [[], [], []]
    for name, parameter in learned(module):
        leaf = name.rpartition(".")[2]
        kind = BIASES if leaf == "bias" else WEIGHTS if leaf == "weight" and parameter.ndim > 1 else OTHERS
        groups[kind].append(parameter)
    return groups


def learned(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Go through the parameters that learn, by name."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def scaled_decay(recipe: Optimizer, batch: int) -> float:
    """Return the weight decay of one step, which sees a whole number of batches, for the nominal one's (YOLOv5)."""
    if not recipe.accumulate:
        return recipe.weight_decay
    return recipe.weight_decay * batch * max(round(recipe.nominal_batch / batch), 1) / recipe.nominal_batch


def set_pace(optimizer: optim.Optimizer, pace: StepSettings) -> None:
    """Give the optimizer the lr and the momentum of a step; AdamW keeps its own momentum."""
    for kind, group in enumerate(optimizer.param_groups):
        group["lr"] = pace.bias_lr if kind == BIASES else pace.lr
        if "momentum" in group:
            group["momentum"] = pace.momentum
