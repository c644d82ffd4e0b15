from __future__ import annotations

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.licenses import UNDECLARED
from model_zoo.contract.terms import binding_licenses, describe_parents


def test_licenses_of_weights_and_parents_bind_once() -> None:
    parents = (ParentWeights("a.pt", "", "AGPL-3.0"), ParentWeights("b.pt", "", "MIT"), ParentWeights("c.pt"))
    assert list(binding_licenses(WeightsOrigin("AGPL-3.0 AND GPL-3.0", parents=parents))) == [
        "AGPL-3.0",
        "GPL-3.0",
        "unknown",
    ]
    assert binding_licenses(WeightsOrigin("MIT")) == {}


def test_parents_are_described_with_their_terms() -> None:
    parents = (ParentWeights("run/best.safetensors", "", UNDECLARED), ParentWeights("yolov5n.pt", "", "AGPL-3.0"))
    text = describe_parents(WeightsOrigin("AGPL-3.0", parents=parents))
    assert text.startswith(
        "trained from run/best.safetensors (NOASSERTION), yolov5n.pt (AGPL-3.0); AGPL-3.0: a product"
    )
