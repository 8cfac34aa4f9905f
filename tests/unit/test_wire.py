"""Records: layout from a declaration, the strict path and the flat path, and errors that name the field."""

from __future__ import annotations

import random
import re
from enum import IntEnum
from typing import Annotated, NamedTuple, NewType

import pytest

from pvinfo.bits import Bits, flag, uint
from pvinfo.errors import LayoutError, WireError
from pvinfo.page import VGT_IF, VGT_MAGIC, GraphicsRange, PageRoot
from pvinfo.wire import Codec, array, nested, raw, reserved, u8, u16, u32, u64

Address = NewType("Address", int)


class Colour(IntEnum):
    RED = 1
    GREEN = 2


class Mode(Bits):
    enabled = flag(0, "on")
    depth = uint(4, 4, "bits per colour")


class Point(NamedTuple):
    x: Annotated[int, u16("from the left", unit="pixels")]
    y: Annotated[int, u16("from above", unit="pixels", source="survey")]


class Picture(NamedTuple):
    kind: Annotated[int, u8("what it shows")]
    colour: Annotated[Colour, u8("the one colour")]
    pad: Annotated[bytes, reserved(2)]
    mode: Annotated[Mode, u32("how")]
    corners: Annotated[tuple[Point, ...], array(3, "the triangle")]
    centre: Annotated[Point, nested("its middle")]
    where: Annotated[Address, u64("where it is")]
    name: Annotated[bytes, raw(5, "what it is called")]


PICTURE = Codec(Picture, doc="a picture", source="the shelf", size=37)
GOLDEN = bytes.fromhex("07 02 0000 a1000000 01000200 03000400 05000600 09000a00 8877665544332211 6672616d65")
DECODED = Picture(
    7, Colour.GREEN, b"\0\0", Mode(0xA1), (Point(1, 2), Point(3, 4), Point(5, 6)), Point(9, 10), Address(0x1122334455667788), b"frame"
)


def test_a_record_is_packed_little_endian_in_order_of_declaration() -> None:
    assert [(field.path, field.offset, field.size) for field in PICTURE.fields] == [
        ("kind", 0, 1), ("colour", 1, 1), ("pad", 2, 2), ("mode", 4, 4),
        ("corners.0.x", 8, 2), ("corners.0.y", 10, 2), ("corners.1.x", 12, 2), ("corners.1.y", 14, 2),
        ("corners.2.x", 16, 2), ("corners.2.y", 18, 2), ("centre.x", 20, 2), ("centre.y", 22, 2),
        ("where", 24, 8), ("name", 32, 5),
    ]  # fmt: skip


def test_golden_bytes_are_read_by_both_paths_alike() -> None:
    assert PICTURE.parse(GOLDEN) == DECODED
    assert PICTURE.unpack_from(GOLDEN) == DECODED
    assert PICTURE.unpack_from(b"???" + GOLDEN + b"!", 3) == DECODED


def test_golden_bytes_are_written_by_both_paths_alike() -> None:
    assert PICTURE.pack(DECODED) == GOLDEN
    assert PICTURE.build(DECODED) == GOLDEN


def test_values_come_back_in_their_declared_types() -> None:
    for record in (PICTURE.parse(GOLDEN), PICTURE.unpack_from(GOLDEN)):
        assert type(record.colour) is Colour
        assert type(record.mode) is Mode
        assert (record.mode.enabled, record.mode.depth) == (True, 10)
        assert type(record.corners[1]) is Point
        assert type(record.where) is int


def test_a_field_knows_its_place_its_unit_and_where_it_comes_from() -> None:
    field = PICTURE.field("corners.2.y")
    assert (field.offset, field.unit, field.source, field.value_type) == (18, "pixels", "survey", int)
    assert PICTURE.field("kind").source == "the shelf", "a field without a source has the record's"
    assert PICTURE.field("mode").value_type is Mode
    assert PICTURE.field_at(19) is not None and PICTURE.field_at(19) == field
    assert PICTURE.field_at(37) is None
    with pytest.raises(LayoutError, match=re.escape("Picture has no field corner; it has kind, colour")):
        PICTURE.offset_of("corner")


# ---- the page both sides rely on ----


