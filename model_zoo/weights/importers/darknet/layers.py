"""What the sections of a Darknet cfg compute: for each kind its options and the module that it stands for.

A module is made of a section and of the maps (1, C, H, W) that it is given, of which the shapes alone count. What no
reference numbers exist for is refused, with the line of the cfg, rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from model_zoo.blocks.conv import Activation, Conv
from model_zoo.blocks.darknet import Reorg, leaky
from model_zoo.families.yolov1 import LocalConv
from model_zoo.weights.importers.darknet.cfg import SHOWN, Section
from model_zoo.weights.importers.darknet.modules import Pool, Route, Scale, Shortcut, SpaceToDepth

Maps = Sequence[Tensor]

MAX_WEIGHTS = 400_000_000  # of one network; the largest official one, YOLOv1 of the paper, has 272 million

ACTIVATIONS: dict[str, Activation] = {
    "leaky": leaky,
    "linear": nn.Identity,
    "logistic": nn.Sigmoid,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


def make(section: Section, maps: Maps) -> nn.Module:
    """Make the module of a section; LineageError if the kind, an option or its value is not known, or cannot be."""
    kind = KINDS.get(section.kind)
    if kind is None:
        raise section.problem(f"expected a section of a detector, one of {', '.join(KINDS)}")
    for name in section.options:
        if name not in kind.options + kind.of_training:
            known = ", ".join(kind.options) or "no options"
            raise section.problem(
                f"{name[:SHOWN]} is not known; known are {known}; if it matters in training alone, delete the line",
                name,
            )
    for name in section.contested & {*kind.options}:
        raise section.problem(f"expected one value for {name}; there are several", name)
    return kind.module(section, maps)


def _convolutional(section: Section, maps: Maps) -> nn.Module:
    channels, filters = maps[0].shape[1], section.integer("filters", least=1)
    size, stride = section.integer("size", least=1), section.integer("stride", 1, least=1)
    groups, dilation = section.integer("groups", 1, least=1), section.integer("dilation", 1, least=1)
    padding = size // 2 * dilation if section.integer("pad", 0) else section.integer("padding", 0)
    if channels % groups or filters % groups:
        raise section.problem(f"expected groups that divide {channels} channels and {filters} filters", "groups")
    _afford(section, filters * (channels // groups) * size**2)
    if dilation > 1 and padding != size // 2 * dilation:
        raise section.problem("expected pad=1 where a convolution is dilated", "dilation")
    activation = _activation(section)
    if not section.integer("batch_normalize", 0):
        conv = nn.Conv2d(channels, filters, size, stride, padding, dilation, groups)
        return nn.Sequential(conv, activation())
    return Conv(
        channels,
        filters,
        size,
        stride,
        padding=padding,
        groups=groups,
        dilation=dilation,
        activation=activation,
        eps=1e-5,
        momentum=0.1,
    )


def _maxpool(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - all makers are called alike
    size, stride = section.integer("size", least=1), section.integer("stride", 1, least=1)
    border = section.integer("padding", size - 1)
    if border >= size:
        raise section.problem(f"expected padding, of both sides together, below size; got {border}", "padding")
    if border % 2 == 0:
        return nn.MaxPool2d(size, stride, border // 2)
    if size == stride == 2:
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return Pool(size, stride, border // 2, border - border // 2)


def _route(section: Section, maps: Maps) -> nn.Module:
    groups = section.integer("groups", 1, least=1)
    group = section.integer("group_id", 0)
    if group >= groups or any(x.shape[1] % groups for x in maps):
        raise section.problem(f"expected group_id below groups, and channels in {groups} equal groups", "groups")
    return Route(groups, group)


def _shortcut(section: Section, maps: Maps) -> nn.Module:
    if len({x.shape for x in maps}) > 1:
        raise section.problem(f"expected maps of one shape; got {shapes(maps)}", "from")
    return Shortcut(_activation(section, "linear"))


def _scale_channels(section: Section, maps: Maps) -> nn.Module:
    if maps[0].shape != (*maps[1].shape[:2], 1, 1):
        raise section.problem(f"expected a number per channel and a map; got {shapes(maps)}", "from")
    return Scale(_activation(section, "linear"))


def _sam(section: Section, maps: Maps) -> nn.Module:
    if maps[0].shape != maps[1].shape:
        raise section.problem(f"expected two maps of one shape; got {shapes(maps)}", "from")
    return Scale(_activation(section, "linear"))


def _reorg(section: Section, maps: Maps) -> nn.Module:
    _require(section, "stride", 2)
    _require_blocks(section, maps[0], 2)
    if maps[0].shape[1] % 4:
        raise section.problem(f"expected channels in fours; got {shapes(maps)}")
    return Reorg()


def _reorg3d(section: Section, maps: Maps) -> nn.Module:
    stride = section.integer("stride", least=1)
    _require_blocks(section, maps[0], stride)
    return SpaceToDepth(stride)


def _local(section: Section, maps: Maps) -> nn.Module:
    _, channels, height, width = maps[0].shape
    for name, value in {"size": 3, "stride": 1, "pad": 1}.items():
        _require(section, name, value)
    if height != width:
        raise section.problem(f"expected a square map; got {shapes(maps)}")
    filters = section.integer("filters", least=1)
    _afford(section, maps[0].numel() * filters * 9)
    local = LocalConv(channels, filters, 3, height)
    return nn.Sequential(local, _activation(section)())


def _connected(section: Section, maps: Maps) -> nn.Module:
    output = section.integer("output", least=1)
    _afford(section, maps[0].numel() * output)
    linear = nn.Linear(maps[0].numel(), output)
    return nn.Sequential(nn.Flatten(), linear, _activation(section)(), nn.Unflatten(1, (output, 1, 1)))


def _upsample(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - all sections are built alike
    return nn.Upsample(scale_factor=float(section.integer("stride", 2, least=1)), mode="nearest")


def _avgpool(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - all sections are built alike
    return nn.AdaptiveAvgPool2d(1)


def _dropout(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - all sections are built alike
    share = section.number("probability", 0.5)
    if not 0 <= share < 1:
        raise section.problem(f"expected a probability from 0 to below 1; got {share:g}", "probability")
    return nn.Dropout(share)


def _detection(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - all sections are built alike
    """Pass the map on: the detector's head reads it."""
    return nn.Identity()


