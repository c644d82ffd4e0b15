"""A recipe: all that is particular to how one generation learns, in one place.

Recipes are frozen data; `training/recipes/<family>.py` has those of a family, with the paper's numbers. What a user
may change for one run (epochs, batch, image size) is in `training.config` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from model_zoo.detector import Detector
from training.losses.criterion import Criterion


@dataclass(frozen=True)
class Optimizer:
    """How weights are moved.

    lr: at `nominal_batch` images per step. accumulate: whether smaller batches are added up to the nominal one before a
    step (YOLOv5); otherwise lr is scaled by batch / nominal_batch (YOLOX), or the same for any batch where that is 0
    (YOLOv6). weight_decay: at the nominal batch, on the weights of convolutions and linear layers alone unless
    decay_all.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.937
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_all: bool = False
    nominal_batch: int = 64
    accumulate: bool = True
    clip_norm: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How lr and momentum move over a run, as factors of the optimizer's.

    kind: linear or cosine from 1 to `final` over the epochs, or step: times `factor` at each of `milestones` (shares of
    the run). by_step: whether it moves at every step, from the end of the warm-up to the flat epochs (YOLOX, Darknet);
    otherwise at every epoch, over the whole run (YOLOv5). warm-up: `warmup_epochs`, at least `warmup_min_steps` steps,
    during which lr rises from the share `warmup_from` of itself by (step / steps) ** warmup_power; biases instead fall
    from lr `warmup_bias_lr` where that is positive, and momentum rises from `warmup_momentum`. flat_epochs: the last
    ones keep the final lr.
    """

    kind: Literal["linear", "cosine", "step"] = "linear"
    final: float = 0.01
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    by_step: bool = False
    warmup_epochs: float = 3.0
    warmup_min_steps: int = 100
    warmup_power: float = 1.0
    warmup_from: float = 0.0
    warmup_bias_lr: float = 0.0
    warmup_momentum: float | None = None
    flat_epochs: int = 0


@dataclass(frozen=True)
class Augmentation:
    """How a training image is varied; a part is off where its field is 0, or its range is of 1 alone.

    mosaic: probability. mosaic_nine: share of mosaics that have nine images, not four (YOLOv7). mosaic_canvas: its
    sides in image sizes; 2 where the affine looks at a part of it, 1 for Darknet.
    mixup: probability that a mosaic is blended. mixup_beta: with another mosaic, by Beta(b, b); 0: half and half with a
    lone image, scaled by a factor of mixup_scale (YOLOX).
    degrees, translate, scale, shear, perspective: of the random affine; scale is (low, high), the factor's range.
    affine: about the `center` (the YOLOv5 lineage), or about the `corner` and of mosaics alone (YOLOX).
    min_side, min_area, max_aspect: a box stays if both its sides have more pixels, if more than that share of its
    area is left, and if one side is less than that many times the other.
    hue, saturation, value: `gains`: relative, 1 +- gain (YOLOv5); `levels`: added, of 0..180, 0..255, 0..255, each by
    chance (YOLOX); `factors`: hue +- that share of the circle, the others times or divided by up to 1 + that (Darknet).
    flip: probability of a horizontal flip. crop_jitter: share by which Darknet's random crop moves each side.
    close_mosaic: the last ones without mosaic and mixup. multi_scale: (low, high), the range of sides in image sizes,
    in steps of the stride, drawn anew every `multi_scale_every` batches.
    """

    mosaic: float = 1.0
    mosaic_nine: float = 0.0
    mosaic_canvas: Literal[1, 2] = 2
    mixup: float = 0.0
    mixup_beta: float = 32.0
    mixup_scale: tuple[float, float] = (0.5, 1.5)
    degrees: float = 0.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.5, 1.5)
    shear: float = 0.0
    perspective: float = 0.0
    affine: Literal["center", "corner"] = "center"
    min_side: float = 2.0
    min_area: float = 0.1
    max_aspect: float = 100.0
    color: Literal["gains", "levels", "factors"] = "gains"
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    flip: float = 0.5
    crop_jitter: float = 0.0
    close_mosaic: int = 0
    multi_scale: tuple[float, float] = (1.0, 1.0)
    multi_scale_every: int = 10


@dataclass(frozen=True)
class Recipe:
    """What couples a generation's network, assigner, losses, augmentation and schedule.

    criterion: makes it for a detector (its anchors, strides, classes). reduction: what `Losses.total` is over a batch:
    `sum` grows with the images (v5, v7), `mean` does not (X, v6), `per_image` grows and is divided by the images of a
    step (Darknet divides lr instead). epochs: of the paper. ema_decay: of the averaged weights, ema_ramp the updates it
    takes to get there; 0 keeps none. source: paper and section, or program.
    """

    criterion: Callable[[Detector], Criterion]
    source: str
    reduction: Literal["sum", "mean", "per_image"] = "sum"
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 300
    ema_decay: float = 0.9999
    ema_ramp: int = 2000
