"""Batch norm statistics of a trained network."""

from __future__ import annotations

from torch import nn


def randomize(module: nn.Module) -> nn.Module:
    """Draw batch norm statistics as a trained network could have. Initial ones hide mistakes."""
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return module.eval().requires_grad_(False)
