"""A PCI device that does nothing: storage behind its windows, and a configuration space a machine can enumerate."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pvinfo.bus import Region
from pvinfo.units import MIB

STATUS_INTERRUPT: Final = 1 << 3
MSI_AT: Final = 0x90
POWER_AT: Final = 0xD0


class StorageRegion:
    """Remembers what is written; keeps a list of every access in the order it came."""

    def __init__(self, size: int, stored: int | None = None) -> None:
        self.size = size
        self.bytes = bytearray(size if stored is None else stored)
        self.accesses: list[tuple[str, int, int, int]] | None = None

    def read(self, offset: int, size: int) -> int:
        value = int.from_bytes(self.bytes[offset : offset + size], "little")
        if self.accesses is not None:
            self.accesses.append(("read", offset, size, value))
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        if self.accesses is not None:
            self.accesses.append(("write", offset, size, value))
        self.bytes[offset : offset + size] = value.to_bytes(size, "little")

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


class PlainConfig:
    """256 bytes that mean something, the rest zero; writes go through masks, so that windows can be sized."""

    def __init__(self, bar_sizes: dict[int, int], pin: int) -> None:
        self.bytes = bytearray(4096)
        self._writable = bytearray(4096)
        put = struct.pack_into
        put("<HHHHI", self.bytes, 0, 0x8086, 0x1912, 0, 0x10, 0x03000006)
        for bar, size in bar_sizes.items():
            put("<I", self.bytes, 0x10 + 4 * bar, 0xC if bar == 2 else 0x4)
            put("<Q", self._writable, 0x10 + 4 * bar, -size & 0xFFFF_FFFF_FFFF_FFF0)
        put("<HH", self.bytes, 0x2C, 0x8086, 0x2015)
        self.bytes[0x34] = MSI_AT
        self.bytes[0x3D] = pin
        put("<BBH", self.bytes, MSI_AT, 0x05, POWER_AT, 0x0000)
        put("<BBHH", self.bytes, POWER_AT, 0x01, 0x00, 0x0002, 0)
        put("<H", self._writable, 0x04, 0x0507)
        self._writable[0x3C] = 0xFF
        # A device without a ROM that does not care: what was written there can be read.
        put("<I", self._writable, 0x30, 0xFFFF_FFFF)
        put("<HIH", self._writable, MSI_AT + 2, 0x0001, 0xFFFF_FFFC, 0xFFFF)
        put("<H", self._writable, POWER_AT + 4, 0x0003)
        self._initial = bytes(self.bytes)

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(self.bytes[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        mask = int.from_bytes(self._writable[offset : offset + size], "little")
        merged = self.read(offset, size) & ~mask | value & mask
        self.bytes[offset : offset + size] = merged.to_bytes(size, "little")

    def reset(self) -> None:
        self.bytes[:] = self._initial


class PlainDevice:
    """A :class:`~pvinfo.bus.PciDevice`: BAR0 and BAR2, one message-signalled interrupt, pin A unless told otherwise."""

    def __init__(self, bar0_size: int = 64 * 1024, bar2_size: int = 1 * MIB, pin: int = 1) -> None:
        self.bars = {0: StorageRegion(bar0_size), 2: StorageRegion(bar2_size)}
        self.config = PlainConfig({0: bar0_size, 2: bar2_size}, pin)
        self.resets = 0
        self._handler: Callable[[], None] | None = None

    def bar(self, index: int) -> Region | None:
        return self.bars.get(index)

    def reset(self) -> None:
        self.resets += 1
        for region in self.bars.values():
            region.bytes[:] = bytes(len(region.bytes))
        self.config.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._handler = handler

    # ---- what a test makes the device do ----

    def interrupt(self) -> None:
        """Send an interrupt."""
        if self._handler is not None:
            self._handler()

    def assert_pin(self, asserted: bool) -> None:
        """Show in STATUS that the pin is asserted, or not."""
        if asserted:
            self.config.bytes[6] |= STATUS_INTERRUPT
        else:
            self.config.bytes[6] &= ~STATUS_INTERRUPT & 0xFF
