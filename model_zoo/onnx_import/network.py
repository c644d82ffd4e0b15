"""The network in an ONNX file: what its input is, and how to run it."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import format_size, parse_size
from model_zoo.contract.letterbox import Size
from model_zoo.export.synthetic_images import ImageBatch, synthetic_images
from model_zoo.onnx_import.options import Color, Scaling
from model_zoo.onnx_import.reader import first_line, type_name
from model_zoo.runtime.sessions import make_session
from model_zoo.runtime.thread_budget import all_cores

Arrays = Mapping[str, NDArray[Any]]
Runs = Sequence[tuple[ImageBatch, Arrays]]  # images, and their outputs
DTYPES: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.UINT8: "uint8",
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of pixels from 0 to 1
DEFAULT_SIDE, DEFAULT_STRIDE = 640, 32
MIN_SIDE, MAX_SIDE = 32, 4096
SMALL_SIDE = 256
MAX_METADATA: Final = 1_000_000  # characters of one entry that are parsed


@dataclass(frozen=True)
class InputFormat:
    """Format of a network's input."""

    name: str
    """Name of the input for images."""
    dtype: str
    """Data type: float32, float16 or uint8."""
    channels_last: bool
    """(B, H, W, 3) instead of (B, 3, H, W)."""
    dynamic_batch: bool
    """Whether a batch may have several images."""
    size: Size
    """Height and width in pixels."""
    dynamic_size: bool
    """Whether other sizes work."""
    stride: int
    """Step of input sizes."""
    sizes_name: str | None = None
    """Name of a second input (B, 2) with the width and height of the images."""
    color: Color = "rgb"
    """Color order."""
    scaling: Scaling = "unit"
    """Range of pixel values."""

    @property
    def other_size(self) -> Size:
        """A small size, other than the input size, to test a dynamic one with."""
        steps = -(-SMALL_SIDE // self.stride)
        small = (steps * self.stride, (steps + 2) * self.stride)
        return small if small != self.size else (small[1], small[0])

    @property
    def pixels(self) -> tuple[Color, Scaling]:
        """Color order and range of pixel values."""
        return self.color, self.scaling

    def feeds(self, images: ImageBatch) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for images (B, H, W, 3) RGB."""
        pixels = images.astype(np.float32)
        mean, std = (np.asarray(values, dtype=np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD))
        if self.scaling != "none":
            pixels = pixels / np.float32(255)
        if self.scaling == "imagenet":
            pixels = (pixels - mean) / std
        if self.color == "bgr":
            pixels = pixels[..., ::-1]
        if not self.channels_last:
            pixels = pixels.transpose(0, 3, 1, 2)
        feeds: dict[str, NDArray[Any]] = {self.name: np.ascontiguousarray(pixels.astype(self.dtype))}
        if self.sizes_name:
            feeds[self.sizes_name] = np.full((len(images), 2), images.shape[2:0:-1], dtype=np.int64)
        return feeds


class Network:
    """An ONNX file that can be run on images."""

    def __init__(self, model: ModelProto, image_size: Sequence[int] = ()) -> None:
        self.model = model
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.format = _read_format(model, self.metadata, image_size)
        self._session = make_session(model.SerializeToString(), label="the file", threads=all_cores(), optimize=False)

    def run(self, images: ImageBatch) -> Arrays:
        """Return the outputs by name for images (B, H, W, 3) RGB.

        Raises:
            LineageError: ONNX Runtime cannot run the file on them.
        """
        names = [output.name for output in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, self.format.feeds(images))
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            hint = "; for another size, give --image-size" if self.format.dynamic_size else ""
            raise LineageError(
                f"the file cannot be run on {len(images)} images of {format_size(images.shape[1:3])}: "
                f"{first_line(error)}{hint}"
            ) from error
        return {name: np.asarray(value) for name, value in zip(names, outputs, strict=True)}

    def run_each(self, images: ImageBatch) -> Runs:
        """Return each image as a batch of one, with its outputs."""
        return [(image[None], self.run(image[None])) for image in images]

    def limit(self, runs: Runs) -> list[str]:
        """Reduce what the input declares to what works, and return a note for each change.

        Dynamic dimensions are often declared, but not kept by constants inside the graph.

        Args:
            runs: Single images of the input size, with their outputs.
        """
        notes = []
        if self.format.dynamic_size:
            try:
                runs = self.run_each(synthetic_images(self.format.other_size, 2))
            except LineageError:
                self.format = replace(self.format, dynamic_size=False)
                notes.append("fixed size: the file declares a dynamic size, but does not run with another one")
        if self.format.dynamic_batch and not self._keeps_batches(runs[:2]):
            self.format = replace(self.format, dynamic_batch=False)
            notes.append("batch 1: the file declares a dynamic batch, but does not detect the same in one")
        return notes

    def _keeps_batches(self, runs: Runs) -> bool:
        """Return True if images have the same outputs in a batch as alone."""
        try:
            together = self.run(np.concatenate([image for image, _ in runs]))
        except LineageError:
            return False
        alone = {name: np.concatenate([outputs[name] for _, outputs in runs]) for name in together}
        return all(
            together[name].shape == alone[name].shape and np.allclose(together[name], alone[name], 1e-2, 1e-2)
            for name in together
        )


def literal(metadata: Mapping[str, str], key: str) -> Any:
    """Return the Python literal in an entry of metadata, None if there is none."""
    text = metadata.get(key, "")
    if len(text) > MAX_METADATA:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _read_format(model: ModelProto, metadata: Mapping[str, str], image_size: Sequence[int]) -> InputFormat:
    images, sizes_name = _inputs(model)
    kind, shape = images.type.tensor_type.elem_type, _shape(images)
    if kind not in DTYPES:
        raise LineageError(f"input {images.name!r}: expected float32, float16 or uint8 images; got {type_name(kind)}")
    channels_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
    if len(shape) != 4 or shape[3 if channels_last else 1] not in (3, None):
        raise LineageError(
            f"input {images.name!r}: expected images of shape (B, 3, H, W) or (B, H, W, 3); got {_show(shape)}"
        )
    if shape[0] not in (1, None):
        raise LineageError(
            f"input {images.name!r}: expected batch 1 or a dynamic batch; got {shape[0]}; export it with batch 1"
        )
    stride = _stride(metadata)
    size, is_dynamic = _size(shape[1:3] if channels_last else shape[2:], metadata, image_size, stride)
    if any(side % stride for side in size):
        stride = math.gcd(*size, stride)
    return InputFormat(
        images.name,
        DTYPES[kind],
        channels_last,
        shape[0] is None,
        size,
        is_dynamic,
        stride,
        sizes_name,
        scaling="none" if kind == TensorProto.UINT8 else "unit",
    )


def _inputs(model: ModelProto) -> tuple[ValueInfoProto, str | None]:
    """Return the input for images, and the name of the input for their sizes if there is one."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    sizes = [v for v in inputs if v.type.tensor_type.elem_type == TensorProto.INT64 and _shape(v)[1:] == [2]]
    images = [value for value in inputs if value not in sizes]
    if len(images) != 1 or len(sizes) > 1:
        names = ", ".join(f"{v.name[:40]} {_show(_shape(v))}" for v in inputs[:6]) or "none"
        raise LineageError(f"expected one input, images; got {len(inputs)}: {names}")
    return images[0], sizes[0].name if sizes else None


def _shape(value: ValueInfoProto) -> list[int | None]:
    sides = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in sides]


