"""Recipe of a generation: its criterion, optimizer, schedule and augmentation, as frozen data.

The recipes themselves are in `training/recipes/<family>.py`, with the paper's numbers. Options of a single run (epochs,
batch, image size) are in `training.config`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from model_zoo.detector import Detector
from training.losses.criterion import Criterion


@dataclass(frozen=True)
class Optimizer:
    """Optimizer settings."""

    name: Literal["sgd", "adamw"] = "sgd"
    """Algorithm."""
    lr: float = 0.01
    """Learning rate of a step of `nominal_batch` images."""
    momentum: float = 0.937
    """Momentum of SGD, or beta1 of AdamW."""
    nesterov: bool = True
    """Whether SGD uses Nesterov momentum."""
    weight_decay: float = 5e-4
    """Weight decay of a step of `nominal_batch` images, on weights of convolutions and linear layers."""
    decay_all: bool = False
    """Whether biases, norms and other parameters decay as well."""
    nominal_batch: int = 64
    """Images of one step that `lr` is meant for. 0: `lr` is the same for any batch size (YOLOv6)."""
    accumulate: bool = True
    """Whether smaller batches are accumulated to the nominal one (YOLOv5), or `lr` is scaled instead (YOLOX)."""
    clip_norm: float = 0.0
    """Max norm of the gradient. 0: no clipping."""


@dataclass(frozen=True)
class Schedule:
    """Learning rate and momentum over a run, as factors of the optimizer's."""

    kind: Literal["linear", "cosine", "step"] = "linear"
    """Decay from 1 to `final`: linear or cosine. step: multiply by `factor` at each milestone."""
    final: float = 0.01
    """Last factor of linear and cosine decay."""
    milestones: tuple[float, ...] = ()
    """Milestones of step decay, as fractions of the run."""
    factor: float = 0.1
    """Factor of step decay at each milestone."""
    by_step: bool = False
    """Decay at every step between warm-up and flat epochs (YOLOX, Darknet), or every epoch of the run (YOLOv5)."""
    warmup_epochs: float = 3.0
    """Length of the warm-up in epochs."""
    warmup_min_steps: int = 100
    """Min length of the warm-up in steps."""
    warmup_power: float = 1.0
    """Warm-up curve: lr rises by (step / steps) ** warmup_power."""
    warmup_from: float = 0.0
    """First factor of the warm-up."""
    warmup_bias_lr: float = 0.0
    """Learning rate from which biases start the warm-up. 0: the same as other parameters."""
    warmup_momentum: float | None = None
    """Momentum at the start of the warm-up. None: the optimizer's."""
    flat_epochs: int = 0
    """Number of last epochs at the final learning rate."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images. A probability or range of 0, or a factor range of (1, 1), turns one off."""

    mosaic: float = 1.0
    """Probability of a mosaic."""
    mosaic_nine: float = 0.0
    """Fraction of mosaics made of nine images instead of four (YOLOv7)."""
    mosaic_canvas: Literal[1, 2] = 2
    """Sides of the mosaic in image sizes: 2 if the affine crops it, 1 for Darknet."""
    mixup: float = 0.0
    """Probability that a mosaic is blended with another image."""
    mixup_beta: float = 32.0
    """Blend two mosaics with a ratio from Beta(b, b). 0: half and half with a single image (YOLOX)."""
    mixup_scale: tuple[float, float] = (0.5, 1.5)
    """Range of the scale factor of the single image in mixup (YOLOX)."""
    degrees: float = 0.0
    """Max rotation of the affine, in degrees."""
    translate: float = 0.1
    """Max translation of the affine, as a fraction of the image size."""
    scale: tuple[float, float] = (0.5, 1.5)
    """Range of the affine's scale factor."""
    shear: float = 0.0
    """Max shear of the affine, in degrees."""
    perspective: float = 0.0
    """Max perspective coefficient."""
    affine: Literal["center", "corner"] = "center"
    """Origin of the affine: the center (YOLOv5 lineage), or the corner and for mosaics only (YOLOX)."""
    min_side: float = 2.0
    """A box is kept if both its sides are longer than this, in pixels."""
    min_area: float = 0.1
    """A box is kept if more than this fraction of its area is left."""
    max_aspect: float = 100.0
    """A box is kept if its longer side is less than this many times the shorter one."""
    color: Literal["gains", "levels", "factors"] = "gains"
    """Meaning of the color ranges: relative (YOLOv5), levels that are added (YOLOX), or Darknet's factors."""
    hue: float = 0.015
    """Hue range. gains: 1 +- hue. levels: of 0..180. factors: a fraction of the color circle."""
    saturation: float = 0.7
    """Saturation range. gains: 1 +- saturation. levels: of 0..255. factors: times or divided by up to 1 + this."""
    value: float = 0.4
    """Value range, with the same meaning as the saturation range."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    crop_jitter: float = 0.0
    """Max shift of each side in Darknet's random crop, as a fraction of the side."""
    close_mosaic: int = 0
    """Number of last epochs without mosaic and mixup."""
    multi_scale: tuple[float, float] = (1.0, 1.0)
    """Range of random input sizes, as factors of the image size, in steps of the stride."""
    multi_scale_every: int = 10
    """Batches between two random input sizes."""


@dataclass(frozen=True)
class Recipe:
    """Everything specific to training one generation."""

    criterion: Callable[[Detector], Criterion]
    """Builds the criterion for a detector: its anchors, strides and classes."""
    source: str
    """Paper and section, or program."""
    reduction: Literal["sum", "mean", "per_image"] = "sum"
    """Whether `Losses.total` is a `sum` over images (v5, v7), a `mean` (X, v6), or averaged `per_image` of a step."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Optimizer settings."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate schedule."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Augmentation settings."""
    epochs: int = 300
    """Epochs in the paper."""
    ema_decay: float = 0.9999
    """Decay of the averaged weights. 0: no averaging."""
    ema_ramp: int = 2000
    """Updates over which the decay warms up to 63 % of `ema_decay`."""
