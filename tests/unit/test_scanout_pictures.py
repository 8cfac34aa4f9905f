"""Planes, cursor and background make the picture that the rules say."""

from __future__ import annotations

import random
from functools import cache

import pytest
from support.scanout_rig import PALETTE, ScanoutRig, colors_of, plane_base

from host_model.scanout import HotSpot, scan_out
from pvinfo.errors import UsageError
from pvinfo.page import PvInfo
from pvinfo.registers.plane import Plane
from pvinfo.registers.transcoder import TranscoderSwitch

XRGB = 0x4 << 24
FIRST = 1, XRGB, 8
WIDTH, HEIGHT = 64, 48
ARGB_64, ARGB_128, ARGB_256, XRGB_64 = 0x27, 0x22, 0x23, 0x07


@cache
def rig_of(platform: str) -> ScanoutRig:
    return ScanoutRig(platform)


def fresh(platform: str = "skl", seed: int = 1) -> ScanoutRig:
    rig = rig_of(platform)
    rig.clear()
    rig.size(WIDTH, HEIGHT)
    numbers = random.Random(seed)
    pixels = bytearray(numbers.randbytes(2 << 20))
    for start in range(0, len(pixels), 1 << 12):
        # Pages that are opaque, that are not seen at all, and others.
        pixels[start + 3 : start + 4096 : 4] = numbers.choice((b"\xff" * 1024, bytes(1024), numbers.randbytes(1024)))
    rig.store(0, bytes(pixels))
    return rig


def assert_shows_what_the_rules_say(rig: ScanoutRig) -> None:
    assert colors_of(rig.frame()) == rig.naive()


# ---- planes above each other ----


def test_where_no_plane_is_the_bottom_colour_is_seen() -> None:
    rig = fresh()
    rig.registers.write32(0x70034, 0x3FF << 20 | 0x200 << 10 | 0x004)
    assert set(colors_of(rig.frame())[0]) == {(255, 128, 1)}
    rig.plane(1, XRGB, 16, place=(10, 5), size=(20, 20))
    assert_shows_what_the_rules_say(rig)


def test_gen8_has_black_where_no_plane_is() -> None:
    rig = fresh("bdw")
    rig.registers.write32(0x70034, 0x3FFFFFFF)
    assert set(rig.frame().pixels) == {0}


def test_a_plane_that_reaches_beyond_the_pipe_is_cut_off() -> None:
    rig = fresh()
    for rotation in range(4):
        rig.plane(1, XRGB | 4 << 10 | rotation, 4, place=(30, 20), size=(90, 70))
        assert_shows_what_the_rules_say(rig)


@pytest.mark.parametrize("alpha", [2, 3])
def test_a_plane_with_alpha_lets_what_is_below_shine_through(alpha: int) -> None:
    rig = fresh(seed=alpha)
    rig.plane(1, XRGB, 16, size=(WIDTH, HEIGHT))
    rig.plane(2, XRGB | alpha << 4, 16, surface=rig.surface + 0x8000, place=(5, 3), size=(50, 40))
    assert_shows_what_the_rules_say(rig)


def test_colours_above_their_alpha_stop_at_the_brightest() -> None:
    rig = fresh()
    rig.store(0, bytes([200, 10, 255, 0]) * (WIDTH * HEIGHT))
    rig.store(0x8000, bytes([100, 20, 255, 40]) * (WIDTH * HEIGHT))
    rig.plane(1, XRGB, 4)
    rig.plane(2, XRGB | 2 << 4, 4, surface=rig.surface + 0x8000)
    # 255 * 215 / 255 is 215, 10 * 215 / 255 is 8, 200 * 215 / 255 is 169.
    assert colors_of(rig.frame())[0][0] == (255, 28, 255)


def test_a_source_key_is_not_shown_and_a_destination_key_is_all_that_is_covered() -> None:
    rig = fresh()
    numbers = random.Random(3)
    few = [numbers.randbytes(4) for _ in range(3)]
    for start in (0, 0x8000):
        rig.store(start, b"".join(numbers.choice(few) for _ in range(WIDTH * HEIGHT)))
    color = few[0][2] << 16 | few[0][1] << 8 | few[0][0]
    for which in (1, 2):
        for mask in (0x07FFFFFF, 0xFF0000, 0x010101, 0):
            rig.plane(1, XRGB, 4)
            rig.plane(2, XRGB | which << 21, 4, surface=rig.surface + 0x8000, place=(7, 0), size=(50, 48), key=(color, mask))
            assert_shows_what_the_rules_say(rig)


