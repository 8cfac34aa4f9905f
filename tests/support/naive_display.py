"""The naive model's display: the monitor at the other end of the cable, and the registers through which a guest sees it.

Where the product differs from the kernel's mediator on purpose, so does this: the I2C controller speaks to an HDMI monitor and
never keeps a guest waiting; a status bit is cleared by writing it back, and a write that sends nothing over an AUX channel clears
only what it names; a narrow write of such a register counts the bytes that it leaves out as they are stored.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c, linux:drivers/gpu/drm/i915/display (intel_hotplug_irq.c, intel_gmbus.c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .naive_monitor import NaiveEdid, NaiveSink
from .naive_pipes import PIPES, TRANSCODERS, NaivePipes

if TYPE_CHECKING:
    from .naive_model import NaiveVgpu, ReadRule, Rule

__all__ = ("NaiveDisplay", "aux_channels", "display_read_rules", "display_write_rules", "hide_picture")

GMBUS = 0xC5100
"""Pins, command, status, data, what interrupts; and at +0x20 an index of two bytes."""
READY, NAK, ACTIVE, INTERRUPT, WAIT_PHASE, IN_USE = 1 << 11, 1 << 10, 1 << 9, 1 << 12, 1 << 14, 1 << 15
STRAPS = {"B": 4, "C": 2, "D": 1}


def hide_picture(golden: bytes) -> bytes:
    """The host's registers as a guest finds them: nothing of its picture, and port buffers that are idle."""
    image = bytearray(golden)

    def change(offset: int, cleared: int, to_set: int = 0) -> None:
        value = int.from_bytes(image[offset : offset + 4], "little") & ~cleared | to_set
        image[offset : offset + 4] = value.to_bytes(4, "little")

    for transcoder, switch in zip(TRANSCODERS, (*(pipe + 8 for pipe in PIPES), 0x7F008), strict=True):
        change(switch, 0xC0000000)
        change(transcoder + 0x400, 0x80000000)
    for pipe in PIPES:
        change(pipe + 0x80, 0x3F)  # the kernel leaves two bits that mean nothing
        for plane in range(1, 5):
            change(pipe + 0x80 + 0x100 * plane, 0x80000000)
    for port in range(0x64000, 0x64500, 0x100):
        change(port, 0x80000000, 0x80)
    return bytes(image)


class Hole:
    """Where a port shows that something is plugged in."""

    def __init__(self, platform: str, port: str) -> None:
        number = "ABCD".index(port)
        if platform == "bxt" or (platform == "bdw" and port == "A"):
            self.group, self.bit = 0x44440, 3 + number
        else:
            self.group, self.bit = 0xC4000, 24 if port == "A" else 20 + number
        self.watch = 0x44030 if platform == "bdw" and port == "A" else 0xC4030
        shift = 0 if self.watch == 0x44030 else {"B": 0, "C": 8, "D": 16, "A": 24}[port]
        self.enable, self.long_pulse = 0x10 << shift, 2 << shift


