"""Read and decode HEIF images (HEIC), as phones write them: an HEVC-coded image, or a grid of such tiles.

The structure of a file is checked here (see `heif_boxes`), so that the size and the work of decoding are known before.
The package pillow-heif decodes. It applies rotation, mirroring and cropping of HEIF. EXIF orientation repeats
them, and is ignored. Of several images in a file, the primary one counts: bursts, thumbnails and depth maps do not.
"""

from __future__ import annotations

import math
import types
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.errors import UnsupportedImage
from model_zoo.contract.image_size import format_size
from model_zoo.contract.images.heif_boxes import FORMAT, Items, read_items
from model_zoo.contract.images.types import FORMATS, EncodedImage, ImageHeader, damaged, error_text, unsupported

if TYPE_CHECKING:
    from pillow_heif import HeifImage

MIN_TILE_PIXELS: Final = 2**14  # a smaller tile takes as much time, for a decoder of its own
_ALPHA: Final = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
_ERRORS: Final = (ValueError, EOFError, SyntaxError, RuntimeError, OSError, MemoryError)  # those of pillow-heif
_INSTALL: Final = "convert it to one of these, or install what decodes it: pip install 'yolo-lineage[heif]'"


def read_heif(data: bytes) -> EncodedImage:
    """Read a HEIF image. Size and orientation are those of the image as displayed.

    Raises:
        UnsupportedImage: pillow-heif is not installed, or the primary image is not coded with HEVC.
        ImageError: the file is damaged.
    """
    _library()
    items = read_items(data)
    pixels = _decoded_pixels(items, len(data))
    image = _open(items.stream)
    width, height = image.size
    depth: Any = image.info["bit_depth"]
    header = ImageHeader(
        FORMAT,
        (height, width),
        work=3 * pixels * (2 if depth > 8 else 1),
        colors="gray" if image.mode.startswith(("L", "I")) else "rgb",
        depth=depth,
    )
    if not image.has_alpha:
        return EncodedImage(header, items.stream)
    return EncodedImage(header, items.stream, "premultiplied" if image.premultiplied_alpha else "straight")


def decode_heif(encoded: EncodedImage) -> NDArray[Any]:
    """Return the pixels in gray, BGR or BGRA.

    Raises:
        ImageError: the file is damaged.
    """
    size = encoded.header.size
    expected = f"{format_size(size)} pixels that libheif can decode"
    try:
        pixels = np.asarray(_open(encoded.stream))
    except _ERRORS as error:
        raise damaged(FORMAT, expected, _refusal(error)) from error
    if pixels.shape[:2] != size:
        raise damaged(FORMAT, expected, format_size(pixels.shape))
    return pixels


def _open(data: bytes) -> HeifImage:
    """Return the primary image, not yet decoded."""
    try:
        images = _library().open_heif(data, bgr_mode=True)
    except _ERRORS as error:
        raise damaged(FORMAT, "images that libheif can read", _refusal(error)) from error
    primary: HeifImage | None = next((image for image in images if image.info["primary"]), None)
    if primary is None:
        raise damaged(FORMAT, "a primary image that libheif can read", "none")
    return primary


def _refusal(error: Exception) -> str:
    return f"data that it refuses ({' '.join(str(error).split()) or type(error).__name__})"


def _library() -> types.ModuleType:
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise UnsupportedImage(error_text("the file", FORMATS, "a HEIC image", _INSTALL)) from error
    return pillow_heif


def _decoded_pixels(items: Items, file_size: int) -> int:
    """Return how many pixels are decoded for the primary image and its transparency.

    Each coded image counts as often as it is decoded. Together they are as large as the file at most.
    """
    coded = _coded_items(items, items.primary)
    masks = _masks(items, {items.primary, *coded})
    counts = Counter([*coded, *(item for mask in masks for item in _coded_items(items, mask))])
    length = sum(count * items.lengths[item] for item, count in counts.items())
    if length > file_size:
        raise damaged(FORMAT, f"images of at most {file_size:,} bytes, as the file", f"{length:,} with repetitions")
    return sum(count * max(math.prod(items.size(item)), MIN_TILE_PIXELS) for item, count in counts.items())


def _coded_items(items: Items, item: int) -> list[int]:
    """Return the items that are decoded for an image: itself, or the tiles of a grid."""
    coded = items.references[b"dimg", item] if items.kinds.get(item) == b"grid" else [item]
    others = {items.kinds.get(item, b"none") for item in coded} - {b"hvc1"}
    if others or not coded:
        found = ", ".join(sorted(kind.decode("ascii", "replace") for kind in others)) or "an empty grid"
        raise unsupported(FORMAT, "an image, or a grid of tiles, coded with HEVC (hvc1)", found)
    return coded


def _masks(items: Items, images: set[int]) -> list[int]:
    """Return the items that are the transparency of images."""
    return [
        item
        for (kind, item), targets in items.references.items()
        if kind == b"auxl" and not images.isdisjoint(targets) and _is_alpha(items, item)
    ]


def _is_alpha(items: Items, item: int) -> bool:
    kinds = [bytes(box.body[4:]) for box in items.properties[item] if box.kind == b"auxC"]
    return any(kind.startswith(_ALPHA) for kind in kinds)
