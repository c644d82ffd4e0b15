"""Optimizer of a recipe: parameter groups by weight decay, updated by one fused kernel."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn, optim

from training.loop.schedule import StepSettings
from training.recipe import Optimizer

BIASES, WEIGHTS, OTHERS = 0, 1, 2  # order of the groups
ParameterGroups = list[list[nn.Parameter]]


def build_optimizer(module: nn.Module, recipe: Optimizer, batch: int) -> optim.Optimizer:
    """Build the optimizer of all trainable parameters for batches of `batch` images."""
    groups = group_parameters(module)
    decay = scale_weight_decay(recipe, batch)
    decays = (decay * recipe.decay_all, decay, decay * recipe.decay_all)
    options = [{"params": params, "weight_decay": wd} for params, wd in zip(groups, decays, strict=True)]
    if recipe.name == "adamw":
        return optim.AdamW(options, lr=recipe.lr, betas=(recipe.momentum, 0.999), fused=True)
    return optim.SGD(options, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


def group_parameters(module: nn.Module) -> ParameterGroups:
    """Split trainable parameters into biases, weights of convolutions and linear layers, and others.

    Others are the weights of batch norms, implicit knowledge (YOLOv7) and learned factors (YOLOv6).
    """
    groups: ParameterGroups = [[], [], []]
    for name, parameter in trainable_parameters(module):
        leaf = name.rpartition(".")[2]
        kind = BIASES if leaf == "bias" else WEIGHTS if leaf == "weight" and parameter.ndim > 1 else OTHERS
        groups[kind].append(parameter)
    return groups


def trainable_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and value of each trainable parameter."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def scale_weight_decay(recipe: Optimizer, batch: int) -> float:
    """Return the weight decay of one step, in proportion to its images if batches are accumulated (YOLOv5)."""
    if not recipe.accumulate:
        return recipe.weight_decay
    return recipe.weight_decay * batch * max(round(recipe.nominal_batch / batch), 1) / recipe.nominal_batch


def zero_momentum(optimizer: optim.Optimizer) -> None:
    """Allocate the momentum of SGD, filled with zeros.

    Fused SGD allocates it uninitialized at the first step. If a gradient scaler skips that step, the next one would add
    to uninitialized memory.
    """
    if isinstance(optimizer, optim.SGD):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def apply_settings(optimizer: optim.Optimizer, settings: StepSettings) -> None:
    """Set learning rate and momentum of a step. AdamW keeps its own momentum."""
    for kind, group in enumerate(optimizer.param_groups):
        group["lr"] = settings.bias_lr if kind == BIASES else settings.lr
        if "momentum" in group:
            group["momentum"] = settings.momentum
