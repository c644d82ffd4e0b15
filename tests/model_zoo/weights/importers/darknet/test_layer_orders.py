"""Layer orders contain every tensor of a variant once."""

from __future__ import annotations

import pytest
import torch

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import tensors


@pytest.mark.parametrize("variant", [name for name in LAYER_ORDERS if name not in CLASSIFIERS])
def test_layer_order_covers_every_tensor_once(variant: str) -> None:
    with torch.device("meta"):
        detector = registry.build(variant)
    stored = [id(t) for t in tensors(detector, LAYER_ORDERS[variant])]
    state = detector.state_dict(keep_vars=True)
    expected = [id(t) for key, t in state.items() if not key.endswith((".anchors", ".num_batches_tracked"))]
    assert sorted(stored) == sorted(expected)