class NaiveDisplay:
    """The display of one vGPU. A cable is the letter of its port, whether it is HDMI, and the monitor's EDID."""

    def __init__(self, vgpu: NaiveVgpu) -> None:
        self.vgpu = vgpu
        self.pipes = NaivePipes(vgpu)
        self.holes = {port: Hole(vgpu.platform, port) for port in ("ABC" if vgpu.platform in ("bdw", "bxt") else "ABCD")}
        self.wired: set[str] = set()
        """Ports that have had a monitor: the board has them from then on."""
        self.port = ""
        self.sink: NaiveSink | None = None
        self.edid: NaiveEdid | None = None
        self.bus: NaiveEdid | None = None
        """Whom the I2C controller is talking to."""
        self.left = 0
        self.reading = self.stops = self.waits = False

    def reset(self) -> None:
        """The registers are as after power-on; the cable stays."""
        self.let_go()
        self.show()
        self.pipes.reset()

    # ---- the cable ----

    def plug(self, port: str, hdmi: bool, edid: bytes) -> None:
        self.unplug()
        self.port = port
        self.sink, self.edid = (None, NaiveEdid(edid)) if hdmi else (NaiveSink(edid), None)
        self.wired.add(port)
        self.show()
        self.tell(port)

    def unplug(self) -> None:
        if self.port:
            self.let_go()
            port, self.port, self.sink, self.edid = self.port, "", None, None
            self.show()
            self.tell(port)

    def show(self) -> None:
        vgpu = self.vgpu
        for port, hole in self.holes.items():
            vgpu.put(hole.group, vgpu.get(hole.group) & ~(1 << hole.bit) | (port == self.port) << hole.bit)
        for port in self.wired:
            if port in STRAPS:
                vgpu.put(0xC2014, vgpu.get(0xC2014) | STRAPS[port])
            elif vgpu.platform == "bdw":
                vgpu.put(0x64000, vgpu.get(0x64000) | 1)

    def tell(self, port: str) -> None:
        hole = self.holes[port]
        watched = self.vgpu.get(hole.watch)
        if watched & hole.enable:
            self.vgpu.put(hole.watch, watched | hole.long_pulse)
            self.vgpu.event(hole.group, hole.bit)

    # ---- the AUX channels ----

    def exchange(self, port: str, data: int, size: int) -> int:
        """Send a message; the reply takes its place. How long it is; 0 when nobody answers."""
        if port != self.port or self.sink is None or size > 20:
            return 0
        message = b"".join(self.vgpu.get(data + at).to_bytes(4, "big") for at in range(0, 20, 4))[:size]
        reply = self.sink.answer(message)
        for at in range(0, len(reply), 4):
            self.vgpu.put(data + at, int.from_bytes(reply[at : at + 4].ljust(4, b"\0"), "big"))
        return len(reply)

    # ---- the I2C controller ----

    def let_go(self) -> None:
        if self.bus:
            self.bus.stop()
        self.bus = None
        self.left = 0

    def move(self, value: int) -> int:
        """Up to four bytes in the direction of the transfer."""
        given = 0
        for lane in range(min(self.left, 4)):
            assert self.bus is not None
            if self.reading:
                given |= self.bus.give() << 8 * lane
            else:
                self.bus.take(value >> 8 * lane & 0xFF)
        self.left -= min(self.left, 4)
        self.stop_at_end()
        return given

    def stop_at_end(self) -> None:
        if not self.left and self.stops:
            self.let_go()

    def settle(self, status: int) -> None:
        """Show ``status``. Who uses the controller is not for it to say."""
        old = self.vgpu.get(GMBUS + 8)
        self.vgpu.put(GMBUS + 8, status | old & IN_USE)
        self.remark(bool(old & ACTIVE and not status & ACTIVE))

    def remark(self, went_idle: bool = False) -> None:
        """Interrupt for what is as it was waited for."""
        status = self.vgpu.get(GMBUS + 8)
        ready, waits, refused = status & READY and status & ACTIVE, status & WAIT_PHASE, status & NAK
        so = (1 if ready else 0) | (2 if waits else 0) | (4 if went_idle else 0) | (8 if refused else 0)
        if self.vgpu.get(GMBUS + 0x10) & so:
            self.vgpu.put(GMBUS + 8, status | INTERRUPT)
            self.vgpu.event(*((0x44440, 1) if self.vgpu.platform == "bxt" else (0xC4000, 17)))

    def show_transfer(self) -> None:
        if self.bus is None:
            self.settle(READY)
        else:
            self.settle(READY | ACTIVE | min(self.left, 0x1FF) | (WAIT_PHASE if self.waits and not self.left else 0))

    def begin(self, command: int) -> None:
        pins, wide = self.vgpu.get(GMBUS), self.vgpu.get(GMBUS + 0x20)
        wiring = {"bxt": {1: "B", 2: "C"}, "cfl": {1: "B", 2: "C", 4: "D"}}.get(self.vgpu.platform, {5: "B", 4: "C", 6: "D"})
        index = b""
        if wide >> 31:
            index = (wide & 0xFFFF).to_bytes(2, "big")
        elif command >> 26 & 1:
            index = bytes((command >> 8 & 0xFF,))
        reading, address = bool(command & 1), command >> 1 & 0x7F
        edid = self.edid if self.edid and wiring.get(pins & 7) == self.port else None
        if edid is None:
            self.let_go()
        self.bus, self.left = None, 0
        answered = edid is not None
        if edid and (index or not reading):
            answered = edid.start(address, False)
            for byte in index if answered else b"":
                edid.take(byte)
        if edid and answered and reading:
            answered = edid.start(address, True)
        if not answered:
            self.settle(READY | NAK)
            return
        self.bus, self.reading = edid, reading
        self.left = (command >> 16 & 0x1FF) + (256 if pins >> 6 & 1 and self.vgpu.platform != "bdw" else 0)
        self.stops, self.waits = bool(command >> 27 & 1), bool(command >> 25 & 1)
        self.stop_at_end()
        if not reading:
            self.move(self.vgpu.get(GMBUS + 0xC))
        self.show_transfer()


