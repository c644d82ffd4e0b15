"""Gradients of narrow activations: dense, with the same values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.csp import C3
from training.loop.dense_gradients import densify_gradients


class Halves(nn.Module):
    """Concatenates two activations, whose gradients are halves of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.SiLU(), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x)], dim=1)


def network_input(channels: int, dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    x = torch.randn(2, channels, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def gradient_is_dense(channels: int, dtype: torch.dtype) -> bool:
    """Return whether the gradient that reaches the first activation is dense."""
    network, dense = Halves(), []
    densify_gradients(network)

    def record(gradient: Tensor) -> None:
        dense.append(gradient.is_contiguous(memory_format=torch.channels_last))

    network.first.register_forward_hook(lambda _, __, output: output.register_hook(record) and None)
    network(network_input(channels, dtype)).square().sum().backward()
    return dense == [True]


@pytest.mark.parametrize(
    ("channels", "dtype", "dense"),
    [
        (16, torch.float32, True),
        (32, torch.bfloat16, True),
        (17, torch.float32, False),
        (33, torch.bfloat16, False),
    ],
)
def test_gradients_of_narrow_activations_are_dense(channels: int, dtype: torch.dtype, dense: bool) -> None:
    assert gradient_is_dense(channels, dtype) == dense


def test_values_of_gradients_do_not_change() -> None:
    gradients = []
    for densify in (False, True):
        torch.manual_seed(0)
        block = C3(8, 8, 1).train().to(memory_format=torch.channels_last)
        if densify:
            densify_gradients(block)
        x = network_input(8, torch.float32)
        block(x).square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in block.parameters())])
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_evaluation_needs_no_gradients() -> None:
    network = Halves()
    densify_gradients(network)
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 2, 2)).shape == (1, 8, 2, 2)