def _afford(section: Section, weights: int) -> None:
    """Refuse what no memory holds before it is asked for."""
    if weights > MAX_WEIGHTS:
        raise section.problem(f"expected a layer of at most {MAX_WEIGHTS:,} weights; it would have {weights:,}")


def _activation(section: Section, default: str | None = None) -> Activation:
    name = section.options.get("activation", default)
    if name not in ACTIVATIONS:
        raise section.problem(
            f"expected an activation, one of {', '.join(ACTIVATIONS)}; got {str(name)[:SHOWN]!r}", "activation"
        )
    return ACTIVATIONS[name]


def _require(section: Section, name: str, value: int) -> None:
    if section.integer(name) != value:
        raise section.problem(f"expected {name}={value}, the only one supported", name)


def _require_blocks(section: Section, x: Tensor, side: int) -> None:
    if x.shape[2] % side or x.shape[3] % side:
        raise section.problem(f"expected a map of whole blocks of {side}x{side}; got {shapes([x])}", "stride")


def shapes(maps: Maps) -> str:
    """Name the shapes of maps, as channels x height x width."""
    return ", ".join("x".join(str(side) for side in x.shape[1:]) for x in maps)


class Kind(NamedTuple):
    """A kind of section: what makes its module, options that shape it, options that matter in training alone."""

    module: Callable[[Section, Maps], nn.Module]
    options: list[str]
    of_training: list[str]


def _kind(module: Callable[[Section, Maps], nn.Module], options: str, of_training: str = "") -> Kind:
    return Kind(module, options.split(), of_training.split())


KINDS = {
    "convolutional": _kind(
        _convolutional,
        "batch_normalize filters size stride pad padding groups dilation activation",
        "stopbackward train_only_bn dont_update",
    ),
    "maxpool": _kind(_maxpool, "size stride padding"),
    "avgpool": _kind(_avgpool, ""),
    "upsample": _kind(_upsample, "stride"),
    "route": _kind(_route, "layers groups group_id", "stopbackward"),
    "shortcut": _kind(_shortcut, "from activation"),
    "scale_channels": _kind(_scale_channels, "from activation"),
    "sam": _kind(_sam, "from activation"),
    "reorg": _kind(_reorg, "stride"),
    "reorg3d": _kind(_reorg3d, "stride"),
    "local": _kind(_local, "filters size stride pad activation"),
    "connected": _kind(_connected, "output activation"),
    "dropout": _kind(_dropout, "probability"),
    "yolo": _kind(
        _detection,
        "mask anchors classes num scale_x_y new_coords",
        "jitter ignore_thresh truth_thresh random resize max iou_thresh iou_thresh_kind iou_loss iou_normalizer "
        "cls_normalizer obj_normalizer objectness_smooth label_smooth_eps focal_loss counters_per_class max_delta "
        "nms_kind beta_nms",
    ),
    "region": _kind(
        _detection,
        "anchors classes num coords softmax",
        "bias_match jitter rescore object_scale noobject_scale class_scale coord_scale absolute thresh random",
    ),
    "detection": _kind(
        _detection,
        "classes num coords side softmax sqrt",
        "rescore jitter object_scale noobject_scale class_scale coord_scale random",
    ),
}
