"""A guest that programs its display wrongly gets a picture all the same, of its own memory and nobody else's."""

from __future__ import annotations

import random

import pytest
from support.scanout_rig import CURSOR, PIPE_SOURCE, ScanoutRig, colors_of, plane_base

from host_model.host import Host
from pvinfo.finding import FindingKind
from pvinfo.registers.scaler import Scaler
from pvinfo.units import GIB, MIB, PAGE_SIZE

XRGB = 0x4 << 24
GREY, BLACK = (128, 128, 128), (0, 0, 0)
SECRET = b"\xde\xad\xbe\xef" * 1024


def all_colors(rig: ScanoutRig) -> set[tuple[int, int, int]]:
    return {color for row in colors_of(rig.frame()) for color in row}


# ---- memory that is not the guest's ----


def test_a_plane_in_another_guests_memory_is_black_and_told() -> None:
    host = Host("skl")
    victim, rig = ScanoutRig(host=host), ScanoutRig(host=host, seed=2)
    victim.store(0, SECRET * 256)
    rig.registers.write32(0x70034, 0x3FFFFFFF)
    rig.plane(1, XRGB, 4, surface=victim.surface, place=(0, 0), size=(40, 48))
    frame = colors_of(rig.frame())
    assert frame[0][39] == BLACK and frame[0][40] == (255, 255, 255)
    (finding,) = rig.vgpu.findings.of_rule("plane-outside-slice")
    assert finding.kind is FindingKind.GUEST_FAULT and finding.value == victim.surface and finding.vgpu == 2
    assert finding.where == "pipe A plane 1 (PLANE_CTL 0x70180)" and finding.nearest == rig.vgpu.resources.owned
    assert SECRET[:3] in bytes(victim.contents()) and host.guard.violations == 0


@pytest.mark.parametrize("tiling", [0, 1, 4, 5])
@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
def test_no_row_of_a_plane_may_lie_outside_the_slice(tiling: int, rotation: int) -> None:
    rig = ScanoutRig()
    rig.size(256, 128)
    end = rig.vgpu.resources.low.stop
    rig.store(0, bytes([1, 2, 3, 4]) * (512 * 1024))
    tiles = 256 // 32 if tiling > 1 else 2
    bytes_shown = 256 * 4 * 128
    stride = 128 // 32 if rotation % 2 and tiling > 1 else tiles if tiling else 16
    size = (128, 256) if rotation % 2 else (256, 128)
    rig.size(*size)
    for pages in range(-2, 2):
        rig.vgpu.findings.clear()
        address = end - bytes_shown + pages * PAGE_SIZE
        for number in range(pages + 40):
            rig.rig.map(end - PAGE_SIZE * (number + 1), rig.pages[number])
        rig.plane(1, XRGB | tiling << 10 | rotation, stride, surface=address, size=size)
        rig.frame()
        inside = pages <= 0
        if tiling > 1 or rotation % 2 == 0:
            assert bool(rig.vgpu.findings.of_rule("plane-outside-slice")) is not inside
        else:
            assert rig.vgpu.findings.of_rule("plane-rotation")


def test_a_cursor_in_the_hosts_memory_is_not_seen() -> None:
    rig = ScanoutRig()
    rig.plane(1, XRGB, 4)
    before = rig.frame().pixels
    rig.cursor(0x27, 5, 5, surface=0x1000)
    assert rig.frame().pixels == before
    assert rig.vgpu.findings.of_rule("plane-outside-slice")[0].where == "pipe A cursor (CURCNTR 0x70080)"


def test_pages_that_the_guest_has_not_mapped_are_black() -> None:
    rig = ScanoutRig()
    rig.store(0, bytes([1, 2, 3, 4]) * 4096)
    rig.plane(1, XRGB, 4)
    rig.rig.vgpu.mmio.write(0x800000 + (rig.surface + PAGE_SIZE >> 12) * 8, 8, 0)
    rows = colors_of(rig.frame())
    assert rows[15][0] == (3, 2, 1) and rows[16][0] == BLACK and rows[31][63] == BLACK and rows[32][0] == (3, 2, 1)
    (finding,) = rig.vgpu.findings.of_rule("plane-not-mapped")
    assert finding.value == rig.surface + PAGE_SIZE


