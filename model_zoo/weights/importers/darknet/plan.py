"""Plan the layers of a Darknet cfg: the inputs of each layer and the shape of its output, before anything is allocated.

All modules and maps are on the meta device, so a cfg of absurd sizes is rejected without using memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model_zoo.contract.letterbox import Size
from model_zoo.weights.importers.darknet.cfg import DETECTION, Section
from model_zoo.weights.importers.darknet.layers import MAX_WEIGHTS, Maps, build_layer, shapes

INPUT = -1  # layer index of the input images
MAX_SIDE = 8192  # pixels of the input
MAX_MAP_VALUES = 2**28  # in one map of one image; YOLOv4-P5 has one of 2**25
MAX_TOTAL_VALUES = 2**31  # in all maps of one image
MAX_SOURCES = 64
SOURCE_OPTIONS = {"route": "layers", "shortcut": "from", "scale_channels": "from", "sam": "from"}


class PlannedLayer(NamedTuple):
    """A layer, its inputs and its output."""

    section: Section
    """Section of the cfg."""
    sources: tuple[int, ...]
    """Indices of the layers that it reads."""
    inputs: Maps
    """Outputs of those layers."""
    output: Tensor
    """Output of the layer."""


def plan_layers(sections: Sequence[Section], size: Size) -> list[PlannedLayer]:
    """Plan the layers after `[net]` for an input of `size`.

    Raises:
        LineageError: A layer does not fit its inputs, or the network is too large.
    """
    net, layers = sections[0], _with_logits(sections[1:])
    _check_input(net, size)
    image = torch.empty(1, 3, *size, device="meta")
    planned: list[PlannedLayer] = []
    weights = values = 0
    for section in layers:
        sources = _sources(section, [layer.section for layer in planned])
        inputs = [image if source == INPUT else planned[source].output for source in sources]
        with torch.device("meta"):
            module = build_layer(section, inputs)
        planned.append(PlannedLayer(section, sources, inputs, _run(section, module, inputs)))
        weights += sum(p.numel() for p in module.parameters())
        values += planned[-1].output.numel()
        if weights > MAX_WEIGHTS or values > MAX_TOTAL_VALUES:
            raise section.error(
                f"expected a network of at most {MAX_WEIGHTS:,} weights and {MAX_TOTAL_VALUES:,} map values per image; "
                f"up to this layer it has {weights:,} and {values:,}"
            )
    _check_logits(planned)
    return planned


def _check_input(net: Section, size: Size) -> None:
    for name, side in zip(("height", "width"), size, strict=True):
        if not 0 < side <= MAX_SIDE:
            raise net.error(f"expected a {name} from 1 to {MAX_SIDE} pixels; got {side}", name)
    if net.integer("channels", 3) != 3:
        raise net.error("expected channels=3: images are RGB", "channels")
    for name in net.conflicting & {"width", "height", "channels", "letter_box"}:
        raise net.error(f"expected one value for {name}; got several", name)


def _sources(section: Section, previous: Sequence[Section]) -> tuple[int, ...]:
    """Return the indices of the layers that a section reads: the previous one, those it names, or both."""
    option = SOURCE_OPTIONS.get(section.kind, "")
    named = [_index(section, option, number, len(previous)) for number in section.integers(option)]
    if not 0 < len(named) <= MAX_SOURCES and option:
        raise section.error(f"expected 1 to {MAX_SOURCES} layers in {option}; got {len(named)}")
    if len(named) > 1 and section.kind in ("scale_channels", "sam"):
        raise section.error("expected one layer; got several", "from")
    sources = tuple(named) if section.kind == "route" else (len(previous) - 1, *named)
    for source in sources:
        if source != INPUT and previous[source].kind in DETECTION:
            raise section.error(f"expected a layer of the network as input; layer {source} is a detection")
    return sources


def _index(section: Section, option: str, number: int, current: int) -> int:
    """Return a layer's index from a number of the cfg, which counts backwards from `current` if negative."""
    index = number if number >= 0 else current + number
    if not 0 <= index < current:
        raise section.error(f"expected a layer before this one, which is layer {current}; got {number}", option)
    return index


def _run(section: Section, module: nn.Module, inputs: Maps) -> Tensor:
    try:
        output: Tensor = module.eval()(*inputs)
    except RuntimeError as error:
        raise section.error(f"expected input maps that fit the layer; got {shapes(inputs)}") from error
    if not 0 < output.numel() <= MAX_MAP_VALUES:
        raise section.error(f"expected a map of at most {MAX_MAP_VALUES:,} values; got {shapes([output])}")
    return output


def _with_logits(layers: Sequence[Section]) -> list[Section]:
    """Remove the logistic activation before `[yolo]` with new_coords: the heads here apply it themselves."""
    changed = list(layers)
    for index, section in enumerate(layers):
        if section.kind == "yolo" and section.integer("new_coords", 0):
            previous = layers[index - 1] if index else section
            if (previous.kind, previous.options.get("activation")) != ("convolutional", "logistic"):
                raise section.error("expected a [convolutional] with activation=logistic before it", "new_coords")
            changed[index - 1] = replace(previous, options={**previous.options, "activation": "linear"})
    return changed


def _check_logits(planned: Sequence[PlannedLayer]) -> None:
    """Raise LineageError if another layer reads one whose logistic activation was removed."""
    for index, layer in enumerate(planned):
        readers = sum(other.sources.count(index - 1) for other in planned)
        if layer.section.integer("new_coords", 0) and readers > 1:
            raise layer.section.error(f"expected to be the only reader of layer {index - 1}", "new_coords")
