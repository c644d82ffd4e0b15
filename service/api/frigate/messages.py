"""Messages of Frigate: a header as JSON and a tensor, answered by rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from model_zoo.contract.image_size import MAX_SIDE
from service.api.errors import BadRequest
from service.inference.query import QueryOptions
from service.inference.results import ImageResult

ROWS: Final = 20
COLUMNS: Final = 6
NO_DETECTIONS: Final = bytes(4 * ROWS * COLUMNS)
QUERY: Final = QueryOptions(score=0.4, max_detections=ROWS, clamp=True)
MAX_HEADER: Final = 4096
_EXPECTED: Final = 'expected JSON such as {"shape": [1, 320, 320, 3], "dtype": "uint8"} in the first frame'
Frames = Sequence[bytes | memoryview]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Header(BaseModel):
    """The first frame: a question about a model, the announcement of one, or the form of a tensor."""

    model_request: bool = False
    model_data: bool = False
    shape: tuple[Literal[1], Side, Side, Side] | None = None
    dtype: Literal["uint8", "float32"] = "uint8"


@dataclass(frozen=True)
class Tensor:
    """An RGB image as (1, H, W, 3) or (1, 3, H, W), uint8, or float32 in 0 to 1 or 0 to 255."""

    shape: tuple[int, int, int, int]
    """Shape of the numbers."""
    dtype: Literal["uint8", "float32"]
    """Type of the numbers."""
    data: bytes | memoryview
    """The numbers, little-endian."""

    def pixels(self) -> NDArray[np.uint8]:
        """Return the image (H, W, 3). That of a uint8 tensor (1, H, W, 3) is a view."""
        kind = np.dtype(self.dtype).newbyteorder("<")
        array = np.frombuffer(self.data, kind).reshape(self.shape)[0]
        if self.shape[3] != 3:
            array = array.transpose(1, 2, 0)
        return np.ascontiguousarray(array if self.dtype == "uint8" else _to_uint8(array))


def read_header(frames: Frames) -> Header:
    """Parse the first frame of a request.

    Raises:
        BadRequest: it is missing, too long, or not a header.
    """
    if not frames or len(frames[0]) > MAX_HEADER:
        raise BadRequest(f"{_EXPECTED}; got {f'{len(frames[0]):,} bytes' if frames else 'no frame'}")
    try:
        return Header.model_validate_json(bytes(frames[0]))
    except ValidationError as error:
        raise BadRequest(f"{_EXPECTED}; got {bytes(frames[0])[:100]!r}") from error


def read_tensor(header: Header, frames: Frames) -> Tensor:
    """Return the tensor of a request.

    Raises:
        BadRequest: the header has no shape of an image, or the second frame does not fit it.
    """
    shape = header.shape
    if shape is None or 3 not in (shape[1], shape[3]):
        raise BadRequest(f"shape: expected [1, height, width, 3] or [1, 3, height, width]; got {shape}")
    size = int(np.prod(shape)) * np.dtype(header.dtype).itemsize
    if len(frames) != 2 or len(frames[1]) != size:
        sizes = " and ".join(f"{len(frame):,} bytes" for frame in frames[1:3]) or "none"
        raise BadRequest(f"tensor: expected one frame of {size:,} bytes after the header; got {sizes}")
    return Tensor(shape, header.dtype, frames[1])


def encode(image: ImageResult) -> bytes:
    """Return 20 rows of class index, score, y_min, x_min, y_max, x_max in 0 to 1, with zeros after the last one."""
    found, (height, width) = image.detections, image.size
    rows = np.zeros((ROWS, COLUMNS), dtype="<f4")
    rows[: len(found), 0] = found.class_ids
    rows[: len(found), 1] = found.scores
    rows[: len(found), 2:] = (found.boxes / (width, height, width, height))[:, [1, 0, 3, 2]]
    return rows.tobytes()


def _to_uint8(array: NDArray[np.float32]) -> NDArray[np.uint8]:
    array = np.clip(np.nan_to_num(array), 0, 255)
    if array.max() <= 1:
        array *= 255
    return np.rint(array).astype(np.uint8)
