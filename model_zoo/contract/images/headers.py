"""Readers of PNG, WebP and BMP headers. JPEG and TIFF have their own modules.

A reader checks the structure of a file without decoding pixels. It returns an `EncodedImage`: the header, and a stream
with only the parts that the pixels need. Metadata, thumbnails and trailing data, where exploits can hide, never reach
the decoder. Readers raise ImageError, or struct.error at an unexpected end of the bytes.

Sources: PNG (W3C, third edition), WebP (RFC 9649), BMP (Windows BITMAPINFOHEADER and its relatives).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from model_zoo.contract.image_size import format_size
from model_zoo.contract.images.tiff import exif_orientation
from model_zoo.contract.images.types import MAX_PARTS, EncodedImage, ImageHeader, damaged, unsupported
from model_zoo.contract.letterbox import Size

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
PNG_GRAY, PNG_PALETTE = (0, 4), 3
PNG_NEEDED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
VP8X_ALPHA = 0x10
BMP_HEADERS = (40, 52, 56, 108, 124)
BMP_COMPRESSIONS = range(4)  # none, RLE8, RLE4, bit fields
BMP_BITS = (1, 4, 8, 16, 24, 32)
BMP_BGR = (0xFF0000, 0xFF00, 0xFF)


class Chunk(NamedTuple):
    """A chunk of a PNG or WebP file."""

    kind: bytes
    """Four-letter type."""
    body: bytes
    """Contents."""
    raw: bytes
    """All bytes, including the header."""


def read_png(data: bytes) -> EncodedImage:
    """Read a PNG up to its IEND chunk."""
    chunks = list(islice(_png_chunks(data), MAX_PARTS + 1))
    first = {chunk.kind: chunk.body for chunk in reversed(chunks)}
    if len(chunks) > MAX_PARTS or b"IEND" not in first or b"IDAT" not in first:
        raise damaged("PNG", f"chunks of pixels and an end within {MAX_PARTS} chunks", f"{len(chunks)} chunks")
    if chunks[0].kind != b"IHDR" or any(c.kind[:1].isupper() and c.kind not in PNG_NEEDED for c in chunks):
        raise unsupported("PNG", "IHDR first and only standard critical chunks", "other chunks")
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", first[b"IHDR"])
    if not height or not width or color not in PNG_CHANNELS:
        raise damaged("PNG", "a size and a color type", f"{width} x {height}, color type {color}")
    row = -(-width * depth * PNG_CHANNELS[color] // 8)
    header = ImageHeader(
        "PNG",
        (height, width),
        orientation=exif_orientation(first.get(b"eXIf", b"")),
        frames=struct.unpack_from(">I", first[b"acTL"])[0] if b"acTL" in first else 1,
        # The decoder writes at least three bytes per pixel. The seven passes of Adam7 take twice the time.
        work=height * max(row, 3 * width) * (2 if interlaced else 1),
        colors="gray" if color in PNG_GRAY else "rgb",
        depth=8 if color == PNG_PALETTE else depth,
    )
    transparency = first.get(b"tRNS")
    has_alpha = color in (4, 6) or (color in (2, 3) and transparency is not None)
    return EncodedImage(
        header,
        PNG_SIGNATURE + b"".join(chunk.raw for chunk in chunks if chunk.kind in PNG_NEEDED),
        alpha="straight" if has_alpha else None,
        transparent_gray=_png_gray_key(transparency, depth) if transparency and color == 0 else None,
    )


def _png_chunks(data: bytes) -> Iterator[Chunk]:
    """Iterate over the chunks up to IEND and verify the checksums of the needed ones."""
    position = len(PNG_SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise damaged("PNG", f"a chunk up to byte {end}", f"the end of the file at {len(data)}")
        if kind in PNG_NEEDED and zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise damaged("PNG", f"a chunk {kind.decode()} that matches its checksum", "other bytes")
        yield Chunk(kind, data[position + 8 : end - 4], data[position:end])
        if kind == b"IEND":
            return
        position = end


def _png_gray_key(transparency: bytes, depth: int) -> int:
    """Return the transparent gray value as decoded: depths below eight bits are scaled to eight."""
    (key,) = struct.unpack_from(">H", transparency)
    return int(key) * 255 // (2**depth - 1) if depth < 8 else int(key)


def read_webp(data: bytes) -> EncodedImage:
    """Read a WebP. An animation of a single frame that fills its canvas is accepted."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:  # some writers count a final padding byte but omit it
        raise damaged("WebP", f"{end} bytes", f"{len(data)}")
    chunks = list(islice(_webp_chunks(data[12:end]), MAX_PARTS + 1))
    frames = [chunk for chunk in chunks if chunk.kind == b"ANMF"]
    if len(frames) == 1:
        chunks += islice(_webp_chunks(frames[0].body[16:]), MAX_PARTS)
    first = {chunk.kind: chunk for chunk in reversed(chunks)}
    pixels = first.get(b"VP8 ") or first.get(b"VP8L")
    canvas = first.get(b"VP8X") or pixels
    if canvas is None or (pixels is None and len(frames) < 2):
        raise damaged("WebP", "a chunk of pixels (VP8 or VP8L)", "none")
    height, width = _webp_size(canvas)
    if pixels is not None and _webp_size(pixels) != (height, width):
        raise damaged("WebP", f"an image as large as its canvas, {width} x {height}", format_size(_webp_size(pixels)))
    exif = first[b"EXIF"].body.removeprefix(b"Exif\0\0") if b"EXIF" in first else b""
    orientation, alpha = exif_orientation(exif), first.get(b"ALPH")
    header = ImageHeader("WebP", (height, width), orientation, max(len(frames), 1), work=4 * height * width)
    return EncodedImage(header, _webp_stream(pixels, canvas, alpha) if pixels else b"", "straight")


