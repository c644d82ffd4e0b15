"""Classifiers: the backbones with which detectors are pre-trained, and a linear classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from model_zoo.backbones.darknet import Darknet19, Darknet53
from model_zoo.contract.errors import LineageError


class Classifier(nn.Module):
    """A backbone and a 1x1 convolution to classes, averaged over the last map.

    Darknet-19 averages after the convolution and Darknet-53 before it. Both are linear, so the result is the same.
    """

    def __init__(self, variant: str, backbone: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        self.variant, self.num_classes = variant, num_classes
        self.backbone = backbone
        self.predict = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, 3, H, W), RGB, 0 to 1."""
        logits: Tensor = self.predict(self.backbone(x)[-1].mean((2, 3), keepdim=True))
        return logits.flatten(1)


@dataclass(frozen=True)
class ClassifierSpec:
    """Backbone of a classifier."""

    backbone: Callable[[], nn.Module]
    """Builds the backbone."""
    channels: int
    """Channels of its last map."""


CLASSIFIERS = {"darknet19": ClassifierSpec(Darknet19, 1024), "darknet53": ClassifierSpec(Darknet53, 1024)}


def build_classifier(variant: str, num_classes: int = 1000) -> Classifier:
    """Build a classifier with random weights.

    Raises:
        LineageError: There is no classifier of that name.
    """
    if variant not in CLASSIFIERS:
        raise LineageError(f"expected a classifier, one of {', '.join(CLASSIFIERS)}; got {variant!r}")
    spec = CLASSIFIERS[variant]
    return Classifier(variant, spec.backbone(), spec.channels, num_classes)
