from __future__ import annotations

import pytest

from model_zoo.registry import variants
from model_zoo.sizes import KNOWN_SIZES, compute_size, model_size
from tests.docs.variant_tables import PAGES, ROW

DOCUMENTED = {row[0]: row for page in PAGES for row in ROW.findall(page.read_text(encoding="utf-8"))}


def test_sizes_of_all_public_variants_are_stored() -> None:
    assert set(KNOWN_SIZES) == {name for name in variants() if not name.endswith("-test")}


@pytest.mark.parametrize("variant", KNOWN_SIZES)
def test_stored_size_equals_the_computed_one(variant: str) -> None:
    """Another test compares the tables in `docs/models` with the code, so documented variants need not be built."""
    if variant not in DOCUMENTED:
        assert KNOWN_SIZES[variant] == compute_size(variant)
        return
    _, input_size, _, params, gflops = DOCUMENTED[variant]
    stored = KNOWN_SIZES[variant]
    assert (f"{stored.input_size[0]}", f"{stored.params:,}", f"{stored.gflops:.2f}") == (input_size, params, gflops)


def test_size_of_an_unlisted_variant_is_computed() -> None:
    assert "yolov5-test" not in KNOWN_SIZES
    assert model_size("yolov5-test") == compute_size("yolov5-test")
