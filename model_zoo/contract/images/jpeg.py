"""Read the structure of a JPEG file up to the end of its first image (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from model_zoo.contract.images.tiff import exif_orientation
from model_zoo.contract.images.types import MAX_PARTS, EncodedImage, ImageHeader, damaged, unsupported

EOI, SOS, APP1 = 0xD9, 0xDA, 0xE1
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
OTHER_FRAMES = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless coding"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical coding"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic coding"),
}
# Segments that the pixels need: frames, Huffman and quantization tables, restart interval, scans, and APP0 (JFIF) and
# APP14 (Adobe) for the color space. EXIF, color profiles, thumbnails and comments are dropped.
NEEDED = frozenset((*SEQUENTIAL, PROGRESSIVE, 0xC4, 0xDB, 0xDD, SOS, EOI, 0xE0, 0xEE))
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")  # of a segment: TEM, RSTn and SOI have no body
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # coded data may contain stuffed 0xFF and restart markers
# Eight bytes of ones: no code word is all ones, so a decoder that still needs data stops with an error.
_PADDING = b"\xff\x00" * 8


COLORS: dict[int, Literal["gray", "rgb", "cmyk"]] = {1: "gray", 3: "rgb", 4: "cmyk"}  # by components


class Segment(NamedTuple):
    """One marker segment."""

    marker: int
    """Second byte of the marker."""
    body: bytes
    """Contents without the length."""
    raw: bytes | memoryview
    """All bytes, including marker and coded data."""


class Frame(NamedTuple):
    """The frame header."""

    progressive: bool
    """Whether the coding is progressive."""
    height: int
    """Height in pixels."""
    width: int
    """Width in pixels."""
    blocks: dict[int, int]
    """Number of blocks of 8 x 8 coefficients by component."""


def read_jpeg(data: bytes) -> EncodedImage:
    """Read a JPEG up to its first EOI. Trailing data (a video, more images) is ignored.

    Raises:
        ImageError: the file is damaged.
        UnsupportedImage: the coding is not supported.
    """
    segments = list(islice(_segments(data), MAX_PARTS + 1))
    if len(segments) > MAX_PARTS:
        raise damaged("JPEG", f"at most {MAX_PARTS} segments", "more")
    frame = _frame(segments)
    scans = [_scan(segment.body) for segment in segments if segment.marker == SOS]
    if {component for scan in scans for component, _ in scan} < set(frame.blocks):
        raise damaged("JPEG", "coded data of every color component", f"{len(scans)} scans without some of them")
    header = ImageHeader(
        "JPEG",
        (frame.height, frame.width),
        orientation=_orientation(segments),
        scans=len(scans),
        work=_work(frame, scans),
        colors=COLORS[len(frame.blocks)],
    )
    return EncodedImage(header, _stream(frame, scans, segments))


def _segments(data: bytes) -> Iterator[Segment]:
    """Iterate over the segments of the first image, including its EOI if there is one."""
    position, view = 2, memoryview(data)  # coded data is long, and is copied only once, by `_stream`
    while match := _MARKER.search(data, position):
        marker, start = data[match.end() - 1], match.end()
        if marker == EOI:
            yield Segment(EOI, b"", b"\xff\xd9")
            return
        body_end = start + int.from_bytes(data[start : start + 2])
        if not start + 2 <= body_end <= len(data):
            raise damaged("JPEG", f"a segment up to byte {body_end}", f"the end of the file at {len(data)}")
        end = body_end
        if marker == SOS:
            stop = _END_OF_SCAN.search(data, body_end)
            end = stop.start() if stop else len(data)
        yield Segment(marker, data[start + 2 : body_end], view[match.start() : end])
        position = end


def _frame(segments: list[Segment]) -> Frame:
    frames = [s for s in segments if s.marker in (*SEQUENTIAL, PROGRESSIVE) or s.marker in OTHER_FRAMES]
    if len(frames) != 1:
        raise damaged("JPEG", "one frame header", f"{len(frames)}")
    marker, body, _ = frames[0]
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if marker in OTHER_FRAMES:
        raise unsupported("JPEG", "baseline or progressive coding", OTHER_FRAMES[marker])
    if precision != 8 or count not in (1, 3, 4):
        raise unsupported("JPEG", "8 bits and 1, 3 or 4 components", f"{precision} bits and {count} components")
    if height == 0 or width == 0:
        raise unsupported("JPEG", "the image size in the frame header", f"{width} x {height}")
    parts = [struct.unpack_from(">BB", body, 6 + 3 * i) for i in range(count)]
    sampling = {component: (factors >> 4, factors & 15) for component, factors in parts}
    across, down = (max(factors) for factors in zip(*sampling.values(), strict=True))
    if len(sampling) != count or not all(1 <= f <= 4 for pair in sampling.values() for f in pair):
        raise damaged("JPEG", f"{count} components with sampling factors from 1 to 4", f"{sampling}")
    blocks = {c: -(-width * h // (8 * across)) * -(-height * v // (8 * down)) for c, (h, v) in sampling.items()}
    return Frame(marker == PROGRESSIVE, height, width, blocks)


def _scan(body: bytes) -> list[tuple[int, int]]:
    """List the components of a scan with the number of coefficients it codes per block."""
    count = body[0] if body else 0
    if not 1 <= count <= 4:
        raise damaged("JPEG", "1 to 4 components in a scan", f"{count}")
    first, last = struct.unpack_from("BB", body, 1 + 2 * count)
    return [(body[1 + 2 * i], max(last - first + 1, 1)) for i in range(count)]


def _work(frame: Frame, scans: list[list[tuple[int, int]]]) -> int:
    """Estimate the work of the decoder: half a byte per sample, one if progressive, a quarter per coefficient visit.

    A scan visits all its coefficients even without data, so a small file with many scans can take many seconds. A block
    costs at least eight visits, however few coefficients a scan covers. Sequential scans cover all coefficients,
    whatever they declare. Progressive files keep all coefficients in memory, and missing ones are smoothed.
    """
    min_visits, samples = (8, 64) if frame.progressive else (64, 32)
    visits = sum(frame.blocks.get(component, 0) * max(band, min_visits) for scan in scans for component, band in scan)
    return samples * sum(frame.blocks.values()) + visits // 4


def _stream(frame: Frame, scans: list[list[tuple[int, int]]], segments: list[Segment]) -> bytes:
    """Join the needed segments such that the decoder fails instead of guessing where data is missing.

    The decoder paints gray after an early EOI, but fails where its input ends. The single scan of a sequential image is
    therefore passed without EOI, which also accepts cameras that omit it. Images with several scans are read up to
    their EOI and must have one.
    """
    kept = [segment.raw for segment in segments if segment.marker in NEEDED]
    one_scan = not frame.progressive and len(scans) == 1
    if segments[-1].marker == EOI and one_scan:
        kept.pop()
    if segments[-1].marker != EOI and not one_scan:
        raise damaged("JPEG", "an end-of-image marker after the last scan", "the end of the file")
    return b"".join([b"\xff\xd8", *kept, _PADDING if one_scan else b""])


def _orientation(segments: list[Segment]) -> int:
    exif = (s.body[6:] for s in segments if s.marker == APP1 and s.body.startswith(b"Exif\0"))
    return exif_orientation(next(exif, b""))
