"""Boxes of HEIF: items, sizes and lengths, and structures that are refused or hidden."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images.heif_boxes import MAX_META, read_items
from model_zoo.contract.images.types import MAX_PARTS


def box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, body: bytes = b"", version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def entry(item: int, kind: bytes = b"hvc1", version: int = 2) -> bytes:
    return full(b"infe", struct.pack(">HH4s", item, 0, kind) + b"\0", version)


def kinds(*entries: bytes) -> bytes:
    return full(b"iinf", struct.pack(">H", len(entries)) + b"".join(entries))


def locations(lengths: Iterable[tuple[int, int]]) -> bytes:
    """An iloc of one extent per item, with lengths of 4 bytes and offsets of none."""
    items = [struct.pack(">HHHI", item, 0, 1, length) for item, length in lengths]
    return full(b"iloc", bytes([0x04, 0]) + struct.pack(">H", len(items)) + b"".join(items))


def properties(*associations: bytes, sizes: Iterable[tuple[int, int]] = ((40, 30),)) -> bytes:
    declared = b"".join(full(b"ispe", struct.pack(">II", width, height)) for height, width in sizes)
    return box(b"iprp", box(b"ipco", declared) + b"".join(associations))


def associate(item: int, *numbers: int) -> bytes:
    return full(b"ipma", struct.pack(">IHB", 1, item, len(numbers)) + bytes(numbers))


PRIMARY = full(b"pitm", struct.pack(">H", 1))
KINDS = kinds(entry(1))
LOCATIONS = locations([(1, 4)])
PROPERTIES = properties(associate(1, 1))
ORDINARY = (PRIMARY, KINDS, LOCATIONS, PROPERTIES)


def heif(*boxes: bytes, after: bytes = box(b"mdat", b"data")) -> bytes:
    return box(b"ftyp", b"heic\0\0\0\0") + full(b"meta", b"".join(boxes)) + after


def test_items_have_kinds_sizes_and_lengths() -> None:
    items = read_items(heif(*ORDINARY))
    assert (items.primary, items.kinds, items.lengths, items.size(1)) == (1, {1: b"hvc1"}, {1: 4}, (40, 30))


def test_wide_forms_are_read() -> None:
    """Numbers of 4 bytes, as in files of many items."""
    primary = full(b"pitm", struct.pack(">I", 70_000), version=1)
    wide = full(b"infe", struct.pack(">IH4s", 70_000, 0, b"grid"), version=3)
    listed = full(b"iinf", struct.pack(">I", 1) + wide, version=1)
    extent = struct.pack(">IHHHHQ", 70_000, 1, 0, 1, 0, 9)  # method, source, extents, base of 0 bytes, offset of 2
    located = full(b"iloc", bytes([0x28, 0]) + struct.pack(">I", 1) + extent, version=2)
    associated = full(b"ipma", struct.pack(">IIBH", 1, 70_000, 1, 0x8001), version=1, flags=1)
    tiles = full(b"iref", box(b"dimg", struct.pack(">IHII", 70_000, 2, 5, 6)), version=1)
    items = read_items(heif(primary, listed, located, properties(associated), tiles))
    assert (items.kinds, items.lengths, items.size(70_000)) == ({70_000: b"grid"}, {70_000: 9}, (40, 30))
    assert items.references == {(b"dimg", 70_000): [5, 6]}


def test_largest_size_counts() -> None:
    several = properties(associate(1, 1), associate(1, 0x82), sizes=((4, 4), (5, 6)))
    assert read_items(heif(PRIMARY, KINDS, LOCATIONS, several)).size(1) == (5, 6)


@pytest.mark.parametrize("size", [b"\0\0\0\0mdat", b"\0\0\0\1mdat" + struct.pack(">Q", 20)])
def test_box_sizes_of_two_forms(size: bytes) -> None:
    assert read_items(heif(*ORDINARY, after=size + b"data")).primary == 1


def test_what_the_primary_image_does_not_need_is_hidden() -> None:
    """Image 2 becomes hidden, groups and tracks become free boxes. Every other byte stays."""
    second = entry(2)
    boxes = (PRIMARY, kinds(entry(1), second), LOCATIONS, PROPERTIES, box(b"grpl", b"12345678"))
    data = heif(*boxes, after=box(b"moov", b"tracks"))
    hidden = second.replace(b"infe\2\0\0\0", b"infe\2\0\0\1")
    expected = data.replace(second, hidden).replace(b"grpl", b"free").replace(b"moov", b"free")
    assert read_items(data).stream == expected


@pytest.mark.parametrize(
    "boxes",
    [
        *(ORDINARY[:i] + ORDINARY[i + 1 :] for i in range(4)),
        *((*ORDINARY, one) for one in ORDINARY),
        (PRIMARY, kinds(entry(1), entry(1)), LOCATIONS, PROPERTIES),
        (PRIMARY, kinds(entry(1, version=0)), LOCATIONS, PROPERTIES),
        (PRIMARY, KINDS, locations([(1, 200), (2, 200)]), PROPERTIES),
        (PRIMARY, KINDS, full(b"iloc", bytes([0x40, 0]) + struct.pack(">HHHHI", 1, 1, 0, 1, 0)), PROPERTIES),
        (*ORDINARY, bytes(MAX_META)),
        (*ORDINARY, box(b"free") * (MAX_PARTS + 1)),
        (PRIMARY, KINDS, LOCATIONS, PROPERTIES, b"\0\0\0\7free"),
        (PRIMARY, KINDS, LOCATIONS, PROPERTIES, b"\0\0\0\x09free"),
    ],
)
def test_ambiguous_and_oversized_structures_are_refused(boxes: tuple[bytes, ...]) -> None:
    with pytest.raises(ImageError, match=r"expected .*; got .*; "):
        read_items(heif(*boxes))


@pytest.mark.parametrize(
    "boxes",
    [
        (PRIMARY, KINDS, LOCATIONS, properties(associate(1, 9))),
        (full(b"pitm", b"\0"), KINDS, LOCATIONS, PROPERTIES),
        (PRIMARY, KINDS, full(b"iloc", bytes([0x44, 0]) + b"\xff\xff"), PROPERTIES),
        (*ORDINARY, full(b"iref", box(b"dimg", struct.pack(">HHH", 1, 2, 5)))),
    ],
)
def test_numbers_beyond_a_box_are_errors(boxes: tuple[bytes, ...]) -> None:
    with pytest.raises(IndexError):
        read_items(heif(*boxes))


def test_image_without_a_size_is_refused() -> None:
    with pytest.raises(ImageError, match="a size of every image"):
        read_items(heif(PRIMARY, KINDS, LOCATIONS, properties())).size(1)
