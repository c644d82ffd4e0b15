"""Malformed, malicious and unusual image files, all built by code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

import numpy as np

from tests.images import (
    bmp,
    bmp_rows,
    chunk,
    encode,
    exif,
    flat_jpeg,
    flat_png,
    frame,
    gradient_image,
    ihdr,
    jpeg_tables,
    png_of,
    riff_chunk,
    scan,
    scan_bomb,
    segment,
    tiff,
    tiff_entries,
    tiff_of,
    vp8x,
    webp_of,
    with_exif,
)
from tests.non_image_files import NON_IMAGE_FILES


class MalformedFile(NamedTuple):
    """A request body that must raise ImageError, or an unusual but valid one that must decode."""

    name: str
    data: bytes
    refused: bool = True


Files = Iterator[MalformedFile]


@cache
def malformed_files() -> list[MalformedFile]:
    """Return all files. Names are unique."""
    groups = (_other_types, _cut, _flipped, _jpeg, _png, _webp, _tiff, _tiff_directories, _bmp)
    return list(chain.from_iterable(group() for group in groups))


def ordinary_files() -> dict[str, bytes]:
    """Return one small, valid file of every coding."""
    image, alpha = gradient_image(), gradient_image().convert("RGBA")
    alpha.putalpha(gradient_image().convert("L"))
    return {
        "jpeg": encode(image, "JPEG"),
        "jpeg progressive": encode(image, "JPEG", progressive=True),
        "jpeg cmyk": encode(image.convert("CMYK"), "JPEG"),
        "jpeg restarts": encode(image, "JPEG", restart_marker_blocks=2),
        "png": encode(image, "PNG"),
        "png palette": encode(image.quantize(16), "PNG"),
        "png alpha": encode(alpha, "PNG"),
        "webp": encode(image, "WEBP"),
        "webp lossless": encode(image, "WEBP", lossless=True),
        "webp alpha": encode(alpha, "WEBP"),
        "tiff": tiff(np.asarray(image)),
        "tiff deflate": tiff(np.asarray(image), ">", deflate=True, rows=5),
        "tiff lzw": encode(image, "TIFF", compression="tiff_lzw"),
        "bmp": encode(image, "BMP"),
        "bmp palette": encode(image.quantize(16), "BMP"),
    }


def _other_types() -> Files:
    yield from (MalformedFile(f"type {name}", head) for name, head in NON_IMAGE_FILES.items())
    jpeg = ordinary_files()["jpeg"]
    for name in ("gif", "pdf", "zip", "html", "mp4", "script"):
        yield MalformedFile(f"polyglot {name} before jpeg", NON_IMAGE_FILES[name] + jpeg)
    for name in ("line end", "null", "svg with bom"):
        yield MalformedFile(f"{name} before png", NON_IMAGE_FILES[name] + ordinary_files()["png"])
    yield MalformedFile("too many bytes", jpeg + bytes(20 * 1024**2))


def _cut() -> Files:
    for name, data in ordinary_files().items():
        for part in (0.02, 0.1, 0.5, 0.9):
            yield MalformedFile(f"{name} cut to {part:.0%}", data[: int(len(data) * part)])
        yield MalformedFile(f"{name} without its last 24 bytes", data[:-24])


def _flipped() -> Files:
    """Damage that the structure of a file reveals."""
    for name, data in ordinary_files().items():
        yield MalformedFile(f"{name} with a broken signature", bytes([data[0] ^ 0x20]) + data[1:])
        if not name.startswith("tiff"):  # in TIFF, pixels come first
            yield MalformedFile(f"{name} with zeros for a header", data[:16] + bytes(48) + data[64:])
    for kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
        data = bytearray(ordinary_files()["png palette"])
        data[data.index(kind) + (4 if kind != b"IEND" else 5)] ^= 1
        yield MalformedFile(f"png with a flipped bit in {kind.decode()}", bytes(data))


def _jpeg() -> Files:
    good, progressive = ordinary_files()["jpeg"], ordinary_files()["jpeg progressive"]
    scan_at = good.index(b"\xff\xda")
    yield MalformedFile("jpeg scan bomb of 8000 x 8000", scan_bomb(8000, 8000, 100))
    yield MalformedFile("jpeg scan bomb in 435 kB", scan_bomb(4000, 5000, 4500))
    yield MalformedFile("jpeg of 100,000 scans", scan_bomb(8, 8, 100_000))
    yield MalformedFile("jpeg scan bomb of wide bands", scan_bomb(2048, 2048, 400, band=(0, 63)))
    yield MalformedFile("jpeg of 60,000 empty sequential scans", _empty_scans(256, 256, 60_000))
    yield MalformedFile("jpeg of 400 scans declared as short", _empty_scans(2048, 2048, 400, band=(0, 0)))
    same = flat_jpeg(8, 8).replace(frame(8, 8), frame(8, 8, factors=(0x11,) * 3).replace(b"\2\x11\0\3", b"\1\x11\0\1"))
    yield MalformedFile("jpeg of three components of one name", same)
    yield MalformedFile("jpeg of 20 small scans", scan_bomb(64, 64, 20), refused=False)
    yield MalformedFile("jpeg of 65500 x 65500", flat_jpeg(64, 64).replace(frame(64, 64), frame(65500, 65500)))
    yield MalformedFile("jpeg of 65535 x 1 in one block", flat_jpeg(8, 8).replace(frame(8, 8), frame(65535, 65535)))
    yield MalformedFile("jpeg of no height (DNL)", flat_jpeg(8, 8).replace(frame(8, 8), frame(0, 8)))
    yield MalformedFile("jpeg of no width", flat_jpeg(8, 8).replace(frame(8, 8), frame(8, 0)))
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF):
        yield MalformedFile(f"jpeg frame {marker:X}", flat_jpeg(8, 8).replace(frame(8, 8), frame(8, 8, marker)))
    yield MalformedFile("jpeg of 12 bits", flat_jpeg(8, 8).replace(frame(8, 8), frame(8, 8, 0xC1, depth=12)))
    for factors in ((), (0x11,) * 2, (0x11,) * 5, (0x11,) * 255, (0x00,), (0xFF,), (0x11, 0x00, 0x11), (0x51,)):
        sampled = frame(8, 8, factors=factors)
        name = f"jpeg of {len(factors)} components sampled {bytes(factors[:3]).hex(' ')}"
        yield MalformedFile(name, flat_jpeg(8, 8).replace(frame(8, 8), sampled))
    yield MalformedFile("jpeg that codes two of three components", _two_of_three())
    yield MalformedFile(
        "jpeg of two frames", good[:scan_at] + frame(37, 53, 0xC0, factors=(0x11,) * 3) + good[scan_at:]
    )
    yield MalformedFile("jpeg without a frame", b"\xff\xd8" + jpeg_tables() + scan(bytes(8)) + b"\xff\xd9")
    yield MalformedFile("jpeg without a scan", good[:scan_at] + b"\xff\xd9")
    yield MalformedFile("jpeg without tables", b"\xff\xd8" + frame(8, 8, 0xC0) + scan(bytes(8)) + b"\xff\xd9")
    yield MalformedFile("jpeg scan before its frame", b"\xff\xd8" + scan(bytes(8)) + flat_jpeg(8, 8)[2:])
    yield MalformedFile("jpeg without content", b"\xff\xd8\xff\xd9")
    yield MalformedFile("jpeg of only a start marker", b"\xff\xd8\xff")
    yield MalformedFile("jpeg with a segment of length 0", b"\xff\xd8\xff\xe0\0\0" + good[2:])
    yield MalformedFile("jpeg with a segment of length 1", b"\xff\xd8\xff\xe0\0\1" + good[2:])
    yield MalformedFile("jpeg with a segment longer than itself", b"\xff\xd8\xff\xe1\xff\xff" + good[2:])
    yield MalformedFile("jpeg of an empty frame header", b"\xff\xd8" + segment(0xC0) + good[scan_at:])
    yield MalformedFile("jpeg of an empty scan header", good[:scan_at] + segment(0xDA) + b"\xff\xd9")
    yield MalformedFile("jpeg of 200,000 comments", good[:2] + segment(0xFE) * 200_000 + good[2:])
    yield MalformedFile("jpeg of 10,000 comments", good[:2] + segment(0xFE) * 10_000 + good[2:], refused=False)
    yield MalformedFile("jpeg with a megabyte of fill bytes", good[:2] + b"\xff" * 1_000_000 + good[2:], refused=False)
    yield MalformedFile("jpeg of only restart markers", good[:2] + b"\xff\xd0" * 2_000_000)
    wide = segment(0xDA, bytes([255]) + bytes(513))
    yield MalformedFile("jpeg of 10,000 scans of 255 components", flat_jpeg(8, 8)[:-2] + wide * 10_000 + b"\xff\xd9")
    yield MalformedFile("jpeg that ends too early", good[: scan_at + (len(good) - scan_at) // 2] + b"\xff\xd9")
    yield MalformedFile("jpeg progressive without an end", progressive[:-2])
    yield MalformedFile("jpeg without an end", good[:-2], refused=False)
    for name, more in {
        "zip": b"PK\x03\x04" * 9,
        "second jpeg": good,
        "video": b"\0\0\0\x18ftypmp42",
        "zeros": bytes(999),
    }.items():
        yield MalformedFile(f"jpeg followed by {name}", good + more, refused=False)
    for name, block in _exif_blocks():
        yield MalformedFile(f"jpeg exif {name}", with_exif(good, block), refused=False)


def _two_of_three() -> bytes:
    data = b"\xff\xd8" + jpeg_tables() + frame(8, 8, 0xC2, factors=(0x11,) * 3)
    return data + scan(bytes(8), (1,)) + scan(bytes(8), (2,)) + b"\xff\xd9"


def _empty_scans(height: int, width: int, scans: int, band: tuple[int, int] = (0, 63)) -> bytes:
    scans_of_nothing = scan(b"", band=band, refine=0) * scans
    return b"\xff\xd8" + jpeg_tables() + frame(height, width, 0xC0) + scans_of_nothing + b"\xff\xd9"


def _exif_blocks() -> Iterator[tuple[str, bytes]]:
    block = exif(6)
    yield "empty", b""
    yield "of noise", bytes(range(256)) * 4
    yield "cut short", block[:15]
    yield "of 65,535 entries", block[:8] + b"\xff\xff" + block[10:]
    yield "that points beyond its end", block[:4] + b"\xff\xff\xff\x7f" + block[8:]
    yield "that points at itself", block[:4] + bytes(4) + block[8:]
    yield "whose next directory is its first", block[:-4] + struct.pack("<I", 8)
    yield "of four billion values", block[:14] + b"\xff\xff\xff\xff" + block[18:]
    yield "of an unknown type", block[:12] + b"\xff\xff" + block[14:]
    yield "of orientation 0", exif(0)
    yield "of orientation 9", exif(9, ">")
    yield "of orientation 65,535", exif(65535)


def _png() -> Files:
    good = ordinary_files()["png"]
    pixels = chunk(b"IDAT", zlib.compress(bytes(4)))
    bomb = zlib.compress(bytes(30_000_000))
    head, body, end = good[:33], good[33:-12], good[-12:]
    for height, width in (
        (16_000, 16_000),
        (30_000, 30_000),
        (2**31 - 1, 2**31 - 1),
        (2**32 - 1, 1),
        (1, 100_000),
        (0, 1),
        (1, 0),
    ):
        yield MalformedFile(f"png of {height} x {width}", png_of(ihdr(height, width), pixels))
    yield MalformedFile("png of 16000 x 16000 with all its pixels", flat_png(16_000, 16_000, 1, 0))
    yield MalformedFile("png of 8000 x 8000, 16 bits and alpha", png_of(ihdr(8000, 8000, 16, 6), pixels))
    yield MalformedFile("png of 8000 x 8000, interlaced", png_of(ihdr(8000, 8000, 8, 2, 1), pixels))
    for depth, color in ((0, 2), (3, 0), (32, 2), (8, 1), (8, 5), (8, 7), (1, 2), (16, 3), (255, 255)):
        yield MalformedFile(f"png of depth {depth}, color type {color}", png_of(ihdr(1, 1, depth, color), pixels))
    yield MalformedFile("png interlaced by method 9", png_of(ihdr(1, 1, 8, 2, 9), pixels))
    yield MalformedFile("png of fewer pixels than declared", png_of(ihdr(100, 100), pixels))
    yield MalformedFile("png of pixels that are no zlib stream", png_of(ihdr(1, 1), chunk(b"IDAT", b"no zlib")))
    yield MalformedFile("png of a bad filter", png_of(ihdr(1, 1), chunk(b"IDAT", zlib.compress(b"\x09abc"))))
    yield MalformedFile("png of an empty IDAT", png_of(ihdr(1, 1), chunk(b"IDAT")))
    yield MalformedFile("png without IDAT", png_of(ihdr(1, 1)))
    yield MalformedFile("png without IEND", good[:-12])
    yield MalformedFile("png without chunks", good[:8])
    yield MalformedFile("png without IHDR", png_of(pixels))
    yield MalformedFile("png whose IHDR comes late", png_of(pixels, ihdr(1, 1)))
    yield MalformedFile("png of two IHDR", png_of(ihdr(1, 1), ihdr(9999, 9999), pixels))
    yield MalformedFile("png of a short IHDR", png_of(chunk(b"IHDR", b"\0\0\0\1"), pixels))
    yield MalformedFile("png without its palette", png_of(ihdr(1, 1, 8, 3), chunk(b"IDAT", zlib.compress(bytes(2)))))
    yield MalformedFile("png of an unknown critical chunk", head + chunk(b"ABCD") + body + end)
    yield MalformedFile("png in Apple's CgBI variant", good[:8] + chunk(b"CgBI", bytes(4)) + good[8:])
    yield MalformedFile("png with a chunk of 4 GB", head + b"\xff\xff\xff\xffIDAT" + body + end)
    yield MalformedFile("png with a chunk of 2 GB", head + b"\x7f\xff\xff\xfftEXt" + body + end)
    yield MalformedFile("png of 100,000 chunks", head + chunk(b"tEXt") * 100_000 + body + end)
    yield MalformedFile("png of 100,000 empty IDAT", head + chunk(b"IDAT") * 100_000 + body + end)
    yield MalformedFile("png of 10,000 chunks", head + chunk(b"tEXt") * 10_000 + body + end, refused=False)
    for frames in (0, 2, 2**32 - 1):
        control = chunk(b"acTL", struct.pack(">II", frames, 0))
        yield MalformedFile(f"png animation of {frames} frames", head + control + body + end)
    yield MalformedFile(
        "png animation of one frame", head + chunk(b"acTL", b"\0\0\0\1\0\0\0\0") + body + end, refused=False
    )
    texts = {
        "zTXt": b"a\0\0" + bomb,
        "iTXt": b"a\0\1\0\0\0" + bomb,
        "iCCP": b"a\0\0" + bomb,
        "gAMA": bytes(4),
        "cHRM": b"",
    }
    for kind, text in texts.items():
        name = f"png with a {kind} chunk with a decompression bomb or no content"
        yield MalformedFile(name, head + chunk(kind.encode(), text) + body + end, refused=False)
    for name, block in _exif_blocks():
        yield MalformedFile(f"png exif {name}", head + chunk(b"eXIf", block) + body + end, refused=False)
    for name, more in {"zip": b"PK\x03\x04" * 9, "script": b"<?php system('id'); ?>", "png": good}.items():
        yield MalformedFile(f"png followed by {name}", good + more, refused=False)


def _webp() -> Files:
    good, lossless = ordinary_files()["webp"], ordinary_files()["webp lossless"]
    pixels = good[12:]
    frame_of = bytes(6) + (52).to_bytes(3, "little") + (36).to_bytes(3, "little") + bytes(4)
    anmf = riff_chunk(b"ANMF", frame_of + pixels)
    canvas = vp8x(37, 53, 2) + riff_chunk(b"ANIM", bytes(6))
    for size in (0, 4, 12, len(good) + 1000, 2**32 - 1):
        yield MalformedFile(f"webp of {size} bytes, declared in RIFF", good[:4] + struct.pack("<I", size) + good[8:])
    for size in (len(good), 2**31, 2**32 - 1):
        yield MalformedFile(f"webp of {size} bytes, declared in VP8", good[:16] + struct.pack("<I", size) + good[20:])
    yield MalformedFile("webp of two frames", webp_of(canvas, anmf, anmf))
    yield MalformedFile("webp of 5,000 frames", webp_of(canvas, riff_chunk(b"ANMF", frame_of) * 5000))
    yield MalformedFile("webp of one frame", webp_of(canvas, anmf), refused=False)
    yield MalformedFile("webp of one empty frame", webp_of(canvas, riff_chunk(b"ANMF", frame_of)))
    yield MalformedFile("webp of one frame on a large canvas", webp_of(vp8x(16_000, 16_000, 2), anmf))
    yield MalformedFile("webp of only a canvas", webp_of(vp8x(37, 53)))
    yield MalformedFile("webp of a canvas of 2**24 x 2**24", webp_of(vp8x(2**24, 2**24), pixels))
    yield MalformedFile("webp of a canvas larger than its image", webp_of(vp8x(4000, 4000), pixels))
    yield MalformedFile("webp of a short canvas", webp_of(riff_chunk(b"VP8X", b"\0\0"), pixels))
    yield MalformedFile("webp without chunks", webp_of())
    yield MalformedFile(
        "webp of 16383 x 16383", webp_of(riff_chunk(b"VP8 ", good[20:26] + b"\xff\x3f\xff\x3f" + good[30:]))
    )
    yield MalformedFile("webp of no size", webp_of(riff_chunk(b"VP8 ", good[20:26] + bytes(4) + good[30:])))
    yield MalformedFile(
        "webp lossless of 16384 x 16384", webp_of(riff_chunk(b"VP8L", b"\x2f\xff\xff\xff\x0f" + lossless[25:]))
    )
    yield MalformedFile(
        "webp lossless of another size", webp_of(riff_chunk(b"VP8L", b"\x2f\xff\xc1\x7f\0" + lossless[25:]))
    )
    yield MalformedFile("webp lossless without its signature", webp_of(riff_chunk(b"VP8L", b"\0" + lossless[21:])))
    yield MalformedFile("webp lossless of noise", webp_of(riff_chunk(b"VP8L", lossless[20:25] + b"\xa5" * 200)))
    yield MalformedFile("webp of an empty VP8", webp_of(riff_chunk(b"VP8 ", b"")))
    yield MalformedFile(
        "webp of an alpha that is noise", webp_of(vp8x(37, 53, 16), riff_chunk(b"ALPH", b"\1\xff\xff"), pixels)
    )
    yield MalformedFile("webp of 100,000 chunks", webp_of(riff_chunk(b"junk", b"") * 100_000, pixels))
    yield MalformedFile("webp followed by zip", good + b"PK\x03\x04" * 9, refused=False)
    for name, block in _exif_blocks():
        yield MalformedFile(
            f"webp exif {name}", webp_of(vp8x(37, 53, 8), pixels, riff_chunk(b"EXIF", block)), refused=False
        )


def _tiff() -> Files:
    def of(name: str, refused: bool = True, **changes: tuple[int, int, list[int]]) -> MalformedFile:
        return MalformedFile(f"tiff {name}", tiff_of(tiff_entries(4, 4, **changes).values(), bytes(16)), refused)

    yield of("that is valid", refused=False)
    for tag, kind in ((256, 4), (257, 4)):
        yield of(f"of 0 in tag {tag}", **{f"t{tag}": (tag, kind, [0])})
        yield of(f"of 2**32 - 1 in tag {tag}", **{f"t{tag}": (tag, kind, [2**32 - 1])})
        yield of(f"of more rows than data in tag {tag}", **{f"t{tag}": (tag, kind, [60_000])})
    for compression in (0, 2, 3, 4, 6, 7, 34712, 34925, 50000, 50001, 65535):
        yield of(f"of compression {compression}", t259=(259, 3, [compression]))
    for bits in (0, 2, 3, 12, 24, 32, 64, 65535):
        yield of(f"of {bits} bits", t258=(258, 3, [bits]))
    for photometric in (2, 3, 4, 5, 6, 8, 32803, 65535):
        yield of(f"of one channel, photometric {photometric}", t262=(262, 3, [photometric]))
    for channels in (0, 2, 3, 65535):
        yield of(f"of {channels} channels of gray", t277=(277, 3, [channels]))
    yield of("of floats", t339=(339, 3, [3]), t258=(258, 3, [32]))
    yield of("of planes", t284=(284, 3, [2]))
    yield of("from a camera (DNG)", t50706=(50706, 4, [1]))
    yield of("of a thumbnail", t254=(254, 4, [1]))
    yield of("of strips beyond the file", t273=(273, 4, [2**32 - 1]))
    yield of("of a strip that ends beyond the file", t279=(279, 4, [2**32 - 1]))
    yield of("of an empty strip", t279=(279, 4, [0]))
    yield of("of more strips than rows", t278=(278, 4, [1]))
    yield of("of strips without rows", t278=(278, 4, [0]))
    yield of("of tiles of no size", t322=(322, 4, [0]), t323=(323, 4, [0]))
    huge = {"t322": (322, 4, [2**31]), "t323": (323, 4, [2**31]), "t324": (324, 4, [8]), "t325": (325, 4, [16])}
    yield of("of tiles of 2**31 x 2**31", **huge, t259=(259, 3, [8]))
    yield of("of invalid deflate", t259=(259, 3, [8]), t258=(258, 3, [16]))


def _tiff_directories() -> Files:
    entries = list(tiff_entries(4, 4).values())
    good = tiff_of(entries, bytes(16))
    at, length = 24, struct.calcsize("<H") + 12 * len(entries)
    yield MalformedFile("tiff whose directory is beyond the file", good[:4] + b"\xff\xff\xff\x7f" + good[8:])
    yield MalformedFile("tiff whose directory is its header", good[:4] + bytes(4) + good[8:])
    yield MalformedFile("tiff whose directory is cut", good[: at + 20])
    yield MalformedFile("tiff of 65,535 entries", good[:at] + b"\xff\xff" + good[at + 2 :])
    yield MalformedFile("tiff of no entries", good[:at] + bytes(6))
    yield MalformedFile("tiff whose next directory is itself", tiff_of(entries, bytes(16), following=at), refused=False)
    yield MalformedFile("tiff whose next directory is beyond the file", tiff_of(entries, bytes(16), following=2**31))
    second = good[at : at + length] + bytes(4)
    yield MalformedFile("tiff of two pages", tiff_of(entries, bytes(16), following=len(good)) + second)
    ring = good[at : at + length] + struct.pack("<I", at)
    yield MalformedFile("tiff of two pages in a ring", tiff_of(entries, bytes(16), following=len(good)) + ring)
    chained = b"".join(bytes(2) + struct.pack("<I", len(good) + 6 * (i + 1)) for i in range(100_000))
    yield MalformedFile("tiff of 100,000 empty pages", tiff_of(entries, bytes(16), following=len(good)) + chained)
    for tag, kind in ((256, 4), (258, 3), (273, 4), (279, 4)):
        start = good.index(struct.pack("<HH", tag, kind), at)
        counted = struct.pack("<HHII", tag, 4, 2**32 - 1, 0)
        yield MalformedFile(f"tiff of four billion values in tag {tag}", good[:start] + counted + good[start + 12 :])
    for kind in (0, 2, 5, 12, 16, 65535):
        typed = good[: at + 2] + struct.pack("<HHI", 256, kind, 1) + good[at + 10 :]
        yield MalformedFile(f"tiff whose width is of type {kind}", typed)
    private: list[tuple[int, int, Sequence[int]]] = [(40_000 + i, 3, [1]) for i in range(2000)]
    yield MalformedFile("tiff of 2,000 entries", tiff_of([*entries, *private], bytes(16)))
    yield MalformedFile("tiff of 60 thumbnails of 65,535 entries", _thumbnails(entries))
    strips = tiff_entries(60_000, 4, t278=(278, 4, [1]), t273=(273, 4, [8] * 60_000), t279=(279, 4, [4] * 60_000))
    yield MalformedFile("tiff of 60,000 strips in one place", tiff_of(strips.values(), bytes(16)), refused=False)
    yield MalformedFile("tiff with trailing data", good + b"PK\x03\x04" * 99, refused=False)


def _thumbnails(entries: list[tuple[int, int, Sequence[int]]]) -> bytes:
    """A chain of overlapping directories of the max size."""
    good = tiff_of(entries, bytes(16))
    start, size = len(good), 2 + 12 * 65_535 + 4
    first = tiff_of(entries, bytes(16), following=start)
    body = bytearray(struct.pack("<H", 65_535) + struct.pack("<HHII", 254, 3, 1, 1) * 65_535 + bytes(4 + 60 * 14))
    for page in range(60):
        body[14 * page : 14 * page + 2] = b"\xff\xff"
        struct.pack_into("<I", body, 14 * page + size - 4, start + 14 * (page + 1))
    return first + bytes(body)


def _bmp() -> Files:
    rows = bmp_rows(np.asarray(gradient_image(4, 4)))
    for height, width in (
        (4, 0),
        (0, 4),
        (4, -4),
        (2**31 - 1, 4),
        (-(2**31), 4),
        (2**31 - 1, 2**31 - 1),
        (4, 2**31 - 1),
    ):
        yield MalformedFile(f"bmp of {height} x {width}", bmp(rows, height, width, 24))
    yield MalformedFile("bmp of top-down rows", bmp(rows, -4, 4, 24), refused=False)
    for compression in (4, 5, 6, 11, 2**32 - 1):
        yield MalformedFile(f"bmp of compression {compression}", bmp(rows, 4, 4, 24, compression=compression))
    for bits in (0, 2, 7, 48, 64, 65535):
        yield MalformedFile(f"bmp of {bits} bits", bmp(rows, 4, 4, bits))
    yield MalformedFile("bmp of RLE8 in 24 bits", bmp(rows, 4, 4, 24, compression=1))
    yield MalformedFile("bmp of RLE4 in 8 bits", bmp(b"\4\1\0\1", 4, 4, 8, compression=2, palette=bytes(1024)))
    yield MalformedFile("bmp of RLE8 that ends in a run", bmp(b"\4", 4, 4, 8, compression=1, palette=bytes(1024)))
    yield MalformedFile(
        "bmp of 2000 x 2000 in RLE8", bmp(b"\0\1", 2000, 2000, 8, compression=1, palette=bytes(1024)), refused=False
    )
    yield MalformedFile(
        "bmp of OS/2", b"BM" + struct.pack("<IHHI", 74, 0, 0, 26) + struct.pack("<IHHHH", 12, 4, 4, 1, 24) + rows
    )
    good = bmp(rows, 4, 4, 24)
    yield MalformedFile("bmp whose pixels are beyond the file", good[:10] + b"\xff\xff\xff\x7f" + good[14:])
    yield MalformedFile(
        "bmp of fields in another order", bmp(rows * 2, 4, 4, 32, compression=3, masks=(0xFF, 0xFF00, 0xFF0000))
    )
    yield MalformedFile("bmp of empty fields", bmp(rows * 2, 4, 4, 32, compression=3, masks=(0, 0, 0)))
