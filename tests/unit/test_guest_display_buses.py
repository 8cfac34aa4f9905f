"""How the driver reads a monitor's memory: over an AUX channel and by the I2C controller, against small fakes of both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.guest_machine import FakeClock

from guest_driver.display.aux_channel import DisplayPortAux
from guest_driver.display.gmbus import HdmiBus, pin_of
from guest_driver.display.i2c import read_edid
from guest_driver.log import DriverLog
from guest_driver.uncore import Uncore
from pvinfo.connector import Link, Port
from pvinfo.edid import edid_for
from pvinfo.errors import DriverError
from pvinfo.platform import platform_named

EDID = edid_for("1024x768")
TWO_BLOCKS = edid_for("1920x1080", Link.HDMI)


class Registers:
    """BAR0 with plain storage, and whatever a test puts in front of it."""

    size = 16 << 20

    def __init__(self) -> None:
        self.stored: dict[int, int] = {}
        self.writes: list[tuple[int, int]] = []
        self.on_write: dict[int, Callable[[int], None]] = {}
        self.on_read: dict[int, Callable[[], int]] = {}

    def read32(self, offset: int, /) -> int:
        return self.on_read[offset]() if offset in self.on_read else self.stored.get(offset, 0)

    def write32(self, offset: int, value: int, /) -> None:
        self.writes.append((offset, value))
        self.stored[offset] = value
        if offset in self.on_write:
            self.on_write[offset](value)

    def read(self, offset: int, size: int) -> int:
        return self.read32(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        self.write32(offset, value)


def uncore_of(registers: Registers, platform: str = "skl") -> Uncore:
    clock, part = FakeClock(), platform_named(platform)
    return Uncore(registers, clock, DriverLog(clock), part, part.revision)


# ---- the AUX channel ----


class FakeSink:
    """A monitor behind an AUX channel: 0x700 registers, and an EDID at I2C address 0x50."""

    def __init__(self, registers: Registers, control: int = 0x64310, edid: bytes = EDID) -> None:
        self.memory = bytearray(0x700)
        self.edid = edid
        self.at = 0
        self.messages: list[bytes] = []
        self.longest = 16
        self.defers = 0
        self.errors: list[int] = []
        """What the next transfers end with, in place of done."""
        self.reply_to: Callable[[bytes], bytes] = self.answer
        self._registers = registers
        self._control = control
        registers.on_write[control] = self._sent

    def _sent(self, control: int) -> None:
        if not control >> 31:
            return
        if self.errors:
            self._registers.stored[self._control] = self.errors.pop(0)
            return
        length = control >> 20 & 0x1F
        data = b"".join(self._registers.stored.get(self._control + 4 + 4 * n, 0).to_bytes(4, "big") for n in range(5))
        self.messages.append(data[:length])
        reply = self.reply_to(data[:length])
        for number in range(5):
            self._registers.stored[self._control + 4 + 4 * number] = int.from_bytes(reply.ljust(20, b"\0")[4 * number : 4 * number + 4], "big")
        self._registers.stored[self._control] = 1 << 30 | len(reply) << 20

    def answer(self, message: bytes) -> bytes:
        request, address = message[0] >> 4, (message[0] & 0xF) << 16 | message[1] << 8 | message[2]
        if self.defers:
            self.defers -= 1
            return b"\x20" if request & 8 else b"\x80"
        count = message[3] + 1 if len(message) > 3 else 0
        if request == 9:
            return b"\0" + bytes(self.memory[address : address + count])
        if request == 8:
            self.memory[address : address + count] = message[4 : 4 + count]
            return b"\0"
        if address != 0x50:
            return b"\x40"
        if not request & 1 and count:
            self.at = message[4]
        if request & 1 and count:
            part = self.edid[self.at : self.at + min(count, self.longest)]
            self.at += len(part)
            return b"\0" + part
        return b"\0"


def aux_of(platform: str = "skl", port: str = "D", control: int = 0x64310, *, there: bool = True) -> tuple[DisplayPortAux, FakeSink, Registers]:
    registers = Registers()
    return DisplayPortAux(uncore_of(registers, platform), port, lambda: there), FakeSink(registers, control), registers


@pytest.mark.parametrize(("platform", "port", "control"), [("skl", "D", 0x64310), ("bxt", "B", 0x64110), ("bdw", "B", 0xE4110), ("bdw", "A", 0x64010)])
def test_a_monitors_registers_are_read_in_messages_of_16_bytes(platform: str, port: str, control: int) -> None:
    aux, sink, _ = aux_of(platform, port, control)
    sink.memory[:40] = bytes(range(40))
    assert aux.read_registers(0, 40) == bytes(range(40))
    assert sink.messages == [bytes((0x90, 0, 0, 15)), bytes((0x90, 0, 16, 15)), bytes((0x90, 0, 32, 7))]


def test_a_write_carries_its_data_behind_the_header() -> None:
    aux, sink, registers = aux_of()
    assert aux.write_registers(0x102, b"\x21\0\0\0\0")
    assert sink.messages == [bytes((0x80, 1, 2, 4, 0x21, 0, 0, 0, 0))]
    assert (0x64314, 0x8001_0204) in registers.writes
    assert bytes(sink.memory[0x102:0x107]) == b"\x21\0\0\0\0"


def test_gen9_sends_with_the_longest_timeout_and_gen8_with_the_hubs_divider() -> None:
    aux, _, registers = aux_of()
    aux.read_registers(0, 1)
    assert (0x64310, 0xFE40_023F) in registers.writes
    aux, _, registers = aux_of("bdw", "B", 0xE4110)
    registers.stored[0xC6204] = 24
    aux.read_registers(0, 1)
    assert (0xE4110, 0xF643_000C) in registers.writes


def test_without_a_monitor_nothing_is_sent() -> None:
    aux, sink, registers = aux_of(there=False)
    assert aux.read_registers(0, 16) is None
    assert aux.write_registers(0x600, b"\1") is False
    assert (sink.messages, registers.writes) == ([], [])


def test_a_message_that_times_out_is_sent_five_times_and_then_nobody_is_there() -> None:
    aux, sink, registers = aux_of()
    sink.errors = [1 << 30 | 1 << 28] * 5
    assert aux.read_registers(0, 1) is None
    assert len([value for offset, value in registers.writes if offset == 0x64310 and value >> 31]) == 5


def test_a_garbled_reply_is_asked_for_again() -> None:
    aux, sink, _ = aux_of()
    sink.memory[0] = 0x12
    sink.errors = [1 << 25, 1 << 25]
    assert aux.read_registers(0, 1) == b"\x12"


def test_a_channel_that_never_ends_a_transfer_is_named_with_its_register() -> None:
    aux, sink, _ = aux_of()
    sink.errors = [1 << 31]
    with pytest.raises(DriverError, match=r"AUX_D never ends a transfer: AuxChannel.control of AUX_D at 0x64310, .* after 10000 us"):
        aux.read_registers(0, 1)


def test_a_monitor_that_defers_is_asked_again_but_not_for_ever() -> None:
    aux, sink, _ = aux_of()
    sink.defers = 5
    assert aux.read_registers(0, 1) == b"\0"
    sink.defers = 1000
    with pytest.raises(DriverError, match="request 0x9 of 1 bytes at 0x0 was deferred 32 times"):
        aux.read_registers(0, 1)


def test_a_refusal_is_named_with_what_was_asked() -> None:
    aux, sink, _ = aux_of()
    sink.reply_to = lambda message: b"\x10"
    with pytest.raises(DriverError, match="request 0x8 of 1 bytes at 0x600 is refused: the reply is 0x1"):
        aux.write_registers(0x600, b"\1")


@pytest.mark.parametrize("longest", [16, 4, 1])
def test_an_edid_is_read_over_aux_however_few_bytes_come_at_a_time(longest: int) -> None:
    aux, sink, _ = aux_of()
    sink.longest = longest
    assert read_edid(aux, DriverLog(FakeClock())) == EDID
    if longest == 1:
        # Once a reply was short, no more is asked for.
        lengths = [message[3] + 1 for message in sink.messages if message[0] >> 4 == 5 and len(message) == 4]
        assert lengths == [1, 16, *[1] * 127]


def test_a_transfer_begins_and_ends_with_a_bare_address() -> None:
    aux, sink, _ = aux_of()
    aux.read_from(0x50, 8, 2)
    assert sink.messages == [
        bytes((0x40, 0, 0x50)), bytes((0x40, 0, 0x50, 0, 8)), bytes((0x50, 0, 0x50)), bytes((0x50, 0, 0x50, 1)), bytes((0x10, 0, 0x50)),
    ]  # fmt: skip


def test_nobody_at_the_address_is_no_monitor() -> None:
    aux, _, _ = aux_of()
    assert aux.read_from(0x37, 0, 4) is None


def test_an_edid_whose_sum_is_wrong_is_read_four_times_and_refused() -> None:
    aux, sink, _ = aux_of()
    sink.edid = EDID[:127] + bytes((EDID[127] ^ 1,))
    log = DriverLog(FakeClock())
    with pytest.raises(DriverError, match=r"block 0 of the EDID adds up to 0x\w+, not 0, in each of 4 attempts"):
        read_edid(aux, log)
    assert [line.rule for line in log] == ["edid-checksum"] * 4


# ---- the I2C controller ----

SELECT, COMMAND, STATUS, DATA = 0xC5100, 0xC5104, 0xC5108, 0xC510C
READY, NAK, ACTIVE, WAIT = 1 << 11, 1 << 10, 1 << 9, 1 << 14


class FakeController:
    """An I2C controller with a monitor at one pair of pins."""

    def __init__(self, registers: Registers, pin: int, edid: bytes) -> None:
        self.edid = edid
        self.pin = pin
        self.selected = 0
        self.status = READY
        self.left: list[int] = []
        self.commands: list[int] = []
        self.stuck = False
        registers.on_write[SELECT] = self._select
        registers.on_write[COMMAND] = self._command
        registers.on_read[STATUS] = lambda: self.status
        registers.on_read[DATA] = self._take

    def _select(self, value: int) -> None:
        self.selected = value & 7

    def _command(self, value: int) -> None:
        self.commands.append(value)
        if self.stuck:
            self.status = ACTIVE
        elif value >> 27 & 1 or not value or value >> 31:
            self.status = READY
        elif self.selected != self.pin or value >> 1 & 0x7F != 0x50:
            self.status = READY | NAK
        else:
            first, count = value >> 8 & 0xFF, value >> 16 & 0x1FF
            self.left = list(self.edid[first : first + count])
            self.status = ACTIVE | READY

    def _take(self) -> int:
        taken, self.left = self.left[:4], self.left[4:]
        if not self.left:
            self.status = ACTIVE | READY | WAIT
        return int.from_bytes(bytes(taken), "little")


def hdmi_of(platform: str, port: Port, pin: int, edid: bytes = EDID) -> tuple[HdmiBus, FakeController, Registers]:
    registers = Registers()
    return HdmiBus(uncore_of(registers, platform), port), FakeController(registers, pin, edid), registers


@pytest.mark.parametrize(
    ("platform", "port", "pin"),
    [("skl", Port.B, 5), ("skl", Port.C, 4), ("kbl", Port.D, 6), ("bdw", Port.B, 5), ("cfl", Port.B, 1), ("cfl", Port.D, 4), ("bxt", Port.C, 2)],
)
def test_an_edid_is_read_over_the_pins_of_its_port(platform: str, port: Port, pin: int) -> None:
    bus, controller, _ = hdmi_of(platform, port, pin)
    assert read_edid(bus, DriverLog(FakeClock())) == EDID
    assert pin_of(platform, port) == pin
    assert controller.selected == 0, "the bus is let go of"


def test_offset_and_length_go_with_the_command_and_a_stop_follows() -> None:
    bus, controller, _ = hdmi_of("skl", Port.D, 6, TWO_BLOCKS)
    assert bus.read_from(0x50, 128, 128) == TWO_BLOCKS[128:]
    assert controller.commands == [0x4680_80A1, 0x4800_0000]


def test_an_edid_of_two_blocks_is_read_whole() -> None:
    bus, _, _ = hdmi_of("skl", Port.D, 6, TWO_BLOCKS)
    assert len(TWO_BLOCKS) == 256
    assert read_edid(bus, DriverLog(FakeClock())) == TWO_BLOCKS


def test_a_refusal_resets_the_controller_and_is_tried_once_more() -> None:
    bus, controller, _ = hdmi_of("skl", Port.B, 6)
    assert bus.read_from(0x50, 0, 1) is None
    transfer, clear = 0x4601_00A1, 0x8000_0000
    assert controller.commands == [transfer, clear, 0, transfer, clear, 0]


def test_a_controller_that_gives_no_bytes_is_named_with_its_register() -> None:
    bus, controller, _ = hdmi_of("skl", Port.D, 6)
    controller.stuck = True
    with pytest.raises(DriverError, match=r"Gmbus.gmbus2 at 0xc5108 reads 0x200: no bytes are ready for 50 ms"):
        bus.read_from(0x50, 0, 1)


def test_a_port_without_pins_is_refused() -> None:
    with pytest.raises(DriverError, match="port A has no pins for an HDMI cable; ports B, C, D have"):
        pin_of("skl", Port.A)
