"""What the 2D engine makes of its operands: raster operations, expanded bits, patterns, colour keys."""

from __future__ import annotations

import random

import pytest
from support.naive_blitter import fixed_pattern, in_range, raster

from host_model.gpu.blitter.color_key import ColorKey, KeyMode
from host_model.gpu.blitter.depth import BPP_8, BPP_16_565, BPP_32, DEPTHS
from host_model.gpu.blitter.expansion import expand, mask_of
from host_model.gpu.blitter.pattern import FIXED_PATTERNS, color_pattern, mono_pattern, solid_pattern
from host_model.gpu.blitter.raster_operation import OPERATIONS
from host_model.gpu.surface.rectangle import Rectangle
from host_model.gpu.blitter.source import MonoSource

ONES = (1 << 64) - 1


def test_each_of_the_256_operations_follows_its_truth_table() -> None:
    rng = random.Random(1)
    for code, operation in enumerate(OPERATIONS):
        p, s, d = (rng.getrandbits(64) for _ in range(3))
        assert operation.apply(p, s, d, ONES) == raster(code, p, s, d, 64)
        assert operation.without_source().apply(p, s, d, ONES) == raster(code, p, 0, d, 64)
        assert operation.without_pattern().apply(p, s, d, ONES) == raster(code, 0, s, d, 64)


@pytest.mark.parametrize(
    ("code", "pattern", "source", "destination"),
    [
        (0x00, False, False, False), (0xFF, False, False, False), (0xF0, True, False, False), (0xCC, False, True, False),
        (0xAA, False, False, True), (0x55, False, False, True), (0x5A, True, False, True), (0x66, False, True, True),
        (0xC0, True, True, False), (0xB8, True, True, True), (0x0F, True, False, False), (0x33, False, True, False),
    ],
)  # fmt: skip
def test_an_operation_knows_which_operands_it_reads(code: int, pattern: bool, source: bool, destination: bool) -> None:
    operation = OPERATIONS[code]
    assert (operation.needs_pattern, operation.needs_source, operation.needs_destination) == (pattern, source, destination)


def test_operations_give_the_formulas_of_the_manual() -> None:
    p, s, d = 0xF0, 0xCC, 0xAA  # operands in which every combination of three bits occurs once, in the order of the code
    formulas = {
        0x1B: ~(s ^ d & (p ^ s)) & 0xFF, 0x88: d & s, 0x96: d ^ p ^ s, 0xB8: p ^ s & (d ^ p), 0xCA: d ^ p & (s ^ d), 0xE2: d ^ s & (p ^ d),
        0x5C: d ^ (p | s ^ d), 0x76: s ^ (d | p & ~s), 0xF5: (p | ~d) & 0xFF,
    }  # fmt: skip
    for code, result in formulas.items():
        assert OPERATIONS[code].apply(p, s, d, 0xFF) == result == code


def test_the_first_pixel_of_a_byte_is_its_highest_bit() -> None:
    assert expand(b"\x81\x40", b".", b"#") == b"#......#.#......"
    assert expand(b"\x40", b"ab", b"AB") == b"abABabababababab"
    assert mask_of(b"\x01", 4) == bytes(28) + b"\xff" * 4


def test_a_line_of_a_mono_source_begins_where_its_stride_puts_it() -> None:
    bits = bytes((0b1010_1100, 0b0101_0011, 0b1111_0000, 0b0000_1111))
    source = MonoSource(lambda first, last: bits[first:last], 10, 20, 3, 16, b".", b"#", False)
    assert source.rows(Rectangle(10, 20, 18, 22), b".", b"#") == b".##...#.#......."
    assert source.rows(Rectangle(12, 21, 14, 22), b".", b"#") == b".."
    packed = MonoSource(lambda first, last: bits[first:last], 0, 0, 0, 5, b".", b"#", False)
    assert packed.rows(Rectangle(0, 0, 5, 3), b".", b"#") == b"#.#.#" + b"#...#" + b".#..#"


def test_only_the_bytes_with_a_needed_bit_are_fetched_of_a_mono_source() -> None:
    asked = []

    def fetch(first: int, last: int) -> bytes:
        asked.append((first, last))
        return bytes(last - first)

    MonoSource(fetch, 0, 0, 0, 800, b".", b"#", False).rows(Rectangle(9, 1, 15, 3), b".", b"#")
    MonoSource(fetch, 0, 0, 0, 16, b".", b"#", False).rows(Rectangle(0, 0, 16, 2), b".", b"#")
    assert asked == [(101, 102), (201, 202), (0, 4)]


