"""Layers of a cfg compute what their definitions say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from model_zoo.weights.importers.darknet.cfg import MAX_SECTIONS, read_cfg
from model_zoo.weights.importers.darknet.layers import ACTIVATIONS, KINDS, MAX_WEIGHTS, build_layer
from model_zoo.weights.importers.darknet.plan import MAX_SIDE
from tests.conftest import ROOT
from tests.model_zoo.weights.importers.darknet.cfgs import NET, maps_of


def test_reorg3d_moves_blocks_to_channels(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 96, 64)
    output = maps_of(tmp_path, "[reorg3d]\nstride=2\n", images)
    phases = [images[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    torch.testing.assert_close(output, torch.cat(phases, 1), rtol=0, atol=0)


FORMULAS = {
    "leaky": lambda x: torch.where(x > 0, x, 0.1 * x),
    "linear": lambda x: x,
    "logistic": lambda x: 1 / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.cfg").write_text(f"{NET}[shortcut]\nfrom=-2,-3\nactivation={name}\n")
    x = torch.linspace(-3, 3, 64).view(1, 1, 8, 8)
    shortcut = build_layer(read_cfg(tmp_path / "x.cfg")[1], [x, x, x])
    torch.testing.assert_close(shortcut(x, x, x), FORMULAS[name](3 * x), rtol=0, atol=1e-5)


def test_sam_multiplies_two_maps(tmp_path: Path) -> None:
    same = "[maxpool]\nsize=1\nstride=1\n"
    images = torch.rand(1, 3, 96, 64)
    output = maps_of(tmp_path, 2 * same + "[sam]\nfrom=0\nactivation=logistic\n", images)
    torch.testing.assert_close(output, (images * images).sigmoid())


@pytest.mark.parametrize(
    ("layers", "size", "stride", "padding"),
    [
        ("[maxpool]\nsize=2\nstride=1\n", 2, 1, (0, 1, 0, 1)),
        ("[maxpool]\nsize=5\nstride=1\n", 5, 1, (2, 2, 2, 2)),
        ("[maxpool]\nsize=3\nstride=2\npadding=0\n", 3, 2, (0, 0, 0, 0)),
        ("[maxpool]\nsize=3\nstride=3\npadding=1\n", 3, 3, (0, 1, 0, 1)),
        ("[maxpool]\nsize=6\nstride=3\n", 6, 3, (2, 3, 2, 3)),
        ("[maxpool]\nsize=2\nstride=2\n", 2, 2, (0, 1, 0, 1)),
    ],
)
@pytest.mark.parametrize("sides", [(24, 36), (25, 23)])
def test_pools_pad_like_darknet(
    tmp_path: Path, layers: str, size: int, stride: int, padding: tuple[int, ...], sides: tuple[int, int]
) -> None:
    (tmp_path / "x.cfg").write_text(NET + layers)
    x = torch.randn(1, 2, *sides) - 5
    pool = build_layer(read_cfg(tmp_path / "x.cfg")[1], [x])
    windows = F.pad(x, padding, value=-torch.inf).unfold(2, size, stride).unfold(3, size, stride)
    torch.testing.assert_close(pool(x), windows.amax((4, 5)), rtol=0, atol=0)


def test_documented_sections_and_options_are_complete() -> None:
    text = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
    _, _, table = text.partition("### Sections")
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    documented = {re.findall(r"`(\w+)`", kind)[0]: re.findall(r"`(\w+)`", options) for kind, options in rows}
    assert documented == {kind: known.options for kind, known in KINDS.items()}
    assert all(f"`{activation}`" in table for activation in ACTIVATIONS)
    assert f"{MAX_SECTIONS:,} sections, {MAX_WEIGHTS // 10**6} million weights and inputs of {MAX_SIDE} pixels" in table
