"""Size and work of a detector: parameters, and GFLOPs of its convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from model_zoo.contract.letterbox import Size
from model_zoo.detector import Detector


@dataclass(frozen=True)
class Profile:
    """params: learned numbers. gflops: 1e9 operations of the convolutions per image, two per multiply-add."""

    params: int
    gflops: float


def profile(detector: Detector, size: Size | None = None) -> Profile:
    """Count the detector as it stands (training or deployed form) at `size`, by default its own.

    Runs on the meta device, so it takes milliseconds and no memory, whatever the size.
    """
    work = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal work
        work += _operations(module, inputs[0], output)

    convolutions = [m for m in detector.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [m.register_forward_hook(count) for m in convolutions]
    try:
        _run_on_meta(detector, size or detector.input_spec.size)
    finally:
        for hook in hooks:
            hook.remove()
    return Profile(sum(p.numel() for p in detector.parameters()), work / 1e9)


def _operations(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Twice the multiply-adds: each number of the output (of the input, when transposed) meets one filter."""
    assert isinstance(module.weight, Tensor)
    meeting = x if isinstance(module, nn.ConvTranspose2d) else output
    return 2 * meeting.numel() * module.weight[0].numel()


def _run_on_meta(detector: Detector, size: Size) -> None:
    state = {name: value.to("meta") for name, value in detector.state_dict(keep_vars=True).items()}
    with torch.no_grad():
        functional_call(detector, state, torch.empty(1, 3, *size, device="meta"))