def _webp_chunks(body: bytes) -> Iterator[Chunk]:
    position = 0
    while position + 8 <= len(body):
        kind, length = struct.unpack_from("<4sI", body, position)
        end = position + 8 + length
        if end > len(body):
            raise damaged("WebP", f"a chunk up to byte {end}", f"the end of its container at {len(body)}")
        yield Chunk(kind, body[position + 8 : end], body[position:end] + bytes(length % 2))
        position = end + length % 2


def _webp_size(chunk: Chunk) -> Size:
    """Return (height, width) from a VP8X, VP8L or VP8 chunk."""
    if chunk.kind == b"VP8X":
        width, height = (int.from_bytes(chunk.body[at : at + 3], "little") + 1 for at in (4, 7))
    elif chunk.kind == b"VP8L":
        (bits,) = struct.unpack_from("<xI", chunk.body)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<6xHH", chunk.body))
    return height, width


def _webp_stream(pixels: Chunk, canvas: Chunk, alpha: Chunk | None) -> bytes:
    """Build a file of the pixel chunks. The alpha plane of a lossy image needs the extended header."""
    body = pixels.raw
    if alpha is not None and pixels.kind == b"VP8 ":
        extended = struct.pack("<4sIB3x6s", b"VP8X", 10, VP8X_ALPHA, canvas.body[4:10])
        body = extended + alpha.raw + body
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body


def read_bmp(data: bytes) -> EncodedImage:
    """Read a BMP. A negative height means top-down rows.

    The alpha channel is ignored: many writers declare one and leave it zero.
    """
    header_size, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    if header_size not in BMP_HEADERS:
        raise unsupported("BMP", "a Windows bitmap header", f"a header of {header_size} bytes, as in OS/2 bitmaps")
    if compression not in BMP_COMPRESSIONS or bits not in BMP_BITS:
        raise unsupported("BMP", "plain pixels, RLE or bit fields", f"{bits} bits, compression {compression}")
    if compression == 3 and header_size <= 52 and bits == 32 and struct.unpack_from("<III", data, 54) != BMP_BGR:
        raise unsupported("BMP", "bit fields in the order BGR", "another")  # the decoder ignores them
    if width <= 0 or height == 0:
        raise damaged("BMP", "an image of at least one pixel", f"{width} x {height}")
    return EncodedImage(ImageHeader("BMP", (abs(height), width), work=3 * abs(height) * width), data)
