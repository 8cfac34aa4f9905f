"""Every format, tiling and turn of a plane gives the pixels that the rules say, wherever it begins."""

from __future__ import annotations

import random
from functools import cache

import pytest
from support.naive_scanout import SIZES, tile_size
from support.scanout_rig import ScanoutRig, colors_of

WIDTH, HEIGHT = 52, 37
ROTATIONS = {"linear": (0, 2), "X": (0, 2), "Y": (0, 1, 2, 3), "Yf": (0, 1, 2, 3)}
TILINGS = {"linear": 0, "X": 1, "Y": 4, "Yf": 5}

SKYLAKE = {
    "C8": 0xC << 24, "RGB565": 0xE << 24, "XRGB": 0x4 << 24, "XBGR": 0x4 << 24 | 1 << 20, "XRGB10": 0x2 << 24, "XBGR10": 0x2 << 24 | 1 << 20,
    "XRGBF": 0x6 << 24, "XBGRF": 0x6 << 24 | 1 << 20, "YUYV": 0, "UYVY": 1 << 16, "YVYU": 2 << 16, "VYUY": 3 << 16,
}  # fmt: skip
BROADWELL = {"C8": 0x2, "RGB565": 0x5, "XRGB": 0x6, "XBGR10": 0x8, "XRGB10": 0xA, "XBGRF": 0xC, "XBGR": 0xE}
SPRITE = {
    "XRGB": 2 << 25, "XBGR": 2 << 25 | 1 << 20, "XRGB10": 1 << 25, "XBGR10": 1 << 25 | 1 << 20, "XRGBF": 3 << 25, "XBGRF": 3 << 25 | 1 << 20,
    "YUYV": 0, "UYVY": 1 << 16, "YVYU": 2 << 16, "VYUY": 3 << 16,
}  # fmt: skip


@cache
def rig_of(platform: str) -> ScanoutRig:
    """One for all tests: each writes all registers that it needs."""
    rig = ScanoutRig(platform)
    rig.size(WIDTH, HEIGHT)
    rig.store(0, random.Random(7).randbytes(2 << 20))
    return rig


def fresh(platform: str, random_numbers: random.Random) -> ScanoutRig:
    rig = rig_of(platform)
    rig.clear()
    for number in range(256):
        rig.registers.write32(0x4A000 + 4 * number, random_numbers.getrandbits(24))
    return rig


def assert_shows_what_the_rules_say(rig: ScanoutRig, tolerance: int = 0) -> None:
    shown, expected = colors_of(rig.frame()), rig.naive()
    if not tolerance:
        assert shown == expected
        return
    far = [
        (x, y, one, other)
        for y, rows in enumerate(zip(shown, expected, strict=True))
        for x, (one, other) in enumerate(zip(*rows, strict=True))
        if any(abs(a - b) > tolerance for a, b in zip(one, other, strict=True))
    ]
    assert not far