def test_what_was_mapped_before_is_not_shown_any_more() -> None:
    rig = ScanoutRig()
    rig.store(0, bytes([1, 2, 3, 4]) * 4096)
    rig.plane(1, XRGB, 4)
    assert colors_of(rig.frame())[0][0] == (3, 2, 1)
    rig.rig.map(rig.surface, rig.pages[100])
    assert colors_of(rig.frame())[0][0] == BLACK
    rig.rig.map(rig.surface, 0x7FFFFFFF000)
    rig.frame()
    assert rig.vgpu.mediator.guard.violations == 0


# ---- what the model cannot show ----


@pytest.mark.parametrize(
    ("control", "rule"),
    [
        (0x1 << 24, "plane-format"), (0x3 << 24, "plane-format"), (0x8 << 24, "plane-format"), (0xF << 24, "plane-format"), (0xE << 24 | 1 << 20, "plane-format"),
        (XRGB | 2 << 10, "plane-tiling"), (XRGB | 1 << 15, "plane-compression"), (XRGB | 1, "plane-rotation"), (XRGB | 1 << 10 | 3, "plane-rotation"),
        (0 << 24 | 4 << 10 | 1, "plane-rotation"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_a_grey_rectangle(control: int, rule: str) -> None:
    rig = ScanoutRig()
    rig.plane(1, control, 4, place=(4, 2), size=(10, 20))
    rows = colors_of(rig.frame())
    assert {rows[y][x] for y in range(2, 22) for x in range(4, 14)} == {GREY}
    assert rows[1][4] == rows[2][3] == rows[22][13] == rows[21][14] == BLACK
    (finding,) = rig.vgpu.findings.of_rule(rule)
    assert finding.kind is FindingKind.NOT_MODELLED and finding.value == control | 1 << 31


def test_a_cursor_of_two_bits_a_pixel_is_a_grey_rectangle() -> None:
    rig = ScanoutRig()
    rig.cursor(0x04, -60, 40)
    rows = colors_of(rig.frame())
    assert rows[40][3] == rows[47][0] == GREY and rows[39][0] == rows[40][4] == BLACK
    assert rig.vgpu.findings.of_rule("cursor-mode")


def test_a_plane_behind_a_scaler_is_grey_where_its_window_is() -> None:
    rig = ScanoutRig()
    rig.plane(1, XRGB, 4)
    scaler = Scaler(rig.registers, "PIPE_A_SCALER_2")
    scaler.ctrl = type(scaler.ctrl).of(enable=True, binding=1)
    scaler.win_pos = type(scaler.win_pos).of(x=10, y=20)
    scaler.win_sz = type(scaler.win_sz).of(width=5, height=6)
    rows = colors_of(rig.frame())
    assert rows[20][10] == rows[25][14] == GREY and rows[19][10] == rows[26][14] == BLACK
    assert rig.vgpu.findings.of_rule("plane-scaler")


# ---- whatever the registers say ----

GEN9 = tuple(code << 24 for code in (0x0, 0x2, 0x4, 0x4, 0x6, 0xC, 0xE))
FORMATS = {"skl": GEN9, "bxt": GEN9, "bdw": tuple(code << 26 for code in (0x1, 0x2, 0x5, 0x6, 0x6, 0xA))}


@pytest.mark.parametrize("platform", ["skl", "bdw", "bxt"])
def test_random_registers_never_stop_the_host(platform: str) -> None:
    numbers = random.Random(f"hostile {platform}")
    rig = ScanoutRig(platform)
    rig.store(0, numbers.randbytes(2 * MIB))
    secret = rig.vgpu.mediator.memory.allocate(1)
    secret.bytes[:] = SECRET
    rig.vgpu.gpu.ggtt.entries[1] = secret.address | 1
    addresses = (*[rig.surface] * 8, 0, 0x1000, rig.vgpu.resources.low.stop - PAGE_SIZE, rig.vgpu.resources.high.start, 0xFFFFF000)
    shown = 0
    for _ in range(100):
        rig.registers.write32(PIPE_SOURCE, numbers.getrandbits(8) << 16 | numbers.getrandbits(7) | numbers.getrandbits(32) & 0xE000F000)
        for number in range(1, 5):
            for offset in range(0, 0x30, 4):
                bits = numbers.getrandbits(32) if numbers.random() < 0.7 else numbers.choice((0, 0xFFFFFFFF))
                rig.registers.write32(plane_base(number) + offset, bits)
            if numbers.random() < 0.8:
                format_and_tiling = numbers.choice(FORMATS[platform]) | numbers.choice((0, 1, 4, 5)) << 10
                rig.registers.write32(plane_base(number), 1 << 31 | format_and_tiling | numbers.getrandbits(32) & 0x0074_0032)
                rig.registers.write32(plane_base(number) + 0xC, numbers.getrandbits(7) << 16 | numbers.getrandbits(7))
                rig.registers.write32(plane_base(number) + 8, numbers.choice((0, 1, 4, 4, 8, 64, 0xFFF, 0xFFFFFFFF)))
                rig.registers.write32(plane_base(number) + 0x24, numbers.choice((*[0] * 6, 0x00010001, 0x0FFF1FFF, 0xFFFFFFFF)))
                rig.registers.write32(plane_base(number) + 0x2C, numbers.choice(addresses) | numbers.getrandbits(12))
        for offset in range(0, 0x30, 4):
            rig.registers.write32(CURSOR + offset, numbers.getrandbits(32))
        rig.registers.write32(0x4A480, numbers.getrandbits(2))
        frame = rig.frame()
        assert len(frame.pixels) == frame.pitch * frame.height == 4 * frame.width * frame.height
        assert SECRET[:8] not in frame.pixels
        shown += len(set(frame.pixels)) > 4
    assert shown > 10 and rig.vgpu.mediator.guard.violations == 0
    assert rig.vgpu.findings.of_rule("plane-outside-slice") and rig.vgpu.findings.of_rule("plane-format")


def test_the_largest_picture_has_8192_by_4096_pixels() -> None:
    rig = ScanoutRig()
    rig.registers.write32(PIPE_SOURCE, 0xFFFFFFFF)
    frame = rig.frame()
    assert (frame.width, frame.height, len(frame.pixels)) == (8192, 4096, 128 * MIB)


@pytest.mark.parametrize("control", [0, 6 << 24, XRGB | 2 << 4])
def test_no_more_pixels_than_a_large_screen_has_are_made_one_by_one(control: int) -> None:
    # 32 Mi pixels of these kinds would keep the host busy for many seconds, again and again.
    rig = ScanoutRig()
    rig.size(8192, 1025)
    rig.plane(1, control, 0, size=(8192, 1025))
    frame = rig.frame()
    assert frame.pixels == b"\x80\x80\x80\0" * (8192 * 1025)
    assert rig.vgpu.findings.of_rule("plane-too-large")[0].value == 8192 * 1025
    rig.size(64, 48)
    rig.vgpu.findings.clear()
    rig.frame()
    assert not rig.vgpu.findings.of_rule("plane-too-large")


def test_a_plane_far_larger_than_the_pipe_is_read_only_where_it_is_seen() -> None:
    rig = ScanoutRig()
    rig.store(0, bytes([1, 2, 3, 4]) * 16384)
    # 8192 by 4096 pixels would be far more than the surface; the pipe shows 64 by 48 of them.
    rig.plane(1, XRGB, 4, size=(8192, 4096))
    assert all_colors(rig) == {(3, 2, 1)}
    assert not list(rig.vgpu.findings.of_rule("plane-outside-slice"))


def test_an_address_near_the_end_of_graphics_memory_does_not_wrap_around() -> None:
    rig = ScanoutRig()
    rig.plane(1, XRGB, 0xFFF, surface=4 * GIB - PAGE_SIZE, offset=(0x1FFF, 0xFFF))
    assert all_colors(rig) == {BLACK}
    assert rig.vgpu.findings.of_rule("plane-outside-slice")[0].value == 4 * GIB - PAGE_SIZE
