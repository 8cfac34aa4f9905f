"""Named bits: reading, setting, and declarations that contradict themselves."""

from __future__ import annotations

import random
import re
from enum import IntEnum

import pytest

from pvinfo.bits import BitField, Bits, choice, flag, uint
from pvinfo.errors import LayoutError


class Tiling(IntEnum):
    LINEAR = 0
    X = 1
    Y = 4


class Control(Bits):
    enabled = flag(0, "the ring fetches commands")
    tiling = choice(1, 3, Tiling, "how the surface is laid out")
    length_pages = uint(12, 9, "ring length minus one", unit="4 KiB pages")
    top = flag(31, "the last bit")


class LongControl(Control):
    address = uint(32, 16, "an upper half", source="prm:skl:vol2c")


def test_fields_read_as_what_they_are() -> None:
    value = Control(0x8000_3009)
    assert value.enabled is True
    assert value.tiling is Tiling.Y
    assert value.length_pages == 3
    assert value.top is True
    assert value == 0x8000_3009


def test_a_value_outside_a_closed_set_reads_as_the_plain_number() -> None:
    tiling = Control(7 << 1).tiling
    assert tiling == 7
    assert not isinstance(tiling, Tiling)


def test_fields_are_set_by_name_and_leave_the_other_bits() -> None:
    assert Control.of(enabled=True, length_pages=3, tiling=Tiling.X) == 0x3003
    assert Control.of(0xFFFF_FFFF, length_pages=0) == 0xFFE0_0FFF
    assert type(Control.of(enabled=True)) is Control


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"length_pages": 512}, "length_pages: 0x200 does not fit bits 12..20"),
        ({"length_pages": -1}, "length_pages: -0x1 does not fit bits 12..20"),
        ({"enabled": 2}, "enabled: 0x2 does not fit bits 0..0"),
        ({"enable": 1}, "Control has no field enable; it has enabled, tiling, length_pages, top"),
    ],
)
def test_what_does_not_fit_or_exist_is_refused(fields: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Control.of(**fields)


def test_the_class_gives_the_declaration() -> None:
    assert (Control.length_pages.mask, Control.length_pages.low, Control.length_pages.width) == (0x1FF000, 12, 9)
    assert Control.length_pages.unit == "4 KiB pages"
    assert Control.tiling.choices is Tiling
    assert Control.enabled.choices is None


def test_fields_are_listed_from_the_lowest_bit_with_the_inherited_ones() -> None:
    assert [field.name for field in LongControl.bit_fields] == ["enabled", "tiling", "length_pages", "top", "address"]
    assert [field.name for field in Control.bit_fields] == ["enabled", "tiling", "length_pages", "top"]
    assert LongControl(0x1234 << 32 | 1).address == 0x1234


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "nothing set"),
        (0x3001, "enabled, length_pages=0x3"),
        (0x8, "tiling=Y"),
        (0xE, "tiling=0x7"),
        (0x40, "nothing set"),
    ],
)
def test_a_value_is_described_by_its_fields(value: int, words: str) -> None:
    assert Control(value).describe() == words


@pytest.mark.parametrize("seed", range(5))
def test_a_value_taken_apart_and_put_together_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    declared = sum(field.mask for field in LongControl.bit_fields)
    for _ in range(200):
        value = rng.getrandbits(48) & declared
        parts = {field.name: (value & field.mask) >> field.low for field in LongControl.bit_fields}
        assert LongControl.of(**parts) == value


def test_overlapping_fields_are_refused_by_name() -> None:
    with pytest.raises(LayoutError, match="^Overlap: bits of low and high overlap$"):

        class Overlap(Bits):
            low = uint(0, 5, "five bits")
            high = uint(4, 2, "one of them again")


def test_an_inherited_field_cannot_be_overlapped_either() -> None:
    with pytest.raises(LayoutError, match="^Overlap: bits of length_pages and late overlap$"):

        class Overlap(Control):
            late = flag(20, "the last bit of the length")


@pytest.mark.parametrize(
    ("low", "width", "doc", "text"),
    [
        (-1, 1, "below zero", "bit field at -1, 1 wide: a field starts at bit 0 or above and has a width"),
        (3, 0, "nothing", "bit field at 3, 0 wide"),
        (3, 1, "", "bit field at 3: a field says what it is"),
    ],
)
def test_a_field_has_a_place_a_width_and_a_meaning(low: int, width: int, doc: str, text: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(text)):
        BitField(low, width, doc, "", "")