def test_a_sprite_of_gen8_is_keyed_too() -> None:
    rig = fresh("bdw")
    for bit in (22, 2):
        rig.plane(1, 6 << 26, 256)
        rig.plane(2, 2 << 25 | 1 << bit, 256, surface=rig.surface + 0x8000, size=(40, 30), key=(0x808080, 0x808080))
        assert_shows_what_the_rules_say(rig)


def test_gamma_correction_changes_the_planes_that_go_through_it() -> None:
    rig = fresh()
    for number in range(256):
        rig.registers.write32(PALETTE + 4 * number, (255 - number) << 16 | number // 2 << 8 | number ^ 0x55)
    rig.plane(1, XRGB | 1 << 30, 16)
    rig.plane(2, XRGB, 16, surface=rig.surface + 0x8000, size=(20, 20))
    assert_shows_what_the_rules_say(rig)


def test_a_gamma_correction_of_more_bits_is_told_and_left_out() -> None:
    rig = fresh()
    for number in range(256):
        rig.registers.write32(PALETTE + 4 * number, 0)
    rig.plane(1, XRGB | 1 << 30, 4)
    rig.registers.write32(0x4A480, 1)
    bright = colors_of(rig.frame())
    rig.registers.write32(0x4A480, 0)
    assert bright[0][0] != (0, 0, 0) and rig.vgpu.findings.of_rule("gamma-mode")
    assert {color for row in colors_of(rig.frame()) for color in row} == {(0, 0, 0)}


# ---- the cursor ----


@pytest.mark.parametrize("mode", [ARGB_64, ARGB_128, ARGB_256, XRGB_64, 0x02, 0x03])
def test_a_cursor_lies_above_all_planes_and_may_begin_outside(mode: int) -> None:
    rig = fresh(seed=mode)
    size = {0x07: 64, 0x02: 128, 0x03: 256}[mode & 7]
    for x, y in ((5, 9), (-13, 20), (30, -40), (-size + 1, -size + 1), (WIDTH - 1, HEIGHT - 1), (-size, 0), (WIDTH, 0)):
        for turned in (0, 1 << 15):
            rig.plane(1, XRGB, 16)
            rig.cursor(mode | turned, x, y, surface=rig.surface + 0x10000)
            assert_shows_what_the_rules_say(rig)
            assert rig.frame().cursor is not None and rig.frame().cursor == (x, y, x + size, y + size)


def test_a_cursor_may_have_fewer_lines_than_its_mode_says() -> None:
    rig = fresh()
    rig.plane(1, XRGB, 16)
    rig.cursor(ARGB_64, 2, 3, surface=rig.surface + 0x10000, lines=1 << 31 | 19)
    assert_shows_what_the_rules_say(rig)
    assert rig.frame().cursor == (2, 3, 66, 23)


def test_a_cursor_that_is_off_is_not_in_the_picture() -> None:
    rig = fresh()
    rig.plane(1, XRGB, 16)
    before = rig.frame()
    rig.cursor(0, 5, 5)
    assert rig.frame() == before and before.cursor is None


def test_the_hot_spot_is_what_the_guest_has_told() -> None:
    rig = ScanoutRig()
    assert rig.frame().hot_spot is None
    rig.vgpu.mmio.write32(PvInfo.cursor_x_hot.at(), 7)
    assert rig.frame().hot_spot is None
    rig.vgpu.mmio.write32(PvInfo.cursor_y_hot.at(), 0)
    assert rig.frame().hot_spot == HotSpot(7, 0)


# ---- all together ----


def random_display(rig: ScanoutRig, numbers: random.Random) -> None:
    rig.clear()
    rig.size(numbers.randint(1, WIDTH), numbers.randint(1, HEIGHT))
    rig.registers.write32(0x70034, numbers.getrandbits(30))
    if numbers.random() < 0.3:
        for number in range(256):
            rig.registers.write32(PALETTE + 4 * number, numbers.getrandbits(24))
    for number in range(1, 5):
        if numbers.random() < 0.5:
            continue
        tiling = numbers.choice((0, 1, 4, 5))
        rotation = numbers.choice((0, 1, 2, 3) if tiling > 1 else (0, 2))
        code = numbers.choice((0x2, 0x4, 0x6, 0xC, 0xE))
        control = code << 24 | tiling << 10 | rotation | numbers.choice((0, 0, 1 << 30)) | numbers.choice((0, 1 << 20)) * (code in (2, 4, 6))
        control |= numbers.choice((0, 0, 2, 3)) << 4 | numbers.choice((0, 0, 0, 1, 2)) << 21
        rig.plane(
            number, control, numbers.randint(0, 9) if tiling else numbers.randint(0, 40), surface=rig.surface + 0x1000 * numbers.randint(0, 40),
            offset=(numbers.randint(0, 90), numbers.randint(0, 60)), place=(numbers.randint(0, WIDTH), numbers.randint(0, HEIGHT)),
            size=(numbers.randint(1, 80), numbers.randint(1, 60)), key=(numbers.getrandbits(24), numbers.choice((0xC0C0C0, 0x808080, 0x07FFFFFF))),
        )  # fmt: skip
    if numbers.random() < 0.6:
        control = numbers.choice((ARGB_64, ARGB_128, XRGB_64)) | numbers.getrandbits(1) << 15 | numbers.getrandbits(1) << 26
        rig.cursor(control, numbers.randint(-130, 70), numbers.randint(-130, 50), surface=rig.surface + 0x20000, lines=numbers.getrandbits(6))


@pytest.mark.parametrize("seed", range(24))
def test_any_picture_is_the_one_that_the_rules_say(seed: int) -> None:
    rig = fresh(seed=seed)
    random_display(rig, random.Random(seed))
    assert_shows_what_the_rules_say(rig)


# ---- when, and of which pipe ----


def test_nothing_is_shown_while_no_pipe_runs() -> None:
    rig = ScanoutRig()
    conf = TranscoderSwitch.conf.at("TRANSCODER_A")
    assert scan_out(rig.vgpu, "PIPE_A") is not None and scan_out(rig.vgpu, "PIPE_B") is None
    rig.vgpu.mmio.write32(conf, 0)
    assert scan_out(rig.vgpu) is None
    rig.vgpu.mmio.write32(conf, 1 << 31)
    assert scan_out(rig.vgpu) is not None
    rig.vgpu.reset()
    assert scan_out(rig.vgpu) is None


def test_the_first_pipe_that_runs_is_shown() -> None:
    rig = ScanoutRig()
    rig.vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 0)
    rig.vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_B"), 1 << 31)
    rig.registers.write32(0x6101C, 9 << 16 | 4)
    base = plane_base(1, pipe=1)
    for at, value in {0: XRGB | 1 << 31, 8: 1, 0x10: 4 << 16 | 9, 0x1C: rig.surface, 0x2C: rig.surface}.items():
        rig.registers.write32(base + at, value)
    frame = rig.frame()
    assert (frame.pipe, frame.width, frame.height, frame.pitch) == ("PIPE_B", 10, 5, 40)
    assert frame.pixels == b"".join(rig.contents()[64 * row : 64 * row + 40] for row in range(5))


