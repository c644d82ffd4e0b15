"""Read the structure of TIFF files and EXIF blocks, which are small TIFFs (TIFF 6.0, sections 2-15 and EXIF 2.32)."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images.types import EncodedImage, ImageHeader, damaged, unsupported
from model_zoo.contract.letterbox import Size

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, ROWS_PER_STRIP, PLANAR, PALETTE = 274, 277, 278, 284, 320
TILE_WIDTH, TILE_HEIGHT, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 322, 323, 338, 339, 50706
STRIPS, TILES = (273, 279), (324, 325)  # tags of their offsets and byte counts
# Tags that the pixels need, also fill order (266) and predictor (317). Not the orientation: the decoder would apply it.
NEEDED = frozenset((*range(256, 260), 262, 266, 273, 277, 278, 279, 284, 317, 320, *range(322, 326), 338, 339))
COMPRESSIONS = (1, 5, 8, 32773, 32946)  # none, LZW, deflate, PackBits, deflate (old number)
# Photometric interpretation -> color channels and supported bits per sample.
LAYOUTS = {0: (1, (1, 8)), 1: (1, (1, 8, 16)), 2: (3, (8, 16)), 3: (1, (4, 8)), 5: (4, (8,))}
COLORS: dict[int, Literal["gray", "cmyk"]] = {0: "gray", 1: "gray", 5: "cmyk"}  # by photometric interpretation
MAX_PAGES, MAX_ENTRIES = 64, 1024
MAX_VALUES = 2**19  # more strips or tiles than any image within the limits has
_TYPES = {1: "B", 3: "H", 4: "I"}


class Entry(NamedTuple):
    """One entry of a directory."""

    tag: int
    """Tag number."""
    kind: int
    """Type of the values."""
    number: int
    """Number of values."""
    raw: bytes
    """The twelve bytes of the entry."""


class Directory:
    """An image file directory at `offset`."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data, self.offset = data, offset
        self.order = "<" if data[:2] == b"II" else ">"
        (count,) = struct.unpack_from(self.order + "H", data, offset)
        if count > MAX_ENTRIES:
            raise damaged("TIFF", f"at most {MAX_ENTRIES} entries in a directory", f"{count}")
        self.end = offset + 2 + 12 * count
        starts = range(offset + 2, self.end, 12)
        entries = [Entry._make((*struct.unpack_from(self.order + "HHI", data, s), data[s : s + 12])) for s in starts]
        self.entries = {entry.tag: entry for entry in reversed(entries)}  # the first entry of a tag counts

    @property
    def next(self) -> int:
        """Offset of the next directory, 0 for the last one."""
        return int(struct.unpack_from(self.order + "I", self.data, self.end)[0])

    def values(self, tag: int, default: int) -> tuple[int, ...]:
        """Return the values of an unsigned integer tag."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _TYPES or not 0 < entry.number <= MAX_VALUES:
            return (default,)
        layout = f"{self.order}{entry.number}{_TYPES[entry.kind]}"
        if self.bytes_of(entry) <= 4:
            return struct.unpack_from(layout, entry.raw, 8)
        (offset,) = struct.unpack_from(self.order + "I", entry.raw, 8)
        return struct.unpack_from(layout, self.data, offset)

    def value(self, tag: int, default: int) -> int:
        """Return the first value of an unsigned integer tag."""
        return self.values(tag, default)[0]

    def bytes_of(self, entry: Entry) -> int:
        """Return the size of an entry's values in bytes."""
        return entry.number * struct.calcsize(_TYPES[entry.kind])

    def reduced_to(self, tags: frozenset[int]) -> bytes:
        """Return the file with only these tags in this directory and no further directory."""
        kept = [entry.raw for tag, entry in sorted(self.entries.items()) if tag in tags]
        body = struct.pack(self.order + "H", len(kept)) + b"".join(kept) + bytes(4)
        return self.data[: self.offset] + body + self.data[self.offset + len(body) :]


