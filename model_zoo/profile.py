"""Count the parameters and GFLOPs of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from model_zoo.contract.letterbox import Size
from model_zoo.detector import Detector


@dataclass(frozen=True)
class Profile:
    """Size and work of a detector."""

    params: int
    """Number of parameters."""
    gflops: float
    """1e9 operations of the convolutions per image, two per multiply-add."""


def profile(detector: Detector, size: Size | None = None) -> Profile:
    """Count a detector in its current form (training or deployed) at `size`, by default its own.

    Runs on the meta device: takes milliseconds and no memory at any size.
    """
    operations = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations
        operations += _operations(module, inputs[0], output)

    convolutions = [m for m in detector.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [m.register_forward_hook(count) for m in convolutions]
    try:
        _run_on_meta(detector, size or detector.input_spec.size)
    finally:
        for hook in hooks:
            hook.remove()
    return Profile(sum(p.numel() for p in detector.parameters()), operations / 1e9)


def _operations(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Return twice the multiply-adds: one filter per output element, or per input element if transposed."""
    assert isinstance(module.weight, Tensor)
    elements = x if isinstance(module, nn.ConvTranspose2d) else output
    return 2 * elements.numel() * module.weight[0].numel()


def _run_on_meta(detector: Detector, size: Size) -> None:
    state = {name: value.to("meta") for name, value in detector.state_dict(keep_vars=True).items()}
    with torch.no_grad():
        functional_call(detector, state, torch.empty(1, 3, *size, device="meta"))
