"""What a picture costs: a screen of 1024 by 768 pixels, from registers to a frame, against a plain copy of its rows.

Both sides take another screen each time, of more than a processor's cache holds. The surfaces are in one piece of guest memory, as
a guest has them after start; the figures without a bar are of scattered pages, of other formats, of turned planes and of files.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import cycle

import pytest
from support.figures import Figure, Figures, side_by_side
from support.scanout_rig import CURSOR, PALETTE, PIPE_SOURCE, plane_base
from support.vgpu_rig import PRESENT_WRITABLE

from host_model.host import Host
from host_model.scanout import png, raw_frame, scan_out
from pvinfo.registers.transcoder import TranscoderSwitch
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

pytestmark = pytest.mark.bench

WIDTH, HEIGHT, PITCH = 1024, 768, 4096
BYTES = PITCH * HEIGHT
SCREEN = 8 * MIB
"""Room for pixels of eight bytes."""
SCREENS = 6
ROUNDS = 31
LINEAR_BAR, TILED_BAR = 3.0, 12.0
AGAINST = "a plain copy of the rows"
XRGB = 4 << 24
LINEAR, X, Y, YF = (tiling << 10 for tiling in (0, 1, 4, 5))


class Screens:
    """A vGPU with surfaces that it shows in turn, and as many pieces of memory that are copied row by row."""

    def __init__(self, *, scattered: bool = False) -> None:
        self.vgpu, machine = Host("skl").plug(ram_size=(SCREENS + 1) * SCREEN)
        numbers = random.Random(1)
        data = numbers.randbytes(MIB)
        pages = list(range(SCREENS * SCREEN // PAGE_SIZE))
        for start in range(0, SCREENS * SCREEN, MIB):
            machine.memory.write(GuestAddress(SCREEN + start), data)
        if scattered:
            numbers.shuffle(pages)
        first = self.vgpu.resources.low.start
        for number, page in enumerate(pages):
            self.vgpu.mmio.write((first + PAGE_SIZE * number >> 12) * 8 + 0x800000, 8, SCREEN + PAGE_SIZE * page | PRESENT_WRITABLE)
        self._surfaces = cycle([first + SCREEN * number for number in range(SCREENS)])
        registers = self.vgpu.registers
        registers.write32(PIPE_SOURCE, WIDTH - 1 << 16 | HEIGHT - 1)
        for number in range(256):
            registers.write32(PALETTE + 4 * number, numbers.getrandbits(24))
        self.vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 1 << 31)
        self._copies = cycle([(memoryview(bytearray(BYTES)), memoryview(bytearray(data * 3))) for _ in range(SCREENS)])

    def plane(self, number: int, control: int, stride: int) -> None:
        registers, base = self.vgpu.registers, plane_base(number)
        for offset, value in {0: control | 1 << 31, 8: stride, 0x10: HEIGHT - 1 << 16 | WIDTH - 1}.items():
            registers.write32(base + offset, value)

    def scan(self, operations: int) -> None:
        registers = self.vgpu.registers
        for _ in range(operations):
            surface = next(self._surfaces)
            registers.write32(plane_base(1) + 0x2C, surface)
            registers.write32(plane_base(2) + 0x2C, surface)
            registers.write32(CURSOR + 0x2C, surface)
            assert scan_out(self.vgpu) is not None

    def copy(self, operations: int) -> None:
        for _ in range(operations):
            target, source = next(self._copies)
            for row in range(0, BYTES, PITCH):
                target[row : row + PITCH] = source[row : row + PITCH]


def measure(figures: Figures, what: str, screens: Screens, bar: float | None, scan: Callable[[int], object] | None = None) -> None:
    ours, least = side_by_side(scan or screens.scan, screens.copy, 4, ROUNDS if bar is not None else 9, time.thread_time_ns)
    figure = figures.add(Figure(what, ours, AGAINST, least, bar))
    assert bar is None or figure.ratio <= bar


TILINGS = [("linear", LINEAR, 64, LINEAR_BAR), ("X-tiled", X, 8, TILED_BAR), ("Y-tiled", Y, 32, TILED_BAR), ("Yf-tiled", YF, 32, TILED_BAR)]


@pytest.mark.parametrize(("what", "tiling", "stride", "bar"), TILINGS)
def test_a_screen_is_decoded_at_the_speed_of_memory(what: str, tiling: int, stride: int, bar: float, figures: Figures) -> None:
    screens = Screens()
    screens.plane(1, XRGB | tiling, stride)
    measure(figures, f"scan-out, {what}, 1024x768, XRGB8888", screens, bar)


@pytest.mark.parametrize(("what", "tiling", "stride"), [row[:3] for row in TILINGS])
def test_a_screen_of_scattered_pages(what: str, tiling: int, stride: int, figures: Figures) -> None:
    screens = Screens(scattered=True)
    screens.plane(1, XRGB | tiling, stride)
    measure(figures, f"scan-out, {what}, 1024x768, XRGB8888, scattered pages", screens, None)


@pytest.mark.parametrize(
    ("what", "control", "stride"),
    [
        ("XBGR8888", XRGB | 1 << 20, 64), ("RGB565", 0xE << 24, 32), ("C8", 0xC << 24, 16), ("XRGB2101010", 2 << 24, 64), ("XBGR2101010", 2 << 24 | 1 << 20, 64),
        ("XRGB16161616F", 6 << 24, 128), ("YUYV", 0, 32), ("XRGB8888 through gamma correction", XRGB | 1 << 30, 64),
        ("XRGB8888, Y-tiled, turned by 90 degrees", XRGB | Y | 1, 32), ("XRGB8888, turned by 180 degrees", XRGB | 2, 64), ("ARGB8888", XRGB | 2 << 4, 64),
    ],
)  # fmt: skip
def test_a_screen_of_another_kind(what: str, control: int, stride: int, figures: Figures) -> None:
    screens = Screens()
    screens.plane(1, control, stride)
    measure(figures, f"scan-out, 1024x768, {what}", screens, None)


def test_a_screen_with_a_cursor(figures: Figures) -> None:
    screens = Screens()
    screens.plane(1, XRGB, 64)
    screens.vgpu.registers.write32(CURSOR, 0x27)
    screens.vgpu.registers.write32(CURSOR + 8, 300 << 16 | 200)
    measure(figures, "scan-out, linear, 1024x768, XRGB8888, with a cursor of 64 by 64 pixels of random alpha", screens, None)


def test_a_picture_as_a_file(figures: Figures) -> None:
    screens = Screens()
    screens.plane(1, XRGB, 64)
    registers = screens.vgpu.registers
    registers.write32(plane_base(1) + 0x2C, screens.vgpu.resources.low.start)
    noise = scan_out(screens.vgpu)
    assert noise is not None
    console = noise._replace(pixels=bytearray(bytes(PITCH * 8 * 16) + noise.pixels[: PITCH * 16] + bytes(BYTES - 9 * 16 * PITCH))[:BYTES])
    for what, frame in (("noise", noise), ("mostly black", console)):
        assert len(frame.pixels) == BYTES
        measure(figures, f"PNG, 1024x768, {what}", screens, None, lambda operations, frame=frame: [png(frame) for _ in range(operations)])  # type: ignore[misc]
    measure(figures, "raw frame, 1024x768", screens, None, lambda operations: [raw_frame(noise) for _ in range(operations)])
