"""Mode sets as the host sees them: the order of registers, what is said when one does not do as it should, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from guest_driver import GuestDriver
from guest_driver.display import Screen
from guest_driver.display.power import Well
from host_model.device.display.monitor import Monitor
from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from pvinfo.bus import Clock, ConfigSpace, GuestMemory, Machine, Region
from pvinfo.connector import Connector, Link, Port, default_connector
from pvinfo.display_mode import standard_mode
from pvinfo.edid import edid_for
from pvinfo.errors import DriverError, StateError, UsageError, WaitTimeout
from pvinfo.platform import PLATFORMS, platform_named
from pvinfo.registers import PlaneTiling

PLATFORM_NAMES: Final = tuple(PLATFORMS)


class Watched:
    """BAR0 that keeps the writes and can be made to lie about registers."""

    def __init__(self, inner: Region) -> None:
        self._inner = inner
        self.writes: list[tuple[int, int]] = []
        self.lies: dict[int, Callable[[int], int]] = {}
        """What is read of a register, given what it holds."""
        self.lost: set[int] = set()
        """Registers whose writes do not arrive."""

    @property
    def size(self) -> int:
        return self._inner.size

    def read32(self, offset: int, /) -> int:
        value = self._inner.read32(offset)
        return self.lies[offset](value) if offset in self.lies else value

    def write32(self, offset: int, value: int, /) -> None:
        self.writes.append((offset, value))
        if offset not in self.lost:
            self._inner.write32(offset, value)

    def read(self, offset: int, size: int) -> int:
        return self.read32(offset) if size == 4 else self._inner.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._inner.write(offset, size, value)


class WatchedGpu:
    """A function whose BAR0 is watched."""

    def __init__(self, machine: Machine) -> None:
        self._inner = machine.gpu
        region = machine.gpu.bar(0)
        assert region is not None
        self.registers = Watched(region)
        self.config: ConfigSpace = machine.gpu.config

    def bar(self, index: int) -> Region | None:
        return self.registers if index == 0 else self._inner.bar(index)

    def reset(self) -> None:
        self._inner.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._inner.on_interrupt(handler)


class WatchedMachine:
    """A machine with a watched GPU."""

    def __init__(self, machine: Machine) -> None:
        self.gpu = WatchedGpu(machine)
        self.memory: GuestMemory = machine.memory
        self.clock: Clock = machine.clock


class Rig:
    """A host, a vGPU with a monitor, and a driver in state READY whose registers are watched."""

    def __init__(self, platform: str = "skl", *, link: Link = Link.DISPLAYPORT, resolution: str = "1024x768") -> None:
        host = Host(platform)
        port = default_connector(platform_named(platform)).port
        plugged = host.plug(monitor=Monitor(Connector(port, link), edid_for(resolution, link)))
        self.vgpu: Vgpu = plugged.vgpu
        self.machine = WatchedMachine(plugged.machine)
        self.registers = self.machine.gpu.registers
        self.driver = GuestDriver(self.machine)
        self.driver.probe()
        self.driver.wait_idle(1_000_000_000)
        self.registers.writes.clear()

    def written(self, *offsets: int) -> list[tuple[int, int]]:
        """Writes of these registers, in order, and those that write what stood there before once."""
        found = [write for write in self.registers.writes if write[0] in offsets]
        return [write for number, write in enumerate(found) if number == 0 or found[number - 1] != write]

    def complaints(self) -> list[str]:
        return [line.rule for line in self.driver.log.complaints()]


# ---- the order ----

SKYLAKE: Final = {
    0x46014: "loop", 0x6C05C: "port clock", 0x45404: "wells", 0x64300: "port", 0x64340: "link", 0x46140: "transcoder clock",
    0x60000: "line", 0x60400: "function", 0x70008: "transcoder", 0x70180: "plane", 0x7019C: "surface",
}  # fmt: skip


def _story(rig: Rig) -> list[str]:
    told: list[str] = []
    for offset, _ in rig.registers.writes:
        word = SKYLAKE.get(offset)
        if word is not None and (not told or told[-1] != word):
            told.append(word)
    return told


def test_a_displayport_mode_set_goes_from_the_clock_to_the_plane_and_back_the_other_way() -> None:
    rig = Rig()
    rig.driver.display.detect()
    rig.registers.writes.clear()
    screen = rig.driver.display.set_mode()
    story = _story(rig)
    assert story[:3] == ["loop", "port clock", "wells"]
    assert story[story.index("transcoder clock") :] == ["transcoder clock", "line", "transcoder", "function", "transcoder", "plane", "surface"]
    assert set(story[3 : story.index("transcoder clock")]) == {"port", "link"}
    rig.registers.writes.clear()
    rig.driver.display.switch_off(screen)
    assert _story(rig) == ["plane", "surface", "transcoder", "function", "transcoder clock", "port", "link", "wells", "port clock", "loop"]


def test_over_hdmi_the_port_goes_on_after_the_transcoder_and_off_after_its_clock() -> None:
    rig = Rig(link=Link.HDMI)
    rig.driver.display.detect()
    rig.registers.writes.clear()
    screen = rig.driver.display.set_mode()
    assert _story(rig) == [
        "loop", "port clock", "wells", "transcoder clock", "line", "transcoder", "function", "transcoder", "port", "plane", "surface",
    ]  # fmt: skip
    assert rig.written(0x6C058)[-1][1] >> 6 & 0x3F == 0x21, "DPLL1 in HDMI mode"
    assert (0x6C040, 0x802A_AB7B) in rig.registers.writes and (0x6C044, 0x7A4) in rig.registers.writes
    rig.registers.writes.clear()
    rig.driver.display.switch_off(screen)
    assert _story(rig) == ["plane", "surface", "transcoder", "function", "transcoder clock", "port", "wells", "port clock", "loop"]


def test_what_1024x768_over_two_lanes_puts_into_the_transcoder() -> None:
    rig = Rig()
    rig.driver.display.set_mode()
    values = dict(rig.registers.writes)
    assert [values[0x60000 + at] for at in (0x0, 0x4, 0x8, 0xC, 0x10, 0x14)] == [
        0x053F_03FF, 0x053F_03FF, 0x049F_0417, 0x0325_02FF, 0x0325_02FF, 0x0308_0302,
    ]  # fmt: skip
    assert values[0x6001C] == 0x03FF_02FF
    assert (values[0x60030] >> 25, values[0x60034], values[0x60044]) == (63, 0x80_0000, 0x8_0000)
    assert values[0x60400] == 0x8000_0000 | 3 << 28 | 2 << 24 | 1 << 1
    assert (values[0x70188], values[0x70190], values[0x70180] >> 24) == (64, 0x02FF_03FF, 0x84)


def test_on_broadwell_a_link_takes_the_core_clocks_loop_and_hdmi_one_of_its_own() -> None:
    rig = Rig("bdw")
    screen = rig.driver.display.set_mode()
    assert rig.written(0x46104)[-1] == (0x46104, 2 << 29)
    assert rig.written(0x46040) == []
    rig.driver.display.switch_off(screen)
    assert rig.written(0x46104)[-1] == (0x46104, 7 << 29)
    rig = Rig("bdw", link=Link.HDMI)
    screen = rig.driver.display.set_mode()
    assert (rig.written(0x46040), rig.written(0x46104)[-1]) == ([(0x46040, 0xB020_0E13)], (0x46104, 4 << 29))
    rig.driver.display.switch_off(screen)
    assert rig.written(0x46040)[-1] == (0x46040, 0x3020_0E13)


@pytest.mark.parametrize("platform", PLATFORM_NAMES)
@pytest.mark.parametrize("link", Link)
def test_a_mode_is_set_on_every_platform_over_either_cable_and_the_pipe_runs_at_its_rate(platform: str, link: Link) -> None:
    rig = Rig(platform, link=link, resolution="1920x1080")
    screen = rig.driver.display.set_mode()
    sent = rig.vgpu.display.pipes.mode("PIPE_A")
    assert sent is not None
    assert (sent.width, sent.height) == (1920, 1080)
    assert float(sent.period_ns) == pytest.approx(float(standard_mode("1920x1080").period_ns), rel=1e-4)
    assert screen.output.connector.link is link
    rig.driver.unload()
    assert rig.vgpu.display.pipes.running == ()
    assert rig.complaints() == []


# ---- what does not do as it should ----


@pytest.mark.parametrize(
    ("offset", "lie", "message"),
    [
        (0x45404, lambda value: value & ~0x5555_5555, r"DisplayPower.well_driver at 0x45404, bits 0x10000000: reads 0x0, still not 0x10000000 after 1000 us"),
        (0x42000, lambda value: 0, r"DisplayPower.fuse_status at 0x42000, bits 0x8000000: .* after 1000 us"),
        (0x45008, lambda value: value & ~0x4000_0000, r"DisplayPower.dbuf_ctl at 0x45008, .* after 10 us"),
        (0x6C060, lambda value: value & 1, r"SkylakeClocks.dpll_status at 0x6c060, bits 0x100: .* after 5000 us"),
        (0x70008, lambda value: value & ~0x4000_0000, r"TranscoderSwitch.conf of TRANSCODER_A at 0x70008, .* after 100000 us"),
        (0x64344, lambda value: 0, r"DdiPortRegisters.tp_status of PORT_D at 0x64344, bits 0x2000000: .* after 2000 us"),
    ],
)
def test_what_never_comes_is_named_with_its_register_its_value_and_the_time(offset: int, lie: Callable[[int], int], message: str) -> None:
    rig = Rig()
    rig.registers.lies[offset] = lie
    with pytest.raises(WaitTimeout, match=message):
        rig.driver.display.set_mode()
    assert rig.vgpu.display.pipes.running == ()


def test_a_low_power_state_that_does_not_end_is_named() -> None:
    rig = Rig()
    rig.registers.lies[0x45504] = lambda value: 2
    with pytest.raises(DriverError, match="DisplayPower.dc_state_en at 0x45504 reads 0x2 however often 0 is written: 100 times"):
        rig.driver.display.detect()


def test_a_pipe_without_vertical_blanks_is_named_after_a_tenth_of_a_second_and_switched_off() -> None:
    rig = Rig()
    rig.driver.display.detect()
    rig.registers.lost.add(0x44404)
    began = rig.machine.clock.now_ns()
    with pytest.raises(WaitTimeout, match=r"a vertical blank of PIPE_A: InterruptGroup.iir at 0x44408, unmasked events"):
        rig.driver.display.set_mode()
    assert rig.machine.clock.now_ns() - began > 100_000_000
    assert rig.vgpu.display.pipes.running == ()


def test_after_a_mode_set_that_failed_the_next_one_finds_everything_as_before() -> None:
    rig = Rig()
    display = rig.driver.display
    display.detect()
    wells, bound = display.wells.on, len(rig.driver.ggtt.bindings)
    rig.registers.lies[0x70008] = lambda value: value & ~0x4000_0000
    for _ in range(4):  # more often than there are loops
        with pytest.raises(WaitTimeout):
            display.set_mode()
        assert (display.wells.on, len(rig.driver.ggtt.bindings), display.screens) == (wells, bound, {})
    rig.registers.lies.clear()
    assert display.set_mode().on


def test_a_port_that_does_not_become_quiet_is_said_in_the_log_and_the_rest_goes_off() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    rig.registers.lies[0x64300] = lambda value: value & ~0x80
    rig.driver.display.switch_off(screen)
    assert rig.complaints() == ["display-off"]
    assert Well.DDI_D not in rig.driver.display.wells.on
    assert not rig.vgpu.registers.read32(0x46014) >> 31


def test_a_display_that_could_not_be_taken_up_can_be_when_its_power_comes() -> None:
    rig = Rig()
    rig.registers.lies[0x42000] = lambda value: value & ~(1 << 25)
    with pytest.raises(WaitTimeout, match="bits 0x2000000"):
        rig.driver.display.detect()
    assert (rig.driver.display.wells.on, rig.vgpu.registers.read32(0x45404)) == ((), 0)
    rig.registers.lies.clear()
    assert len(rig.driver.display.detect()) == 1
    assert rig.driver.display.wells.on == (Well.MISC_IO, Well.PW1, Well.PW2)


def test_a_driver_whose_device_was_reset_while_it_showed_something_can_be_unloaded() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    screen.cursor.show([bytes(256)] * 64)
    rig.machine.gpu.reset()
    rig.driver.unload()
    assert rig.driver.state.value == "unbound"


# ---- what is refused ----


def test_without_a_monitor_a_mode_set_names_where_it_looked() -> None:
    rig = Rig()
    rig.vgpu.display.unplug()
    with pytest.raises(DriverError, match="no monitor at DP-B, HDMI-B, DP-C, HDMI-C, DP-D, HDMI-D"):
        rig.driver.display.set_mode()


def test_a_mode_that_the_cable_does_not_carry_is_refused() -> None:
    rig = Rig(link=Link.HDMI)
    (output,) = rig.driver.display.detect()
    with pytest.raises(UsageError, match="HDMI-D does not carry 3840x2160@60: its pixel clock is 533250 kHz"):
        rig.driver.display.set_mode(output, standard_mode("3840x2160@60"))


def test_a_frame_buffer_that_is_too_small_is_refused_and_the_screen_goes_on() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    small = rig.driver.display.create_framebuffer(800, 600)
    with pytest.raises(UsageError, match="800x600, LINEAR> is smaller than 1024x768@60"):
        screen.flip(small)
    assert screen.on and screen.wait_for_vblank() > 0


def test_at_once_only_the_address_may_differ() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    tiled = rig.driver.display.create_framebuffer(1024, 768, PlaneTiling.X)
    with pytest.raises(UsageError, match="cannot be shown at once in place of"):
        screen.flip(tiled, asynchronous=True)


def test_a_screen_that_is_off_shows_nothing_any_more() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    framebuffer = rig.driver.display.create_framebuffer(1024, 768)
    rig.driver.display.switch_off(screen)
    for act in (lambda: screen.flip(framebuffer), screen.wait_for_vblank, lambda: rig.driver.display.switch_off(screen)):
        with pytest.raises(StateError, match="but the state is off"):
            act()


def test_the_display_of_a_driver_that_is_not_ready_is_refused() -> None:
    rig = Rig()
    rig.driver.unload()
    with pytest.raises(StateError, match="use of the display needs state"):
        _ = rig.driver.display


# ---- several things at a time ----


def test_flips_within_a_frame_are_done_at_its_end_together_and_the_last_is_seen() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    pictures = [rig.driver.display.create_framebuffer(1024, 768) for _ in range(3)]
    screen.wait_for_vblank()
    flips = [screen.flip(picture) for picture in pictures]
    assert [flip.done for flip in flips] == [False] * 3
    flips[0].wait()
    assert [flip.done for flip in flips] == [True] * 3
    assert len({flip.frame for flip in flips}) == 1
    assert screen.plane.live_address == pictures[2].address


def test_an_asynchronous_flip_that_nobody_waits_for_is_done_and_leaves_nothing_open() -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode()
    closed = rig.vgpu.registers.read32(0x44404)
    assert screen.framebuffer is not None
    flip = screen.flip(screen.framebuffer, asynchronous=True)
    assert (flip.done, rig.vgpu.registers.read32(0x44404)) == (True, closed)


def test_connectors_that_the_firmware_names_are_the_only_ones_asked() -> None:
    rig = Rig()
    rig.driver.display.take_up([Connector(Port.D, Link.DISPLAYPORT)])
    assert [str(output.connector) for output in rig.driver.display.outputs] == ["DP-D"]
    assert len(rig.driver.display.detect()) == 1


def test_another_mode_on_the_same_pipe_switches_the_first_off_and_gives_its_picture_back() -> None:
    rig = Rig(resolution="1920x1080")
    display = rig.driver.display
    first = display.set_mode()
    bound = len(rig.driver.ggtt.bindings)
    other = next(mode for mode in first.output.modes if mode != first.mode)
    second = display.set_mode(first.output, other)
    assert (first.on, second.on, len(rig.driver.ggtt.bindings)) == (False, True, bound)


@pytest.mark.parametrize("pipe", ["PIPE_B", "PIPE_C"])
def test_any_pipe_can_send_and_is_heard(pipe: str) -> None:
    rig = Rig()
    screen = rig.driver.display.set_mode(pipe=pipe)
    begin = screen.frames
    for _ in range(3):
        assert screen.framebuffer is not None
        screen.flip(screen.framebuffer).wait()
    assert (screen.frames - begin, rig.vgpu.display.pipes.running, rig.complaints()) == (3, (pipe,), [])


def test_pixels_too_fast_for_the_core_clock_make_it_faster_first() -> None:
    rig = Rig("skl", resolution="3840x2160")
    display = rig.driver.display
    (output,) = display.detect()
    assert display.core_clock.khz == 337_500
    fast = standard_mode("3840x2160@60")
    framebuffer = display.create_framebuffer(3840, 2160)
    screen: Screen = display.set_mode(output, fast, framebuffer)
    assert (display.core_clock.khz, screen.link) == (540_000, (540_000, 4))
    assert rig.registers.writes[[offset for offset, _ in rig.registers.writes].index(0x46000)][1] >> 19 & 1
    assert rig.vgpu.registers.read32(0x46000) == 1 << 26 | 1078
