from __future__ import annotations

import pytest
import torch

from model_zoo.classifier import CLASSIFIERS, build_classifier
from model_zoo.contract.errors import LineageError


@pytest.mark.parametrize("variant", CLASSIFIERS)
def test_classifier_returns_logits_of_any_size(variant: str) -> None:
    with torch.device("meta"):
        logits = build_classifier(variant, 7)(torch.zeros(2, 3, 64, 96))
    assert logits.shape == (2, 7)


def test_unknown_classifier_is_refused() -> None:
    with pytest.raises(LineageError, match="one of darknet19, darknet53; got 'resnet50'"):
        build_classifier("resnet50")