def test_a_pattern_is_turned_by_its_seeds() -> None:
    data = bytes(range(64))
    rows = color_pattern(BPP_8, data, seed_x=3, seed_y=6)
    area = Rectangle(2, 1, 6, 4)
    assert rows.rows(area, rows.lines) == bytes((61, 62, 63, 56, 5, 6, 7, 0, 13, 14, 15, 8))


def test_a_mono_pattern_has_its_lines_in_bytes_and_its_first_pixel_highest() -> None:
    pattern = mono_pattern(BPP_8, bytes((0x80, 1, 0, 0, 0, 0, 0, 0xFF)), ord("."), ord("#"), transparent=True)
    area = Rectangle(0, 0, 9, 2)
    assert pattern.rows(area, pattern.lines) == b"#.......#" + b".......#."
    assert pattern.masks is not None
    assert pattern.rows(area, pattern.masks) == b"\xff" + bytes(7) + b"\xff" + bytes(7) + b"\xff\x00"
    assert mono_pattern(BPP_8, bytes(8), 0, 1).masks is None


def test_a_solid_pattern_is_one_line_for_all_rows() -> None:
    pattern = solid_pattern(BPP_16_565, 0x12345678)
    assert pattern.solid == b"\x78\x56"
    assert pattern.rows(Rectangle(5, 5, 8, 7), pattern.lines) == b"\x78\x56" * 6


def test_the_fixed_patterns_are_the_pictures_of_the_manual() -> None:
    assert sorted(FIXED_PATTERNS) == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    for number, data in FIXED_PATTERNS.items():
        assert data == fixed_pattern(number)


@pytest.mark.parametrize("mode", list(KeyMode))
@pytest.mark.parametrize("number", range(4))
def test_a_key_compares_channel_by_channel(number: int, mode: KeyMode) -> None:
    depth, rng = DEPTHS[number], random.Random(number)
    size = depth.bytes_per_pixel
    for _ in range(60):
        low, high = rng.getrandbits(32), rng.getrandbits(32) | rng.getrandbits(32)
        pixels = [rng.getrandbits(8 * size) for _ in range(40)]
        pixels += [low & (1 << 8 * size) - 1, high & (1 << 8 * size) - 1]
        if rng.random() < 0.5:
            high |= low
            pixels += [low & high & (1 << 8 * size) - 1 for _ in range(4)]
        data = b"".join(pixel.to_bytes(size, "little") for pixel in pixels)
        alpha = mode in (KeyMode.SOURCE_AND_ALPHA, KeyMode.DESTINATION_AND_ALPHA)
        wanted = [in_range(number, alpha, low, high, pixel) != (mode <= KeyMode.SOURCE_AND_ALPHA) for pixel in pixels]
        mask = ColorKey(mode, low, high, depth).writable(data)
        assert mask.to_bytes(len(data), "little") == b"".join((b"\xff" if written else b"\x00") * size for written in wanted)


def test_a_source_key_spares_one_colour() -> None:
    key = ColorKey(KeyMode.SOURCE, 0x00FF00FF, 0x00FF00FF, BPP_32)
    magenta, other = bytes.fromhex("ff00ff80"), bytes.fromhex("fe00ff80")
    assert key.writable(magenta + other).to_bytes(8, "little") == bytes(4) + b"\xff" * 4
    with_alpha = ColorKey(KeyMode.SOURCE_AND_ALPHA, 0x00FF00FF, 0x00FF00FF, BPP_32)
    assert with_alpha.writable(magenta).to_bytes(4, "little") == b"\xff" * 4


@pytest.mark.parametrize(
    ("other", "clipped"),
    [
        (Rectangle(0, 0, 100, 100), Rectangle(10, 20, 30, 40)),
        (Rectangle(15, 0, 25, 30), Rectangle(15, 20, 25, 30)),
        (Rectangle(30, 0, 50, 50), Rectangle(30, 20, 30, 40)),
    ],
)
def test_a_rectangle_is_clipped_to_what_both_have(other: Rectangle, clipped: Rectangle) -> None:
    assert Rectangle(10, 20, 30, 40).clipped(other) == clipped
    assert clipped.empty == (clipped.width <= 0)