def exif_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) of an EXIF block, 1 if it is missing or damaged, as in image viewers."""
    try:
        orientation = first_directory(exif).value(ORIENTATION, 1)
    except (struct.error, ImageError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def first_directory(data: bytes) -> Directory:
    """Return the first directory of a TIFF file."""
    (offset,) = struct.unpack_from("<I" if data[:2] == b"II" else ">I", data, 4)
    return Directory(data, offset)


def read_tiff(data: bytes) -> EncodedImage:
    """Read the first page of a TIFF.

    Raises:
        ImageError: the file is damaged.
        UnsupportedImage: its layout or compression is not supported.
    """
    page = first_directory(data)
    _check_coding(page)
    alpha = _check_layout(page)
    height, width = page.value(HEIGHT, 0), page.value(WIDTH, 0)
    if not height or not width:
        raise damaged("TIFF", "an image of at least one pixel", f"{width} x {height}")
    cell_height, cell_width = _cell(page, height, width)
    down, across = -(-height // cell_height), -(-width // cell_width)
    _check_data(page, down * across)
    bits = page.value(BITS, 1) * page.value(SAMPLES, 1)
    header = ImageHeader(
        "TIFF",
        (height, width),
        orientation=exif_orientation(data),
        frames=_pages(page),
        # The decoder pads the last tiles and decodes to RGBA.
        work=down * cell_height * across * cell_width * max(bits // 8, 4),
        colors=COLORS.get(page.value(PHOTOMETRIC, 0), "rgb"),
        depth=page.value(BITS, 1),
    )
    return EncodedImage(header, page.reduced_to(NEEDED), alpha)


def _check_coding(page: Directory) -> None:
    compression = page.value(COMPRESSION, 1)
    if DNG_VERSION in page.entries or page.value(SUBFILE, 0) & 1:
        raise unsupported("TIFF", "a developed image", "a camera raw file or a thumbnail")
    if compression not in COMPRESSIONS:
        raise unsupported("TIFF", "no compression, LZW, deflate or PackBits", f"compression {compression}")
    if compression == 1 and TILE_WIDTH in page.entries:
        raise unsupported("TIFF", "strips, or compressed tiles", "tiles without compression")
    for entry in page.entries.values():
        if entry.tag in NEEDED and (entry.kind not in _TYPES or page.bytes_of(entry) > len(page.data)):
            raise damaged("TIFF", f"integers inside the file for tag {entry.tag}", f"{entry.number} values")


def _check_layout(page: Directory) -> Literal["straight", "premultiplied"] | None:
    """Check that the decoder supports the layout and return how colors relate to the alpha channel."""
    photometric, samples = page.value(PHOTOMETRIC, 1), page.value(SAMPLES, 1)
    colors, allowed = LAYOUTS.get(photometric, (0, ()))
    bits, formats = page.values(BITS, 1), page.values(SAMPLE_FORMAT, 1)
    extra = samples - colors
    if set(bits) - set(allowed) or len(set(bits)) != 1 or set(formats) != {1}:
        actual = f"photometric {photometric}, bits {sorted(set(bits))}, sample format {sorted(set(formats))}"
        raise unsupported("TIFF", "gray, RGB, palette or CMYK of 8 or 16 bit integers", actual)
    if extra not in ((0, 1) if photometric == 2 else (0,)) or page.value(PLANAR, 1) != 1:
        raise unsupported("TIFF", f"{colors} interleaved channels, or RGB with alpha", f"{samples} channels")
    if photometric == 3 and len(page.values(PALETTE, 0)) != 3 << bits[0]:
        raise damaged("TIFF", f"a palette of 3 x {1 << bits[0]} values", "another")
    if not extra or (kind := page.value(EXTRA_SAMPLES, 0)) not in (1, 2):
        return None
    # libtiff always premultiplies 8-bit colors by alpha, and returns 16-bit colors as stored.
    return "straight" if kind == 2 and bits[0] == 16 else "premultiplied"


def _cell(page: Directory, height: int, width: int) -> Size:
    """Return (height, width) of a tile or strip."""
    if TILE_WIDTH in page.entries:
        return max(page.value(TILE_HEIGHT, 1), 1), max(page.value(TILE_WIDTH, 1), 1)
    return min(max(page.value(ROWS_PER_STRIP, height), 1), height), width


def _check_data(page: Directory, cells: int) -> None:
    """Check that the file contains all strips or tiles: the decoder would leave missing ones blank."""
    starts, lengths = (page.values(tag, 0) for tag in (TILES if TILE_WIDTH in page.entries else STRIPS))
    ends = [start + length for start, length in zip(starts, lengths, strict=False) if length]
    if len(ends) < cells or max(ends) > len(page.data):
        raise damaged(
            "TIFF",
            f"{cells} strips or tiles inside the file's {len(page.data)} bytes",
            f"{len(ends)} up to {max(ends, default=0)}",
        )


def _pages(page: Directory) -> int:
    """Count the directories that are full images, not thumbnails or masks."""
    pages, seen = 1, {page.offset}
    while (offset := page.next) and offset not in seen and len(seen) < MAX_PAGES:
        page = Directory(page.data, offset)
        seen.add(page.offset)
        pages += not page.value(SUBFILE, 0) & 5
    return pages
