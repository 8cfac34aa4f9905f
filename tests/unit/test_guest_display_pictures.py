"""Frame buffers, the cursor, link training and hot plug, each by itself."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from support.guest_machine import FakeClock, with_driver

from guest_driver import GuestDriver
from guest_driver.display.aux_channel import DisplayPortAux
from guest_driver.display.framebuffer import Framebuffer, tiled_bytes
from guest_driver.display.link import LinkChoice
from guest_driver.display.link_training import LinkTraining
from guest_driver.display.output import Output, SinkAbilities, hotplug_bits
from guest_driver.display.watermarks import line_time, plane_mark, share_buffer
from guest_driver.log import DriverLog
from guest_driver.uncore import Uncore
from host_model.device.display.monitor import Monitor
from host_model.host import Host, PluggedVgpu
from pvinfo.connector import Connector, Link, Port, default_connector
from pvinfo.display_mode import standard_mode
from pvinfo.dpcd import RECEIVER_CAPABILITIES
from pvinfo.edid import edid_for
from pvinfo.errors import DriverError, StateError, UsageError
from pvinfo.page import PvInfo
from pvinfo.platform import platform_named
from pvinfo.registers import PlaneTiling

SWIZZLES = {
    PlaneTiling.X: ("xxxxxxxxxyyy", 512, 8),
    PlaneTiling.Y: ("xxxxyyyyyxxx", 128, 32),
    PlaneTiling.YF: ("xxxxyyyxyxyx", 128, 32),
}
"""Which of a place's bits, from the lowest, come from the byte in the row, and which from the row. Source: prm:skl:vol5"""