# ---- rules ----


def kept(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    """Only the hardware says what stands there."""
    return vgpu.get(offset)


def cleared_by_ones(status: int) -> Rule:
    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        return value & ~status | vgpu.get(offset) & ~value & status

    return write


def aux_control(port: str, group: int, bit: int) -> Rule:
    done = 0x52000000
    """Done, nobody answered, garbled."""

    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        if not value >> 31:
            return value & ~done | vgpu.get(offset) & ~value & done
        size = vgpu.display.exchange(port, offset + 4, value >> 20 & 0x1F)
        over = value & ~(0x80000000 | done) | 0x40000000
        vgpu.put(offset, over & ~0x01F00000 | size << 20 if size else over | 0x10000000)
        if value >> 29 & 1:
            vgpu.event(group, bit)
        return vgpu.get(offset)

    return write


def aux_channels(platform: str) -> dict[int, tuple[str, int, int]]:
    """Port, interrupt group and bit of each channel, by its control register."""
    channels = {0x64010: ("A", 0x44440, 0)}
    for number, port in enumerate("BCD"):
        channels[(0xE4110 if platform == "bdw" else 0x64110) + 0x100 * number] = port, 0xC4000 if platform == "bdw" else 0x44440, 25 + number
    return channels


def pins_chosen(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    display = vgpu.display
    if display.bus is None or (value ^ vgpu.get(offset)) & 7:
        vgpu.put(offset, value)
        display.let_go()
        display.settle(READY)
    return value


def bus_command(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    display = vgpu.display
    reset = (value | vgpu.get(offset)) >> 31
    vgpu.put(offset, value & ~0x40000000)
    cycle = value >> 25 & 7
    if reset:
        display.let_go()
        display.settle(READY)
    elif value >> 30 & 1 and vgpu.get(GMBUS) & 7:
        if cycle == 4 and display.bus:
            display.let_go()
            display.settle(READY)
        elif cycle not in (0, 4):
            display.begin(value)
    return vgpu.get(offset)


def bus_status(vgpu: NaiveVgpu, offset: int) -> int:
    status = vgpu.get(offset)
    vgpu.put(offset, status | IN_USE)
    return status


def bus_given_up(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return vgpu.get(offset) & ~(value & IN_USE)


def bus_data(vgpu: NaiveVgpu, offset: int) -> int:
    display = vgpu.display
    value = vgpu.get(offset)
    if display.bus and display.reading and display.left:
        value = display.move(0)
        vgpu.put(offset, value)
        display.show_transfer()
    return value


def bus_data_written(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    display = vgpu.display
    vgpu.put(offset, value)
    if display.bus and not display.reading and display.left:
        display.move(value)
        display.show_transfer()
    return value


def bus_interrupts(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value)
    vgpu.display.remark()
    return value


def bare_pins(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    """Two lines with pull-ups: direction and level change under their masks, and the level shows unless it is driven low."""
    old = vgpu.get(offset)
    result = value & 0x2020
    for shift in (0, 8):
        out = (value if value >> shift & 1 else old) >> shift + 1 & 1
        level = (value if value >> shift + 2 & 1 else old) >> shift + 3 & 1
        result |= (out << 1 | level << 3 | (level or not out) << 4) << shift
    return result


def transcoder_switched(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value & ~0x40000000 | value >> 1 & 0x40000000)
    vgpu.display.pipes.switched()
    return vgpu.get(offset)


def retimed(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value)
    vgpu.display.pipes.retimed()
    return value


def pipe_mask(pipe: int) -> Rule:
    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        vgpu.put(offset, value)
        vgpu.display.pipes.look(pipe)
        vgpu.check_pending()
        return value

    return write


def plane_surface(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value)
    vgpu.display.pipes.flip(offset, bool(vgpu.get(offset - 0x1C) & 0x200))
    return value


def cursor_surface(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value)
    vgpu.display.pipes.flip(offset, False)
    return value


def flip_port(surface: int) -> Rule:
    """The surface changes, too; the kernel changes only what is shown."""

    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        vgpu.put(surface, vgpu.get(surface) & 0xFFF | value & 0xFFFFF000)
        vgpu.put(offset, value)
        vgpu.display.pipes.flip(surface, value & 3 == 1)
        return value

    return write


def display_write_rules(platform: str, groups: tuple[int, ...]) -> dict[int, Rule]:
    rules: dict[int, Rule] = dict.fromkeys(groups, kept)
    rules |= {0xC4030: cleared_by_ones(0x03030303), 0x44030: cleared_by_ones(3), 0x44070: kept}
    if platform != "bdw":
        rules[0xC403C] = cleared_by_ones(3)
    rules |= {control: aux_control(*where) for control, where in aux_channels(platform).items()}
    rules |= {
        GMBUS: pins_chosen, GMBUS + 4: bus_command, GMBUS + 8: bus_given_up, GMBUS + 0xC: bus_data_written, GMBUS + 0x10: bus_interrupts,
    }  # fmt: skip
    rules |= dict.fromkeys(range(0xC5010, 0xC5028, 4), bare_pins)
    rules[0x7F008] = transcoder_switched
    for transcoder in TRANSCODERS:
        rules |= dict.fromkeys((transcoder, transcoder + 0xC, transcoder + 0x44, transcoder + 0x400), retimed)
    for number, pipe in enumerate(PIPES):
        rules |= {pipe + 8: transcoder_switched, pipe + 0x84: cursor_surface, 0x44404 + 0x10 * number: pipe_mask(number)}
        rules |= dict.fromkeys((pipe, pipe + 0x40, pipe + 0x48, pipe + 0x4C, pipe + 0xAC), kept)
        for plane in range(0x180, 0x580, 0x100):
            rules |= {pipe + plane + 0x1C: plane_surface, pipe + plane + 0x2C: kept}
        for plane, port in ((0x180, 0x50080), (0x280, 0x50090)):
            rules[port + (0, 8, 12)[number]] = flip_port(pipe + plane + 0x1C)
    return rules


def display_read_rules(platform: str) -> dict[int, ReadRule]:
    rules: dict[int, ReadRule] = {
        GMBUS + 8: bus_status, GMBUS + 0xC: bus_data, 0x44070: lambda vgpu, offset: vgpu.display.pipes.now // 1000 & 0xFFFFFFFF,
    }  # fmt: skip
    for pipe in PIPES:
        # Which line it is follows from the time; where nothing is sent it is the first.
        rules[pipe] = lambda vgpu, offset: None if offset >> 12 & 3 in vgpu.display.pipes.on else 0
        rules[pipe + 0x40] = lambda vgpu, offset: vgpu.display.pipes.frame_count(offset >> 12 & 3)
        rules[pipe + 0x48] = lambda vgpu, offset: vgpu.display.pipes.frame_time(offset >> 12 & 3)
    return rules