@pytest.mark.parametrize("kind", SKYLAKE)
@pytest.mark.parametrize("tiling", TILINGS)
def test_a_plane_of_gen9_shows_its_surface(kind: str, tiling: str) -> None:
    yuv = kind in ("YUYV", "UYVY", "YVYU", "VYUY")
    numbers = random.Random(f"{kind} {tiling}")
    for rotation in ROTATIONS[tiling]:
        if yuv and rotation % 2:
            continue
        rig = fresh("skl", numbers)
        if tiling == "linear":
            stride = numbers.randint(9, 20)
        else:
            across, down = tile_size(tiling, SIZES[kind])
            pixels = down if rotation % 2 else across // SIZES[kind]
            stride = -(-(WIDTH + 40) // pixels) + numbers.randint(0, 1)
        control = SKYLAKE[kind] | TILINGS[tiling] << 10 | rotation | numbers.getrandbits(1) << 18 | numbers.getrandbits(1) << 28
        size = numbers.randint(WIDTH // 2, WIDTH), numbers.randint(HEIGHT // 2, HEIGHT)
        offset, place = (numbers.randint(0, 40), numbers.randint(0, 40)), (numbers.randint(0, 20), numbers.randint(0, 20))
        rig.plane(1, control, stride, surface=rig.surface + 4096 * numbers.randint(0, 3), offset=offset, place=place, size=size)
        assert_shows_what_the_rules_say(rig, tolerance=1 if yuv else 0)


@pytest.mark.parametrize("kind", BROADWELL)
@pytest.mark.parametrize("tiled", [False, True])
def test_a_primary_plane_of_gen8_fills_the_pipe(kind: str, tiled: bool) -> None:
    numbers = random.Random(f"{kind} {tiled}")
    for turned in (0, 1):
        rig = fresh("bdw", numbers)
        stride = 512 * numbers.randint(2, 3) if tiled else 64 * numbers.randint(12, 20)
        rig.plane(1, BROADWELL[kind] << 26 | tiled << 10 | turned << 15, stride, offset=(numbers.randint(0, 40), numbers.randint(0, 40)))
        assert_shows_what_the_rules_say(rig)


@pytest.mark.parametrize("kind", SPRITE)
@pytest.mark.parametrize("tiled", [False, True])
def test_a_sprite_of_gen8_lies_above_the_primary_plane(kind: str, tiled: bool) -> None:
    numbers = random.Random(f"{kind} {tiled}")
    for turned in (0, 1):
        rig = fresh("bdw", numbers)
        rig.plane(1, 0x6 << 26, 512)
        stride = 512 * numbers.randint(2, 3) if tiled else 64 * numbers.randint(12, 20)
        rig.plane(
            2, SPRITE[kind] | tiled << 10 | turned << 15 | numbers.getrandbits(1) << 18 | numbers.getrandbits(1) << 28, stride,
            surface=rig.surface + 0x10000, offset=(numbers.randint(0, 40), numbers.randint(0, 40)), place=(numbers.randint(0, 30), numbers.randint(0, 30)),
            size=(numbers.randint(1, WIDTH), numbers.randint(1, HEIGHT)),
        )  # fmt: skip
        assert_shows_what_the_rules_say(rig, tolerance=1 if kind in ("YUYV", "UYVY", "YVYU", "VYUY") else 0)


def test_a_surface_mapped_as_the_kernel_does_for_a_turned_plane_is_seen_turned() -> None:
    # An upright Y-tiled surface of 4 by 3 tiles; in the turned mapping, each column of tiles is a row, from its lowest tile up.
    rig = rig_of("skl")
    rig.clear()
    across, down, stride = 4, 3, 4
    rig.size(32 * across, 32 * down)
    rig.plane(1, SKYLAKE["XRGB"] | TILINGS["Y"] << 10, stride, size=(32 * across, 32 * down))
    upright = colors_of(rig.frame())
    mapped = rig.surface + 0x100000
    order = [column + stride * row for column in range(across) for row in reversed(range(down))]
    for number, tile in enumerate(order):
        rig.rig.map(mapped + 4096 * number, rig.pages[tile])
    rig.size(32 * down, 32 * across)
    try:
        for rotation in (1, 3):
            rig.plane(1, SKYLAKE["XRGB"] | TILINGS["Y"] << 10 | rotation, down, surface=mapped, size=(32 * down, 32 * across))
            expected = [list(column) for column in zip(*reversed(upright), strict=True)]
            if rotation == 3:
                expected = [row[::-1] for row in reversed(expected)]
            assert colors_of(rig.frame()) == expected
    finally:
        for number in range(len(order)):
            rig.rig.map(mapped + 4096 * number, rig.pages[256 + number])
        rig.size(WIDTH, HEIGHT)


@pytest.mark.parametrize("tiling", ["X", "Y", "Yf"])
@pytest.mark.parametrize("kind", ["XRGB", "RGB565", "C8", "XRGBF"])
def test_a_tiled_surface_looks_like_the_same_picture_in_rows(tiling: str, kind: str) -> None:
    from support.naive_scanout import place_in_tile

    numbers = random.Random(f"{tiling} {kind}")
    rig = fresh("skl", numbers)
    size = SIZES[kind]
    width, height = tile_size(tiling, size)
    stride = -(-WIDTH * size // width)
    rows = numbers.randbytes(stride * width * HEIGHT)
    tiled = bytearray(stride * width * (-(-HEIGHT // height) * height))
    for y in range(HEIGHT):
        for x in range(stride * width):
            place = y // height * height * stride * width + x // width * width * height + place_in_tile(tiling, size, x % width, y % height)
            tiled[place] = rows[y * stride * width + x]
    rig.store(0x80000, rows)
    rig.store(0x100000, bytes(tiled))
    rig.plane(1, SKYLAKE[kind], stride * width // 64, surface=rig.surface + 0x80000, size=(WIDTH, HEIGHT))
    linear = rig.frame()
    rig.plane(1, SKYLAKE[kind] | TILINGS[tiling] << 10, stride, surface=rig.surface + 0x100000, size=(WIDTH, HEIGHT))
    assert rig.frame().pixels == linear.pixels