@pytest.mark.parametrize(
    ("path", "offset", "size"),
    [
        ("magic", 0, 8), ("version_major", 8, 2), ("version_minor", 0xA, 2), ("vgt_id", 0xC, 4), ("vgt_caps", 0x10, 4),
        ("avail_rs.mappable_gmadr.base", 0x40, 4), ("avail_rs.mappable_gmadr.size", 0x44, 4),
        ("avail_rs.nonmappable_gmadr.base", 0x48, 4), ("avail_rs.nonmappable_gmadr.size", 0x4C, 4),
        ("avail_rs.fence_num", 0x50, 4), ("display_ready", 0x804, 4), ("rsv5", 0x808, 16), ("g2v_notify", 0x818, 4),
        ("cursor_x_hot", 0x830, 4), ("cursor_y_hot", 0x834, 4), ("pdp.0.lo", 0x838, 4), ("pdp.3.hi", 0x854, 4),
        ("execlist_context_descriptor_lo", 0x858, 4), ("execlist_context_descriptor_hi", 0x85C, 4), ("rsv7", 0x860, 0x7A0),
    ],
)  # fmt: skip
def test_the_pvinfo_page_lies_as_the_kernel_has_it(path: str, offset: int, size: int) -> None:
    field = VGT_IF.field(path)
    assert (field.offset, field.size) == (offset, size)


def test_the_pvinfo_page_is_one_page_without_gaps() -> None:
    assert VGT_IF.size == 4096
    assert sum(field.size for field in VGT_IF.fields) == 4096


@pytest.mark.parametrize("seed", range(10))
def test_on_random_pages_the_flat_path_equals_the_strict_one(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        page = rng.randbytes(4096)
        strict, flat = VGT_IF.parse(page), VGT_IF.unpack_from(page)
        assert strict == flat
        assert VGT_IF.build(strict) == VGT_IF.pack(flat) == page


@pytest.mark.parametrize("seed", range(10))
def test_on_random_records_with_closed_sets_both_paths_agree_even_in_refusal(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        data = bytearray(rng.randbytes(PICTURE.size))
        data[1] = rng.choice((0, 1, 1, 2, 2, 3, 255))
        try:
            strict: Picture | str = PICTURE.parse(data)
        except WireError as error:
            strict = str(error)
        try:
            flat: Picture | str = PICTURE.unpack_from(data)
        except WireError as error:
            flat = str(error)
        assert strict == flat
        if isinstance(flat, Picture):
            assert PICTURE.pack(flat) == PICTURE.build(flat) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_read(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    page = VGT_MAGIC.to_bytes(8, "little") + bytes(4088)
    assert VGT_IF.parse(kind(page)).magic == VGT_IF.unpack_from(kind(page)).magic == VGT_MAGIC


def test_packing_into_a_buffer_changes_only_the_records_bytes() -> None:
    buffer = bytearray(b"\xee" * 16)
    Codec(GraphicsRange, doc="a range").pack_into(buffer, 4, GraphicsRange(1, 2))
    assert buffer == b"\xee" * 4 + bytes.fromhex("01000000 02000000") + b"\xee" * 4


@pytest.mark.parametrize("offset", [9, 16, 17, -1])
def test_packing_past_the_end_of_a_buffer_is_refused_and_does_not_grow_it(offset: int) -> None:
    buffer = bytearray(16)
    with pytest.raises(WireError, match=r"GraphicsRange.*8 bytes.*offset.*16 bytes long"):
        Codec(GraphicsRange, doc="a range").pack_into(buffer, offset, GraphicsRange(1, 2))
    assert buffer == bytes(16)


# ---- errors ----


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "Picture.kind at byte 0x0: 0 bytes given, the record needs 37"),
        (6, "Picture.mode at byte 0x4: 6 bytes given, the record needs 37"),
        (15, "Picture.corners.1.y at byte 0xe: 15 bytes given, the record needs 37"),
        (36, "Picture.name at byte 0x20: 36 bytes given, the record needs 37"),
    ],
)
def test_too_few_bytes_name_the_field_that_is_cut(length: int, text: str) -> None:
    for read in (PICTURE.parse, PICTURE.unpack_from):
        with pytest.raises(WireError, match=f"^{re.escape(text)}$"):
            read(GOLDEN[:length])


def test_an_offset_past_the_end_counts_as_nothing_given() -> None:
    with pytest.raises(WireError, match=re.escape("Picture.kind at byte 0x0: 0 bytes given")):
        PICTURE.unpack_from(GOLDEN, 40)


