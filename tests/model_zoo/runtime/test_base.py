"""Engine options and the check of a file's card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_zoo.contract.errors import CardError, LineageError, PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions, check_card
from tests.tiny_onnx import toy_card


def test_image_size_replaces_the_input_size() -> None:
    card = toy_card(size=(64, 64))
    assert EngineOptions().resize(card) == card
    assert EngineOptions(image_size=(64, 96)).resize(card).input_size == (64, 96)


def test_image_size_must_be_a_multiple_of_the_stride() -> None:
    with pytest.raises(CardError, match="multiples of the stride, 32"):
        EngineOptions(image_size=(64, 65)).resize(toy_card())


def test_fixed_input_size_cannot_be_changed() -> None:
    card = toy_card(dynamic_size=False)
    assert EngineOptions(image_size=(64, 64)).resize(card) == card
    with pytest.raises(LineageError, match="toy: expected the fixed input size 64 x 64; got 96 x 96"):
        EngineOptions(image_size=(96, 96)).resize(card)


def test_buckets_add_canvases() -> None:
    card = toy_card(size=(256, 256))
    assert EngineOptions().canvases(card) == [(256, 256)]
    assert (192, 256) in EngineOptions(shapes="buckets").canvases(card)
    assert (224, 256) in EngineOptions(shapes="buckets").canvases(card, few=False)


def test_card_decides_on_buckets_unless_options_do() -> None:
    card = toy_card(size=(256, 256), shapes="buckets")
    assert len(EngineOptions().canvases(card)) > 1
    assert EngineOptions(shapes="square").canvases(card) == [(256, 256)]


def test_check_card_compares_with_the_package(toy: Package) -> None:
    check_card(toy, toy.card)
    with pytest.raises(PackageError, match=r"toy@1: the card inside model\.onnx differs from card\.json"):
        check_card(toy, replace(toy.card, params=5))
