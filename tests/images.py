"""Image files built byte by byte, in variants that no library writes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient_image(height: int = 37, width: int = 53) -> Image.Image:
    """An image with a different color at every position, so that any rotation or swap shows."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), x * y % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


# PNG


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ihdr(height: int, width: int, depth: int = 8, color: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))


def png_of(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks) + chunk(b"IEND")


def png(pixels: Pixels, color: int, *extra: bytes) -> bytes:
    """A PNG of 8 or 16 bits, with chunks between header and pixels."""
    rows = pixels.reshape(len(pixels), -1)
    raw = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows)
    header = ihdr(pixels.shape[0], pixels.shape[1], pixels.dtype.itemsize * 8, color)
    return png_of(header, *extra, chunk(b"IDAT", zlib.compress(raw)))


def flat_png(height: int, width: int, depth: int = 8, color: int = 2) -> bytes:
    """A black PNG of any size, compressed row by row."""
    row = bytes(1 + -(-width * depth * PNG_CHANNELS[color] // 8))
    pack = zlib.compressobj()
    raw = b"".join(pack.compress(row * min(64, height - top)) for top in range(0, height, 64)) + pack.flush()
    return png_of(ihdr(height, width, depth, color), chunk(b"IDAT", raw))


def repaired_png(data: bytes) -> bytes:
    """The same bytes with valid chunk checksums. Other files are returned unchanged."""
    repaired, position = bytearray(data), len(PNG_SIGNATURE)
    while data.startswith(PNG_SIGNATURE) and position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        repaired[end - 4 : end] = struct.pack(">I", zlib.crc32(data[position + 4 : end - 4]))
        position = end
    return bytes(repaired[: len(data)])


# JPEG


def segment(marker: int, body: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def frame(height: int, width: int, marker: int = 0xC2, depth: int = 8, factors: Sequence[int] = (0x11,)) -> bytes:
    parts = b"".join(bytes([i + 1, factor, 0]) for i, factor in enumerate(factors))
    return segment(marker, struct.pack(">BHHB", depth, height, width, len(factors)) + parts)


def scan(coded: bytes, components: Iterable[int] = (1,), band: tuple[int, int] = (0, 0), refine: int = 0) -> bytes:
    parts = b"".join(bytes([component, 0]) for component in components)
    return segment(0xDA, bytes([len(parts) // 2]) + parts + bytes([*band, refine])) + coded


def jpeg_tables() -> bytes:
    """Quantization by one, and two-bit Huffman codes: DC 0, AC end of 2**14 blocks, and one coefficient."""
    codes = [(0x00, [0]), (0x10, [0xE0, 0x01])]
    huffman = b"".join(segment(0xC4, bytes([k, 0, len(s), *[0] * 14, *s])) for k, s in codes)
    return segment(0xDB, b"\0" + b"\1" * 64) + huffman


def scan_bomb(height: int, width: int, scans: int, band: tuple[int, int] = (1, 63), refine: int = 0x10) -> bytes:
    """A progressive JPEG whose scans are a few bytes each but make the decoder visit every coefficient."""
    blocks = -(-height // 8) * -(-width // 8)
    run = ("00" + "1" * 14) * -(-blocks // 32767)
    coded = int(run, 2).to_bytes(len(run) // 8).replace(b"\xff", b"\xff\0")
    first = scan(bytes(-(-blocks // 4)))
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_tables(),
            frame(height, width),
            first,
            scan(coded, band=band, refine=refine) * scans,
            b"\xff\xd9",
        )
    )


def flat_jpeg(height: int, width: int) -> bytes:
    return scan_bomb(height, width, 0)


def striped_jpeg(side: int, red: int = 56) -> bytes:
    """A square JPEG with lines: two of every eight columns are red. At an eighth of its size it has a quarter of it."""
    columns = np.tile([0, 0, 0, red, red, 0, 0, 0], side // 8)
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[..., 0] = columns
    return encode(Image.fromarray(pixels), "JPEG", quality=100, subsampling=0)


def damaged_jpeg(height: int = 48, width: int = 64) -> bytes:
    """A progressive JPEG of noise whose last scan is cut short. libjpeg decodes it and prints a message."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = encode(Image.fromarray(pixels), "JPEG", progressive=True)
    return data[:-200].rstrip(b"\xff") + b"\xff\xd9"


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF directory with only the orientation, as in EXIF blocks."""
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return head + struct.pack(order + "HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    return jpeg[:2] + segment(0xE1, b"Exif\0\0" + block) + jpeg[2:]


# WebP


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp_of(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(height: int, width: int, flags: int = 0) -> bytes:
    return riff_chunk(
        b"VP8X", struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


# TIFF

Entry = tuple[int, int, Sequence[int]]  # tag, type (3 short, 4 long), values


def tiff_of(entries: Iterable[Entry], data: bytes = b"", order: str = "<", following: int = 0) -> bytes:
    """A TIFF of one directory: header of eight bytes, `data`, the directory, its long values."""
    entries = sorted(entries)
    at = 8 + len(data) + len(data) % 2
    values_at, values, fields = at + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, numbers in entries:
        body = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        inline = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack(order + "I", values_at + len(values))
        values += body if len(body) > 4 else b""
        fields += struct.pack(order + "HHI", tag, kind, len(numbers)) + inline
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, at)
    directory = struct.pack(order + "H", len(entries)) + fields + struct.pack(order + "I", following)
    return head + data + bytes(len(data) % 2) + directory + values


def tiff_entries(height: int, width: int, **changes: Entry) -> dict[int, Entry]:
    """Entries of an 8-bit gray image of one strip. `changes` replaces or adds entries by tag (`t259=...`)."""
    plain: list[Entry] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [8]),
        (259, 3, [1]),
        (262, 3, [1]),
        (273, 4, [8]),
        (277, 3, [1]),
        (278, 4, [height]),
        (279, 4, [height * width]),
    ]
    entries = {entry[0]: entry for entry in plain}
    return {**entries, **{int(name[1:]): entry for name, entry in changes.items()}}


def tiff(
    pixels: Pixels,
    order: str = "<",
    *,
    photometric: int | None = None,
    extra: int | None = None,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    deflate: bool = False,
    tags: Iterable[Entry] = (),
) -> bytes:
    """A TIFF of 8 or 16 bits in strips of `rows`, or in tiles of (height, width)."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    cell_height, cell_width = tile or (rows or height, width)
    blocks = []
    for top in range(0, height, cell_height):
        for left in range(0, width, cell_width):
            cell = pixels[top : top + cell_height, left : left + cell_width]
            missing = [(0, cell_height - cell.shape[0]), (0, cell_width - cell.shape[1])] if tile else [(0, 0), (0, 0)]
            padded = np.pad(cell, missing + [(0, 0)] * (pixels.ndim - 2))
            raw = padded.astype(padded.dtype.newbyteorder(order)).tobytes()
            blocks.append(zlib.compress(raw) if deflate else raw)
    starts = [8 + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    lengths = [len(block) for block in blocks]
    entries: list[Entry] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [pixels.dtype.itemsize * 8] * channels),
        (259, 3, [8 if deflate else 1]),
        (262, 3, [photometric if photometric is not None else (2 if channels >= 3 else 1)]),
        (277, 3, [channels]),
        *([(322, 4, [cell_width]), (323, 4, [cell_height])] if tile else [(278, 4, [cell_height])]),
        (324 if tile else 273, 4, starts),
        (325 if tile else 279, 4, lengths),
        *([(338, 3, [extra])] if extra is not None else []),
        *tags,
    ]
    return tiff_of(entries, b"".join(blocks), order)


# BMP


def bmp(
    data: bytes,
    height: int,
    width: int,
    bits: int,
    *,
    compression: int = 0,
    header: int = 40,
    masks: Sequence[int] = (),
    palette: bytes = b"",
) -> bytes:
    info = struct.pack(
        "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0
    )
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


def bmp_rows(pixels: Pixels) -> bytes:
    """Bottom-up rows, each padded to four bytes."""
    return b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in pixels[::-1])