def test_too_many_bytes_are_refused_by_the_strict_path_only() -> None:
    with pytest.raises(WireError, match="^Picture at byte 0x25: 38 bytes given, the record ends after 37$"):
        PICTURE.parse(GOLDEN + b"!")
    assert PICTURE.unpack_from(GOLDEN + b"!") == DECODED


def test_a_value_outside_its_closed_set_is_named_with_the_set() -> None:
    data = GOLDEN[:1] + b"\x09" + GOLDEN[2:]
    for read in (PICTURE.parse, PICTURE.unpack_from):
        with pytest.raises(WireError, match="^Picture.colour at byte 0x1: 0x9 is none of 0x1 RED, 0x2 GREEN$") as refused:
            read(data)
        assert (refused.value.field, refused.value.offset) == ("colour", 1)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (DECODED._replace(kind=256), "Picture.kind at byte 0x0: does not fit its 1 bytes"),
        (DECODED._replace(where=Address(-1)), "Picture.where at byte 0x18: does not fit its 8 bytes"),
        (DECODED._replace(centre=Point(0, 0x10000)), "Picture.centre.y at byte 0x16: does not fit its 2 bytes"),
        (DECODED._replace(name=b"long name"), "Picture.name at byte 0x20: does not fit its 5 bytes"),
        (DECODED._replace(name=b"n"), "Picture.name at byte 0x20: does not fit its 5 bytes"),
        (DECODED._replace(pad=b""), "Picture.pad at byte 0x2: does not fit its 2 bytes"),
        (DECODED._replace(corners=(Point(0, 0),)), "Picture.corners at byte 0x8: 1 elements given, the array has 3"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_both_paths(record: Picture, text: str) -> None:
    for write in (PICTURE.pack, PICTURE.build):
        with pytest.raises(WireError, match=f"^{re.escape(text)}$"):
            write(record)


def test_an_array_element_that_does_not_fit_is_named_by_its_number() -> None:
    corners = (Point(0, 0), Point(1, 99999), Point(0, 0))
    for write in (PICTURE.pack, PICTURE.build):
        with pytest.raises(WireError, match=r"^Picture\.corners\.1\.y at byte 0xe: does not fit its 2 bytes$"):
            write(DECODED._replace(corners=corners))


class Pixel(NamedTuple):
    colour: Annotated[Colour, u8("the colour")]
    weights: Annotated[tuple[Point, ...], array(2, "how much of it")]


class Row(NamedTuple):
    number: Annotated[int, u8("from above")]
    pixels: Annotated[tuple[Pixel, ...], array(2, "the pixels")]


ROW = Codec(Row, doc="a row of pixels")
PIXEL = Pixel(Colour.RED, (Point(0, 0), Point(0, 0)))


def test_errors_deep_inside_name_the_outermost_record_on_both_paths() -> None:
    data = bytearray(ROW.pack(Row(1, (PIXEL, PIXEL))))
    data[ROW.offset_of("pixels.1.colour")] = 3
    for read in (ROW.parse, ROW.unpack_from):
        with pytest.raises(WireError, match=r"^Row\.pixels\.1\.colour at byte 0xa: 0x3 is none of"):
            read(data)
    for write in (ROW.pack, ROW.build):
        with pytest.raises(WireError, match=r"^Row\.pixels\.1\.weights at byte 0xb: 1 elements given, the array has 2$"):
            write(Row(1, (PIXEL, PIXEL._replace(weights=(Point(0, 0),)))))


def test_a_declared_size_is_checked_against_the_fields() -> None:
    with pytest.raises(LayoutError, match="^PageRoot is declared 12 bytes long, but its fields add up to 8$"):
        Codec(PageRoot, doc="a root", size=12)


class Bare(NamedTuple):
    x: int


class Doubled(NamedTuple):
    x: Annotated[int, u8("one"), u16("two")]


class Mistyped(NamedTuple):
    x: Annotated[str, u8("a number")]


class NumberOfBytes(NamedTuple):
    x: Annotated[int, raw(4, "bytes")]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Bare, "Bare.x: a field is Annotated with exactly one layout"),
        (Doubled, "Doubled.x: a field is Annotated with exactly one layout"),
        (Mistyped, "Mistyped.x: a integer field holds int, not str"),
        (NumberOfBytes, "NumberOfBytes.x: a raw field holds bytes, not int"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(record: type[tuple[int]], text: str) -> None:
    with pytest.raises(LayoutError, match=f"^{re.escape(text)}$"):
        Codec(record, doc="wrong")
