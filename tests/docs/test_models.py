"""The tables of variants in `docs/models` are compared with the code, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo.profile import profile
from model_zoo.registry import build, families, variants
from tests.docs.variant_tables import PAGES, ROW


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_variant_of_the_family_is_in_the_table(page: Path) -> None:
    assert page.stem in families()
    listed = [row[0] for row in ROW.findall(page.read_text(encoding="utf-8"))]
    assert sorted(listed) == sorted(name for name in variants(page.stem) if not name.endswith("-test"))


@pytest.mark.slow  # builds and deploys every variant; each family's own tests count the published ones
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sizes_and_gflops_match_the_code(page: Path) -> None:
    for variant, size, params, deployed, gflops in ROW.findall(page.read_text(encoding="utf-8")):
        with torch.device("meta"):
            detector = build(variant)
        trained, lean = profile(detector), profile(detector.deploy())
        found = (f"{detector.input_spec.size[0]}", f"{trained.params:,}", f"{lean.params:,}", f"{lean.gflops:.2f}")
        assert (variant, *found) == (variant, size, params, deployed, gflops)
