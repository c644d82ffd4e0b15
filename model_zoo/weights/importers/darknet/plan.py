"""The layers of a Darknet cfg in order: what each one reads and how large what it gives is, before anything is built.

Everything here runs on the meta device, so that a cfg of absurd sizes costs nothing but its refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model_zoo.contract.letterbox import Size
from model_zoo.weights.importers.darknet.cfg import DETECTION, Section
from model_zoo.weights.importers.darknet.layers import MAX_WEIGHTS, Maps, make, shapes

IMAGE = -1  # stands for the input among the positions of layers
MAX_SIDE = 8192  # pixels of the input
MAX_NUMBERS = 2**28  # of one map of one image; YOLOv4-P5 has one of 2**25
MAX_IN_ALL = 2**31  # of all maps of one image
MAX_SOURCES = 64


class Step(NamedTuple):
    """A layer: its section, the positions of the layers it reads, the maps these give, the map it gives."""

    section: Section
    sources: tuple[int, ...]
    inputs: Maps
    output: Tensor


def plan(sections: Sequence[Section], size: Size) -> list[Step]:
    """Lay out the layers after [net] for an input of `size`; LineageError with file and line where they do not fit."""
    net, layers = sections[0], _with_logits(sections[1:])
    _check_input(net, size)
    image = torch.empty(1, 3, *size, device="meta")
    steps: list[Step] = []
    weights = numbers = 0
    for section in layers:
        sources = _sources(section, [step.section for step in steps])
        inputs = [image if source == IMAGE else steps[source].output for source in sources]
        with torch.device("meta"):
            module = make(section, inputs)
        steps.append(Step(section, sources, inputs, _run(section, module, inputs)))
        weights += sum(p.numel() for p in module.parameters())
        numbers += steps[-1].output.numel()
        if weights > MAX_WEIGHTS or numbers > MAX_IN_ALL:
            raise section.problem(
                f"expected a network of at most {MAX_WEIGHTS:,} weights, and {MAX_IN_ALL:,} numbers in the maps of "
                f"one image; up to here it has {weights:,} and {numbers:,}"
            )
    _check_logits(steps)
    return steps


def _check_input(net: Section, size: Size) -> None:
    for name, side in zip(("height", "width"), size, strict=True):
        if not 0 < side <= MAX_SIDE:
            raise net.problem(f"expected a {name} from 1 to {MAX_SIDE} pixels; got {side}", name)
    if net.integer("channels", 3) != 3:
        raise net.problem("expected channels=3: images are RGB", "channels")
    for name in net.contested & {"width", "height", "channels", "letter_box"}:
        raise net.problem(f"expected one value for {name}; there are several", name)


def _sources(section: Section, before: Sequence[Section]) -> tuple[int, ...]:
    """List the positions that a layer reads: the layer before it, or those it names, or both."""
    named = [_position(section, named, len(before)) for named in section.integers(_naming(section))]
    if not 0 < len(named) <= MAX_SOURCES and section.kind in NAMING:
        raise section.problem(f"expected 1 to {MAX_SOURCES} layers in {_naming(section)}; got {len(named)}")
    if len(named) > 1 and section.kind in ("scale_channels", "sam"):
        raise section.problem("expected one layer; got several", "from")
    sources = tuple(named) if section.kind == "route" else (len(before) - 1, *named)
    for source in sources:
        if source != IMAGE and before[source].kind in DETECTION:
            raise section.problem(f"expected to read a layer of the network; layer {source} is a detection")
    return sources


NAMING = {"route": "layers", "shortcut": "from", "scale_channels": "from", "sam": "from"}


def _naming(section: Section) -> str:
    return NAMING.get(section.kind, "")


def _position(section: Section, named: int, here: int) -> int:
    """Return the position that a layer at `here` names: from the start, or backwards where negative."""
    position = named if named >= 0 else here + named
    if not 0 <= position < here:
        raise section.problem(f"expected a layer before this one, which is layer {here}; got {named}", _naming(section))
    return position


def _run(section: Section, module: nn.Module, inputs: Maps) -> Tensor:
    try:
        output: Tensor = module.eval()(*inputs)
    except RuntimeError as error:
        raise section.problem(f"expected maps that fit the layer; got {shapes(inputs)}") from error
    if not 0 < output.numel() <= MAX_NUMBERS:
        raise section.problem(f"expected a map of at most {MAX_NUMBERS:,} numbers; got {shapes([output])}")
    return output


def _with_logits(layers: Sequence[Section]) -> list[Section]:
    """Leave the logistic out before [yolo] with new_coords: our heads apply it themselves."""
    changed = list(layers)
    for index, section in enumerate(layers):
        if section.kind == "yolo" and section.integer("new_coords", 0):
            before = layers[index - 1] if index else section
            if (before.kind, before.options.get("activation")) != ("convolutional", "logistic"):
                raise section.problem("expected a [convolutional] with activation=logistic before it", "new_coords")
            changed[index - 1] = replace(before, options={**before.options, "activation": "linear"})
    return changed


def _check_logits(steps: Sequence[Step]) -> None:
    """Refuse other readers of a layer that has lost its logistic."""
    for index, step in enumerate(steps):
        if step.section.integer("new_coords", 0) and sum(other.sources.count(index - 1) for other in steps) > 1:
            raise step.section.problem(f"expected to be the only one that reads layer {index - 1}", "new_coords")