def place_by_bits(tiling: PlaneTiling, pitch: int, x: int, y: int) -> int:
    """Where a byte lies, worked out bit by bit."""
    bits, width, height = SWIZZLES[tiling]
    left = {"x": x % width, "y": y % height}
    inside = 0
    for number, axis in enumerate(bits):
        inside |= (left[axis] & 1) << number
        left[axis] >>= 1
    return (y // height * (pitch // width) + x // width) * 4096 + inside


@pytest.mark.parametrize("tiling", SWIZZLES)
def test_tiles_hold_each_byte_where_its_bits_say(tiling: PlaneTiling) -> None:
    noise = random.Random(5)
    pitch = 1024
    rows = [noise.randbytes(900) for _ in range(50)]
    memory = tiled_bytes(tiling, pitch, rows)
    assert len(memory) == pitch * (64 if tiling is not PlaneTiling.X else 56)
    for _ in range(3000):
        x, y = noise.randrange(900), noise.randrange(50)
        assert memory[place_by_bits(tiling, pitch, x, y)] == rows[y][x]


@pytest.mark.parametrize("tiling", PlaneTiling)
def test_a_picture_comes_back_from_memory_as_it_was_drawn_and_parts_can_be_drawn_over(tiling: PlaneTiling) -> None:
    _, driver = with_driver()
    noise = random.Random(6)
    framebuffer = Framebuffer(driver, 100, 70, tiling)
    rows = [noise.randbytes(400) for _ in range(70)]
    framebuffer.draw(rows)
    assert framebuffer.rows() == rows
    band = [noise.randbytes(200) for _ in range(9)]
    framebuffer.draw(band, y=61)
    assert framebuffer.rows() == rows[:61] + [new + old[200:] for new, old in zip(band, rows[61:], strict=True)]
    framebuffer.clear(0x00C0_FFEE)
    assert set(framebuffer.rows()) == {b"\xee\xff\xc0\x00" * 100}


@pytest.mark.parametrize(
    ("tiling", "pitch", "stride", "size", "alignment"),
    [
        (PlaneTiling.LINEAR, 5504, 86, 5504 * 768, 256 << 10), (PlaneTiling.X, 5632, 11, 5632 * 768, 256 << 10),
        (PlaneTiling.Y, 5504, 43, 5504 * 768, 1 << 20), (PlaneTiling.YF, 5504, 43, 5504 * 768, 1 << 20),
    ],
)  # fmt: skip
def test_rows_of_1366_pixels_are_rounded_up_to_what_planes_count_in(tiling: PlaneTiling, pitch: int, stride: int, size: int, alignment: int) -> None:
    _, driver = with_driver(memory=40 << 20)
    framebuffer = Framebuffer(driver, 1366, 768, tiling)
    assert (framebuffer.pitch, framebuffer.stride, framebuffer.address % alignment) == (pitch, stride, 0)
    assert framebuffer.buffer.size == -(-size // 4096) * 4096
    assert framebuffer.address + framebuffer.buffer.size <= driver.resources.mappable.base + driver.resources.mappable.size


def test_broadwell_shows_no_y_tiles_and_no_plane_rows_beyond_32_kib() -> None:
    _, driver = with_driver("bdw")
    with pytest.raises(UsageError, match="tiling YF; planes of Broadwell show LINEAR, X"):
        Framebuffer(driver, 64, 64, PlaneTiling.YF)
    with pytest.raises(UsageError, match="9000 x 4 pixels; rows have up to 8192"):
        Framebuffer(driver, 9000, 4)


def test_more_than_fits_is_refused_and_a_released_one_is_gone() -> None:
    _, driver = with_driver()
    framebuffer = Framebuffer(driver, 16, 16)
    with pytest.raises(UsageError, match="17 rows of up to 64 bytes"):
        framebuffer.draw([bytes(64)] * 17)
    with pytest.raises(UsageError, match="rows 10 to 20"):
        framebuffer.draw([bytes(64)] * 10, y=10)
    bound = len(driver.ggtt.bindings)
    framebuffer.release()
    assert len(driver.ggtt.bindings) == bound - 1
    with pytest.raises(StateError, match="released"):
        framebuffer.release()


# ---- the cursor ----


def lit(platform: str = "skl") -> tuple[GuestDriver, PluggedVgpu]:
    plugged = Host(platform).plug()
    driver = GuestDriver(plugged.machine)
    driver.probe()
    driver.wait_idle(1_000_000_000)
    return driver, plugged


def test_the_cursors_corner_is_as_far_from_where_it_points_as_its_hot_spot_and_may_lie_outside() -> None:
    driver, plugged = lit()
    screen = driver.display.set_mode()
    registers = plugged.vgpu.registers
    screen.cursor.show([bytes(256)] * 64, hot_spot=(10, 20), at=(3, 300))
    assert (screen.cursor.corner, registers.read32(0x70088)) == ((-7, 280), 280 << 16 | 0x8000 | 7)
    assert (registers.read32(0x70080), registers.read32(PvInfo.cursor_x_hot.at()), registers.read32(PvInfo.cursor_y_hot.at())) == (0x27, 10, 20)
    screen.cursor.move(500, 5)
    assert registers.read32(0x70088) == 0x8000_0000 | 15 << 16 | 490
    screen.cursor.hide()
    assert (registers.read32(0x70080), screen.cursor.visible) == (0, False)
    with pytest.raises(StateError, match="moving the cursor needs state shown"):
        screen.cursor.move(1, 1)


@pytest.mark.parametrize(("size", "mode"), [(64, 0x27), (128, 0x22), (256, 0x23)])
def test_cursors_of_three_sizes(size: int, mode: int) -> None:
    driver, plugged = lit()
    screen = driver.display.set_mode()
    screen.cursor.show([bytes(4 * size)] * size)
    assert plugged.vgpu.registers.read32(0x70080) == mode


def test_other_sizes_and_hot_spots_outside_are_refused() -> None:
    driver, _ = lit()
    cursor = driver.display.set_mode().cursor
    with pytest.raises(UsageError, match="a cursor of 48 rows of 192 bytes; one has 64, 128, 256 of that many pixels"):
        cursor.show([bytes(192)] * 48)
    with pytest.raises(UsageError, match=r"a hot spot \(64, 0\) outside the 64 pixels"):
        cursor.show([bytes(256)] * 64, hot_spot=(64, 0))


def test_a_cursors_memory_stays_until_the_vertical_blank_after_which_it_is_not_shown() -> None:
    driver, _ = lit()
    screen = driver.display.set_mode()
    before = driver.memory.in_use
    screen.cursor.show([bytes(256)] * 64)
    screen.wait_for_vblank()
    shown = driver.memory.in_use
    screen.cursor.show([b"\xff" * 256] * 64)
    assert driver.memory.in_use - shown == shown - before > 0
    screen.wait_for_vblank()
    assert driver.memory.in_use == shown
    screen.cursor.hide()
    screen.wait_for_vblank()
    assert driver.memory.in_use == before


# ---- link training ----


class DemandingSink:
    """A monitor on an AUX channel that finds the clock only at the voltage that it asks for."""

    def __init__(self, needs: int, *, third_pattern: bool = False, learns: bool = True) -> None:
        self.memory = bytearray(0x700)
        self.memory[0:3] = bytes((0x12, 0x14, 0x84 | third_pattern << 6))
        self.needs = needs
        self.learns = learns
        self.patterns: list[int] = []
        self.size = 16 << 20
        self.stored: dict[int, int] = {}

    def read32(self, offset: int, /) -> int:
        if offset == 0x64344:
            return 1 << 25
        if offset == 0x64300:
            return self.stored.get(offset, 0) | (0 if self.stored.get(offset, 0) >> 31 else 0x80)
        return self.stored.get(offset, 0)

    def write32(self, offset: int, value: int, /) -> None:
        self.stored[offset] = value
        if offset == 0x64310 and value >> 31:
            self._transfer(value >> 20 & 0x1F)

    def read(self, offset: int, size: int) -> int:
        return self.read32(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        self.write32(offset, value)

    def _transfer(self, length: int) -> None:
        message = b"".join(self.stored.get(0x64314 + 4 * n, 0).to_bytes(4, "big") for n in range(5))[:length]
        address, count = message[1] << 8 | message[2], message[3] + 1
        reply = b"\0"
        if message[0] >> 4 == 9:
            reply += bytes(self.memory[address : address + count])
        else:
            self.memory[address : address + count] = message[4:]
            if address == 0x102:
                self.patterns.append(message[4] & 3)
            self._judge()
        for number in range(5):
            self.stored[0x64314 + 4 * number] = int.from_bytes(reply.ljust(20, b"\0")[4 * number : 4 * number + 4], "big")
        self.stored[0x64310] = 1 << 30 | len(reply) << 20

    def _judge(self) -> None:
        lanes, driven = self.memory[0x101] & 0x1F, self.memory[0x103] & 3 | self.memory[0x103] >> 1 & 0xC
        good = self.learns and driven == self.needs
        status = (0x77 if self.memory[0x102] & 3 > 1 else 0x11) if good else 0
        self.memory[0x202] = status & (0x0F if lanes == 1 else 0xFF)
        self.memory[0x203] = status if lanes == 4 else 0
        self.memory[0x204] = int(good)
        self.memory[0x206] = self.memory[0x207] = self.needs << 4 | self.needs


def training_on(sink: DemandingSink, lanes: int, platform: str = "skl") -> tuple[LinkTraining, list[int]]:
    clock, part = FakeClock(), platform_named(platform)
    uncore = Uncore(sink, clock, DriverLog(clock), part, part.revision)
    levels: list[int] = []
    aux = DisplayPortAux(uncore, "D", lambda: True)
    abilities = SinkAbilities.parse(bytes(sink.memory[: RECEIVER_CAPABILITIES.size]))
    return LinkTraining(uncore, Connector(Port.D, Link.DISPLAYPORT), aux, abilities, LinkChoice(270_000, lanes), levels.append), levels


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize(("needs", "level"), [(0b0000, 0), (0b0001, 4), (0b0101, 5), (0b0010, 7)])
def test_a_link_is_driven_as_the_monitor_asks_until_it_follows(lanes: int, needs: int, level: int) -> None:
    sink = DemandingSink(needs)
    training, levels = training_on(sink, lanes)
    training.train()
    assert levels[-1] == level
    assert bytes(sink.memory[0x100:0x102]) == bytes((0x0A, 0x80 | lanes))
    assert sink.patterns == [1, 2, 0]
    assert sink.stored[0x64340] >> 8 & 7 == 3, "pictures are sent"
    assert sink.stored[0x64300] == 0x8000_0000 | level << 24 | lanes - 1 << 1


def test_a_monitor_that_knows_the_third_pattern_gets_it() -> None:
    sink = DemandingSink(0, third_pattern=True)
    training_on(sink, 4)[0].train()
    assert sink.patterns == [1, 3, 0]


def test_a_monitor_that_never_follows_is_named_with_its_link_and_its_status() -> None:
    training, levels = training_on(DemandingSink(0, learns=False), 2)
    with pytest.raises(DriverError, match="DP-D: the monitor does not find the clock of 2 lanes of 270000 kHz: its status is 00 00 00 00 00 00"):
        training.train()
    assert 1 < len(levels) <= 6


# ---- what is known of pins and marks ----


@pytest.mark.parametrize(
    ("platform", "port", "place"), [("skl", Port.B, ("SDE", 1 << 21)), ("bdw", Port.D, ("SDE", 1 << 23)), ("bxt", Port.B, ("DE_PORT", 1 << 4))]
)
def test_each_port_has_its_bit(platform: str, port: Port, place: tuple[str, int]) -> None:
    assert hotplug_bits(platform_named(platform), port) == place


def test_a_port_that_tells_nothing_is_refused() -> None:
    with pytest.raises(DriverError, match="port D of Broxton tells nothing of hot plug"):
        hotplug_bits(platform_named("bxt"), Port.D)


def test_a_line_of_1024x768_takes_20_7_us_and_its_planes_mark_covers_the_latency() -> None:
    mode = standard_mode("1024x768")
    assert mode.line_ns == Fraction(1344 * 1_000_000, 65_000)
    assert (line_time(platform_named("skl"), mode).line, line_time(platform_named("bdw"), mode).line) == (166, 165)
    mark = plane_mark(mode, 1024, PlaneTiling.LINEAR, 30)
    # 30 us at 65 MHz are 7800 bytes, or two lines of nine blocks: the less of both, and one more.
    assert (mark.enable, mark.blocks, mark.lines) == (True, 17, 2)
    assert plane_mark(mode, 1024, PlaneTiling.Y, 2).blocks == 33


def test_plane_and_cursor_share_the_display_buffer_without_a_gap() -> None:
    for name, size in (("skl", 892), ("bxt", 508)):
        plane, cursor = share_buffer(platform_named(name))
        assert (plane.start, cursor.start - plane.end, cursor.end) == (0, 1, size - 1)


def test_hot_plugs_are_heard_on_every_platform_and_the_monitor_found_again() -> None:
    for platform in ("skl", "bdw", "bxt"):
        driver, plugged = lit(platform)
        display = driver.display
        changed: list[Output] = []
        display.on_hotplug = changed.append
        assert len(display.detect()) == 1
        plugged.vgpu.display.unplug()
        driver.wait(200_000_000)
        connector = default_connector(platform_named(platform))
        plugged.vgpu.display.plug(Monitor(connector, edid_for("800x600")))
        driver.wait(200_000_000)
        assert (display.hotplugs, [str(output.connector) for output in changed]) == (2, [str(connector)] * 2)
        assert changed[0].preferred.resolution == "800x600"
        driver.unload()
        plugged.vgpu.display.unplug()
        plugged.machine.clock.wait_ns(200_000_000)
        assert display.hotplugs == 2, "nobody listens after the unload"
