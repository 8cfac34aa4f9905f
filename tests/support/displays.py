"""Monitors, and a driver's way of talking to them through registers."""

from __future__ import annotations

from typing import Final

from host_model.device.display.monitor import Monitor
from pvinfo.bus import Region
from pvinfo.connector import connector_named
from pvinfo.platform import platform_named

__all__ = ("BUSY", "DONE", "INTERRUPT", "TIMED_OUT", "AuxLine", "I2cBus", "Nak", "a_monitor")

BUSY: Final = 1 << 31
DONE: Final = 1 << 30
INTERRUPT: Final = 1 << 29
TIMED_OUT: Final = 1 << 28


def a_monitor(platform: str, connector: str, resolution: str = "1024x768") -> Monitor:
    """A monitor of ours at the connector of that name."""
    return Monitor.of_resolution(connector_named(connector, platform_named(platform)), resolution)


class AuxLine:
    """One AUX channel, by its control register."""

    def __init__(self, mmio: Region, control: int) -> None:
        self.mmio = mmio
        self.control = control

    def send(self, message: bytes, *, flags: int = 0) -> int:
        """Send ``message``; what the control register holds afterwards."""
        padded = message.ljust(20, b"\0")
        for at in range(0, 20, 4):
            self.mmio.write32(self.control + 4 + at, int.from_bytes(padded[at : at + 4], "big"))
        self.mmio.write32(self.control, BUSY | flags | len(message) << 20)
        return self.mmio.read32(self.control)

    def ask(self, message: bytes) -> bytes:
        """The whole reply to ``message``; empty when nobody answers."""
        status = self.send(message)
        assert status & (BUSY | DONE) == DONE
        if status & TIMED_OUT:
            return b""
        size = status >> 20 & 0x1F
        assert 1 <= size <= 20
        return b"".join(self.mmio.read32(self.control + 4 + at).to_bytes(4, "big") for at in range(0, 20, 4))[:size]

    def read(self, address: int, length: int) -> bytes:
        """DPCD registers."""
        reply = self.ask(bytes((0x90 | address >> 16, address >> 8 & 0xFF, address & 0xFF, length - 1)))
        assert reply[0] == 0 and len(reply) == length + 1
        return reply[1:]

    def write(self, address: int, *values: int) -> None:
        """Set DPCD registers."""
        assert self.ask(bytes((0x80 | address >> 16, address >> 8 & 0xFF, address & 0xFF, len(values) - 1, *values))) == b"\0"

    def i2c_start(self, address: int, *, reading: bool) -> int:
        """Address an I2C target; the first byte of the reply."""
        return self.ask(bytes((0x50 if reading else 0x40, 0, address)))[0]

    def i2c_stop(self) -> None:
        """End the I2C transaction."""
        self.ask(bytes((0x10, 0, 0x50)))

    def i2c_write(self, address: int, *values: int) -> int:
        """Bytes to an I2C target, in the middle of a transaction."""
        return self.ask(bytes((0x40, 0, address, len(values) - 1, *values)))[0]

    def i2c_read(self, address: int, length: int) -> bytes:
        """Bytes from an I2C target, in the middle of a transaction."""
        reply = self.ask(bytes((0x50, 0, address, length - 1)))
        assert reply[0] == 0 and len(reply) == length + 1
        return reply[1:]

    def edid(self, blocks: int = 1) -> bytes:
        """The first blocks of the EDID, as a driver reads them."""
        found = b""
        for block in range(blocks):
            if block > 1:
                assert self.i2c_start(0x30, reading=False) == 0
                assert self.i2c_write(0x30, block // 2) == 0
            assert self.i2c_start(0x50, reading=False) == 0
            assert self.i2c_write(0x50, block % 2 * 128) == 0
            assert self.i2c_start(0x50, reading=True) == 0
            for _ in range(8):
                found += self.i2c_read(0x50, 16)
            self.i2c_stop()
        return found


class Nak(Exception):
    """The I2C target did not answer."""


_SELECT, _COMMAND, _STATUS, _DATA, _WIDE = 0xC5100, 0xC5104, 0xC5108, 0xC510C, 0xC5120
_READY, _NAK, _ACTIVE, _WAIT = 1 << 11, 1 << 10, 1 << 9, 1 << 14


class I2cBus:
    """The I2C controller at one pair of pins, driven as i915 drives it."""

    def __init__(self, mmio: Region, pin: int) -> None:
        self.mmio = mmio
        self.pin = pin

    def _await(self, bit: int) -> None:
        status = self.mmio.read32(_STATUS)
        if status & _NAK:
            assert not status & _ACTIVE
            self.mmio.write32(_COMMAND, 1 << 31)
            self.mmio.write32(_COMMAND, 0)
            self.mmio.write32(_SELECT, 0)
            raise Nak
        assert status & bit

    def select(self, *, override: bool = False) -> None:
        """Take the pins."""
        self.mmio.write32(_SELECT, self.pin | override << 6)

    def read(self, address: int, length: int, *, index: int | None = None, wide_index: int | None = None, field: int | None = None) -> bytes:
        """Bytes from a target; ``field`` is what stands in the byte count in place of ``length``."""
        cycle = 1 | (2 if index is not None else 0)
        if wide_index is not None:
            self.mmio.write32(_WIDE, 1 << 31 | wide_index)
        count = field if field is not None else length
        self.mmio.write32(_COMMAND, 1 << 30 | cycle << 25 | count << 16 | (index or 0) << 8 | address << 1 | 1)
        found = b""
        while len(found) < length:
            self._await(_READY)
            found += self.mmio.read32(_DATA).to_bytes(4, "little")
        self._await(_WAIT)
        self.mmio.write32(_WIDE, 0)
        return found[:length]

    def write(self, address: int, data: bytes) -> None:
        """Bytes to a target."""
        self.mmio.write32(_DATA, int.from_bytes(data[:4], "little"))
        self.mmio.write32(_COMMAND, 1 << 30 | 1 << 25 | len(data) << 16 | address << 1)
        for at in range(4, len(data), 4):
            self.mmio.write32(_DATA, int.from_bytes(data[at : at + 4], "little"))
            self._await(_READY)
        self._await(_WAIT)

    def stop(self) -> None:
        """Let go of the bus."""
        self.mmio.write32(_COMMAND, 1 << 30 | 4 << 25)
        assert not self.mmio.read32(_STATUS) & _ACTIVE
        self.mmio.write32(_SELECT, 0)

    def edid(self, blocks: int = 1) -> bytes:
        """The first blocks of the EDID, as a driver reads them. Raises: Nak."""
        found = b""
        for block in range(blocks):
            self.select()
            if block > 1:
                self.write(0x30, bytes((block // 2,)))
            found += self.read(0x50, 128, index=block % 2 * 128)
            self.stop()
        return found
