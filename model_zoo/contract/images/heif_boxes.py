"""Read the items of a HEIF file: what is coded how, in which size and in how many bytes.

Every length and count is checked, and nothing is decoded. Structures that readers may understand in different ways are
refused, such as two boxes where one is allowed. What the primary image does not need is hidden from the decoder. Errors
are ImageError, or IndexError at an unexpected end.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items and properties).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from model_zoo.contract.images.types import MAX_PARTS, damaged
from model_zoo.contract.letterbox import Size

MAX_META: Final = 2**18  # bytes: an image of 200 megapixels in 768 tiles takes 50,000
FORMAT: Final = "HEIF"
_NEEDED: Final = (b"ftyp", b"meta", b"mdat")
_NEEDED_META: Final = (b"hdlr", b"dinf", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat")
_IGNORED: Final = b"free"  # type of a box that readers skip
_HIDDEN: Final = 1  # flag of an item that is not an image of its own


class Box(NamedTuple):
    """A box of a file."""

    kind: bytes
    """Four-letter type."""
    body: memoryview
    """Contents."""
    name: memoryview
    """Place of the type in the file."""


@dataclass
class Items:
    """Items of a file, by their numbers."""

    primary: int = 0
    """Item that viewers show."""
    kinds: dict[int, bytes] = field(default_factory=dict)
    """Four-letter type of each item."""
    references: defaultdict[tuple[bytes, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Items that an item refers to, by the type of reference, such as `dimg` from a grid to its tiles."""
    properties: defaultdict[int, list[Box]] = field(default_factory=lambda: defaultdict(list))
    """Properties of each item."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Bytes of each item. One that extends to the end of the file counts as the file."""
    stream: bytes = b""
    """The file, in which other images and groups of images are hidden."""

    def size(self, item: int) -> Size:
        """Return the largest size (height, width) that an item declares."""
        sizes = [box.body for box in self.properties[item] if box.kind == b"ispe"]
        numbers = [(int.from_bytes(body[8:12]), int.from_bytes(body[4:8])) for body in sizes]
        if not numbers:
            raise damaged(FORMAT, "a size of every image (ispe)", "none")
        return max(numbers, key=lambda size: size[0] * size[1])


class _Numbers:
    """Big-endian numbers, one after the other."""

    def __init__(self, body: memoryview) -> None:
        self._body, self._position = body, 0

    def take(self, size: int) -> int:
        start, self._position = self._position, self._position + size
        if self._position > len(self._body):
            raise IndexError
        return int.from_bytes(self._body[start : self._position])

    def version_and_flags(self) -> tuple[int, int]:
        return self.take(1), self.take(3)


def read_items(data: bytes) -> Items:
    """Return the items of a file, whose top-level boxes must be complete."""
    stream = bytearray(data)
    meta = _one(_kept(memoryview(stream), _NEEDED), b"meta")
    if len(meta) > MAX_META:
        raise damaged(FORMAT, f"at most {MAX_META:,} bytes that describe the images", f"{len(meta):,}")
    boxes = _kept(meta[4:], _NEEDED_META)
    items = Items()
    primary = _Numbers(_one(boxes, b"pitm"))
    items.primary = primary.take(4 if primary.version_and_flags()[0] else 2)
    _read_kinds(_one(boxes, b"iinf"), items)
    _read_locations(_one(boxes, b"iloc"), items, len(data))
    _read_properties(_one(boxes, b"iprp"), items)
    if any(box.kind == b"iref" for box in boxes):
        _read_references(_one(boxes, b"iref"), items)
    if (length := items.lengths.total()) > len(data):
        raise damaged(FORMAT, f"items of at most {len(data):,} bytes, as the file", f"{length:,}")
    items.stream = bytes(stream)
    return items


def _kept(data: memoryview, kinds: Collection[bytes]) -> list[Box]:
    """Return the boxes, after hiding those of other types from the decoder."""
    boxes = list(_boxes(data))
    for box in boxes:
        if box.kind not in kinds:
            box.name[:] = _IGNORED
    return boxes


def _boxes(data: memoryview) -> Iterator[Box]:
    position = 0
    for _ in range(MAX_PARTS):
        if position == len(data):
            return
        numbers = _Numbers(data[position:])
        size, kind = numbers.take(4), numbers.take(4).to_bytes(4)
        start = position + (16 if size == 1 else 8)
        end = position + (numbers.take(8) if size == 1 else size or len(data) - position)
        if not start <= end <= len(data):
            raise damaged(FORMAT, f"a box within {len(data):,} bytes", f"one up to byte {end:,}")
        yield Box(kind, data[start:end], data[position + 4 : position + 8])
        position = end
    raise damaged(FORMAT, f"fewer than {MAX_PARTS:,} boxes", "more")


def _one(boxes: Sequence[Box], kind: bytes) -> memoryview:
    bodies = [box.body for box in boxes if box.kind == kind]
    if len(bodies) != 1:
        raise damaged(FORMAT, f"one box {kind.decode()}", f"{len(bodies)}")
    return bodies[0]


def _read_kinds(body: memoryview, items: Items) -> None:
    version, _ = _Numbers(body).version_and_flags()
    for entry in _boxes(body[8 if version else 6 :]):
        numbers = _Numbers(entry.body)
        version, _ = numbers.version_and_flags()
        item, _ = numbers.take(2 if version < 3 else 4), numbers.take(2)
        if version < 2 or item in items.kinds:
            raise damaged(FORMAT, "one entry per item, of version 2 or 3", f"item {item} in version {version}")
        items.kinds[item] = numbers.take(4).to_bytes(4)
        if item != items.primary:
            entry.body[3] |= _HIDDEN


def _read_locations(body: memoryview, items: Items, file_size: int) -> None:
    numbers = _Numbers(body)
    version, _ = numbers.version_and_flags()
    offset, length, base, index = (half for _ in range(2) for half in divmod(numbers.take(1), 16))
    if not length:
        raise damaged(FORMAT, "items with lengths", "none")
    wide, has_method = 2 if version < 2 else 4, version in (1, 2)
    for _ in range(numbers.take(wide)):
        item = numbers.take(wide)
        numbers.take(2 * has_method + 2 + base)
        for _ in range(numbers.take(2)):
            numbers.take(index * has_method + offset)
            items.lengths[item] += numbers.take(length) or file_size


def _read_properties(body: memoryview, items: Items) -> None:
    boxes = list(_boxes(body))
    properties = list(_boxes(_one(boxes, b"ipco")))
    for association in (box.body for box in boxes if box.kind == b"ipma"):
        numbers = _Numbers(association)
        version, flags = numbers.version_and_flags()
        wide = flags & 1
        for _ in range(numbers.take(4)):
            item = numbers.take(4 if version else 2)
            for _ in range(numbers.take(1)):
                number = numbers.take(1 + wide) & (0x7FFF if wide else 0x7F)
                if number:  # 0 is none
                    items.properties[item].append(properties[number - 1])


def _read_references(body: memoryview, items: Items) -> None:
    version, _ = _Numbers(body).version_and_flags()
    wide = 4 if version else 2
    for box in _boxes(body[4:]):
        numbers = _Numbers(box.body)
        source = numbers.take(wide)
        items.references[box.kind, source].extend(numbers.take(wide) for _ in range(numbers.take(2)))
