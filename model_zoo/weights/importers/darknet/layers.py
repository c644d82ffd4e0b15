"""Build the module of each kind of section in a Darknet cfg.

A builder gets the section and its input maps (1, C, H, W), of which it reads the shapes only. Unknown sections, options
and values are errors that name the line: ignoring them would build another network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from model_zoo.blocks.conv import Activation, Conv
from model_zoo.blocks.darknet import Reorg, leaky
from model_zoo.contract.image_size import format_size
from model_zoo.families.yolov1 import LocalConv
from model_zoo.weights.importers.darknet.cfg import MAX_SHOWN, Section
from model_zoo.weights.importers.darknet.modules import Pool, Route, Scale, Shortcut, SpaceToDepth

Maps = Sequence[Tensor]

MAX_WEIGHTS = 400_000_000  # of one network; the largest official one, YOLOv1 as in its paper, has 272 million

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


def build_layer(section: Section, maps: Maps) -> nn.Module:
    """Build the module of a section.

    Raises:
        LineageError: The kind of section, an option or a value is not supported.
    """
    kind = KINDS.get(section.kind)
    if kind is None:
        raise section.error(f"expected one of the sections {', '.join(KINDS)}")
    for name in section.options:
        if name not in kind.options + kind.training_options:
            known = ", ".join(kind.options) or "no options"
            raise section.error(
                f"unknown option {name[:MAX_SHOWN]}; expected {known}. If it affects training only, delete the line",
                name,
            )
    for name in section.conflicting & {*kind.options}:
        raise section.error(f"expected one value for {name}; got several", name)
    return kind.build(section, maps)


def _convolutional(section: Section, maps: Maps) -> nn.Module:
    channels, filters = maps[0].shape[1], section.integer("filters", minimum=1)
    size, stride = section.integer("size", minimum=1), section.integer("stride", 1, minimum=1)
    groups, dilation = section.integer("groups", 1, minimum=1), section.integer("dilation", 1, minimum=1)
    padding = size // 2 * dilation if section.integer("pad", 0) else section.integer("padding", 0)
    if channels % groups or filters % groups:
        raise section.error(f"expected groups that divide {channels} channels and {filters} filters", "groups")
    _check_weights(section, filters * (channels // groups) * size**2)
    if dilation > 1 and padding != size // 2 * dilation:
        raise section.error("expected pad=1 for a dilated convolution", "dilation")
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


def _maxpool(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - builders share a signature
    size, stride = section.integer("size", minimum=1), section.integer("stride", 1, minimum=1)
    border = section.integer("padding", size - 1)  # of both sides together
    if border >= size:
        raise section.error(f"expected a total padding below size; got {border}", "padding")
    if border % 2 == 0:
        return nn.MaxPool2d(size, stride, border // 2)
    if size == stride == 2:
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return Pool(size, stride, border // 2, border - border // 2)


def _route(section: Section, maps: Maps) -> nn.Module:
    groups = section.integer("groups", 1, minimum=1)
    group = section.integer("group_id", 0)
    if group >= groups or any(x.shape[1] % groups for x in maps):
        raise section.error(f"expected group_id below groups, and channels divisible by {groups}", "groups")
    return Route(groups, group)


def _shortcut(section: Section, maps: Maps) -> nn.Module:
    if len({x.shape for x in maps}) > 1:
        raise section.error(f"expected maps of one shape; got {shapes(maps)}", "from")
    return Shortcut(_activation(section, "linear"))


def _scale_channels(section: Section, maps: Maps) -> nn.Module:
    if maps[0].shape != (*maps[1].shape[:2], 1, 1):
        raise section.error(f"expected one value per channel and a map; got {shapes(maps)}", "from")
    return Scale(_activation(section, "linear"))


def _sam(section: Section, maps: Maps) -> nn.Module:
    if maps[0].shape != maps[1].shape:
        raise section.error(f"expected two maps of one shape; got {shapes(maps)}", "from")
    return Scale(_activation(section, "linear"))


def _reorg(section: Section, maps: Maps) -> nn.Module:
    section.require(stride=2)
    _require_blocks(section, maps[0], 2)
    if maps[0].shape[1] % 4:
        raise section.error(f"expected a multiple of 4 channels; got {shapes(maps)}")
    return Reorg()


def _reorg3d(section: Section, maps: Maps) -> nn.Module:
    stride = section.integer("stride", minimum=1)
    _require_blocks(section, maps[0], stride)
    return SpaceToDepth(stride)


def _local(section: Section, maps: Maps) -> nn.Module:
    _, channels, height, width = maps[0].shape
    section.require(size=3, stride=1, pad=1)
    if height != width:
        raise section.error(f"expected a square map; got {shapes(maps)}")
    filters = section.integer("filters", minimum=1)
    _check_weights(section, maps[0].numel() * filters * 9)
    local = LocalConv(channels, filters, 3, height)
    return nn.Sequential(local, _activation(section)())


def _connected(section: Section, maps: Maps) -> nn.Module:
    output = section.integer("output", minimum=1)
    _check_weights(section, maps[0].numel() * output)
    linear = nn.Linear(maps[0].numel(), output)
    return nn.Sequential(nn.Flatten(), linear, _activation(section)(), nn.Unflatten(1, (output, 1, 1)))


def _upsample(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - builders share a signature
    return nn.Upsample(scale_factor=float(section.integer("stride", 2, minimum=1)), mode="nearest")


def _avgpool(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - builders share a signature
    return nn.AdaptiveAvgPool2d(1)


def _dropout(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - builders share a signature
    probability = section.number("probability", 0.5)
    if not 0 <= probability < 1:
        raise section.error(f"expected 0 <= probability < 1; got {probability:g}", "probability")
    return nn.Dropout(probability)


def _detection(section: Section, maps: Maps) -> nn.Module:  # noqa: ARG001 - builders share a signature
    """Return the map unchanged: the detector's head decodes it."""
    return nn.Identity()


def _check_weights(section: Section, weights: int) -> None:
    """Raise LineageError for a layer too large to allocate."""
    if weights > MAX_WEIGHTS:
        raise section.error(f"expected a layer of at most {MAX_WEIGHTS:,} weights; it would have {weights:,}")


def _activation(section: Section, default: str | None = None) -> Activation:
    name = section.options.get("activation", default)
    if name not in ACTIVATIONS:
        raise section.error(
            f"expected an activation, one of {', '.join(ACTIVATIONS)}; got {str(name)[:MAX_SHOWN]!r}", "activation"
        )
    return ACTIVATIONS[name]


def _require_blocks(section: Section, x: Tensor, side: int) -> None:
    if x.shape[2] % side or x.shape[3] % side:
        raise section.error(f"expected height and width divisible by {side}; got {shapes([x])}", "stride")


def shapes(maps: Maps) -> str:
    """Format the shapes of maps as in Darknet: width x height x channels."""
    return ", ".join(f"{format_size(x.shape[2:])} x {x.shape[1]}" for x in maps)


class SectionKind(NamedTuple):
    """A supported kind of section."""

    build: Callable[[Section, Maps], nn.Module]
    """Builder of its module."""
    options: list[str]
    """Options that define the module."""
    training_options: list[str]
    """Options of training, which are ignored."""


def _kind(build: Callable[[Section, Maps], nn.Module], options: str, training_options: str = "") -> SectionKind:
    return SectionKind(build, options.split(), training_options.split())


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