def _show(shape: Sequence[int | None]) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


def _stride(metadata: Mapping[str, str]) -> int:
    value = literal(metadata, "stride")
    value = (
        max(value) if isinstance(value, list | tuple) and value and all(isinstance(v, int) for v in value) else value
    )
    return value if type(value) is int and 1 <= value <= 256 else DEFAULT_STRIDE


def _size(
    declared: Sequence[int | None], metadata: Mapping[str, str], image_size: Sequence[int], stride: int
) -> tuple[Size, bool]:
    """Return the input size (height, width), and whether others work."""
    height, width = declared
    wanted = parse_size(image_size)
    if height and width:
        if wanted not in (None, (height, width)):
            raise LineageError(
                f"--image-size: expected {format_size((height, width))}, the fixed size of the file; got "
                f"{format_size(wanted or ())}; export the file with another size"
            )
        size = (height, width)
    else:
        known = literal(metadata, "imgsz")
        known = [known, known] if isinstance(known, int) else known
        is_size = (
            isinstance(known, list | tuple) and len(known) == 2 and all(isinstance(v, int) and v > 0 for v in known)
        )
        default = (int(known[0]), int(known[1])) if is_size else (DEFAULT_SIDE, DEFAULT_SIDE)
        size = wanted or (height or default[0], width or default[1])
        if any(side % stride for side in size):
            raise LineageError(
                f"expected an input in multiples of the stride, {stride}; got {format_size(size)}: give --image-size"
            )
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise LineageError(f"expected an input of {MIN_SIDE} to {MAX_SIDE} pixels a side; got {format_size(size)}")
    return size, height is None and width is None