def test_a_pipe_has_one_of_three_names() -> None:
    with pytest.raises(UsageError, match="pipe 'A': a pipe is one of PIPE_A, PIPE_B, PIPE_C"):
        scan_out(rig_of("skl").vgpu, "A")


def test_a_flip_is_seen_at_the_end_of_the_frame() -> None:
    rig = fresh()
    mmio, plane = rig.vgpu.mmio, "PIPE_A_PLANE_1"
    rig.plane(*FIRST)
    first = rig.frame()
    mmio.write32(Plane.surf.at(plane), rig.surface + 0x8000)
    assert rig.frame() == first
    rig.rig.wait(20_000_000)
    contents = rig.contents()[0x8000:]
    assert rig.frame().pixels == b"".join(contents[512 * row : 512 * row + 256] for row in range(HEIGHT))


def test_a_plane_is_not_shown_before_its_first_surface_is() -> None:
    rig = fresh()
    rig.plane(*FIRST)
    rig.registers.write32(plane_base(1) + 0x2C, 0)
    assert not any(rig.frame().pixels)
    assert not rig.vgpu.findings.of_rule("plane-outside-slice")


def test_the_physical_gpu_shows_what_its_own_driver_put_into_graphics_memory() -> None:
    rig = ScanoutRig()
    gpu = rig.vgpu.gpu
    block = rig.vgpu.mediator.memory.allocate(3)
    block.bytes[:] = random.Random(5).randbytes(3 * 4096)
    for number in range(3):
        gpu.ggtt.entries[16 + number] = block.address + 4096 * number | 1
    gpu.registers.write32(0x6001C, 31 << 16 | 15)
    base = plane_base(1)
    for at, value in {0: XRGB | 1 << 31, 8: 4, 0x10: 15 << 16 | 31, 0x1C: 16 << 12, 0x2C: 16 << 12}.items():
        gpu.registers.write32(base + at, value)
    assert scan_out(gpu) is None
    gpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 1 << 31)
    frame = scan_out(gpu)
    assert frame is not None and frame.hot_spot is None
    assert frame.pixels == b"".join(bytes(block.bytes[256 * row : 256 * row + 128]) for row in range(16))
    gpu.registers.write32(base + 0x2C, 0xFFFFF000)
    dark = scan_out(gpu)
    assert dark is not None and not any(dark.pixels)
    assert gpu.findings.of_rule("plane-not-mapped")[0].value == 0xFFFFF000


