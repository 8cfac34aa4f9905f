"""A device whose guest's accesses travel: what the guest finds in its slot, and what its accesses reach at the other end.

Where a hypervisor forwards accesses as records, the guest's end cuts them as the hypervisor's emulator does and knows addresses
alone; the device's end finds out what stands there. The aperture is mapped into the guest, not trapped, as the mediators do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol, final

from pvinfo.bus import ConfigSpace, PciDevice, Region
from pvinfo.units import GIB, PAGE_MASK, PAGE_SIZE

__all__ = ("GPU_DEVICE", "DeviceEnd", "TrappedDevice", "Traps", "TrapRange", "emulated_pieces")

GPU_DEVICE: Final = 2
"""The graphics device is 00:02.0."""
TRAPPED_BAR: Final = 0
_WINDOW: Final = 256 * GIB
"""Where the machine's bus shows the device's registers: above all RAM."""


def emulated_pieces(address: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut an access as Xen's instruction emulator hands it on: the largest power of two, 8 bytes at most, and never across a page.

    So an aligned access of 8 bytes stays one; it is the mediator that cuts it where its registers are of 4. A single operand, which
    is what ACRN hands on, stays whole.
    Source: xen:xen/arch/x86/hvm/emulate.c (hvmemul_phys_mmio_access; linear_read and linear_write, which cut at the end of a page)
    """
    end = address + size
    while address < end:
        room = min(end - address, PAGE_SIZE - (address & PAGE_MASK), 8)
        piece = 1 << room.bit_length() - 1
        yield address, piece
        address += piece


class TrapRange(NamedTuple):
    """Guest-physical addresses whose accesses are the device's."""

    start: int
    end: int


class Traps(Protocol):
    """A hypervisor's way from a processor to whoever models the device."""

    def memory(self, address: int, size: int, value: int | None) -> int:
        """Read, or write ``value``, at a guest-physical address that is no RAM; what is read. All ones where nobody answers."""

    def config(self, offset: int, size: int, value: int | None) -> int:
        """Read, or write ``value``, in the configuration space of 00:02.0."""


@final
class DeviceEnd:
    """The device at the other end, by what a record names."""

    def __init__(self, device: PciDevice) -> None:
        region = device.bar(TRAPPED_BAR)
        self._region = region
        self._config = device.config
        self.range = TrapRange(_WINDOW, _WINDOW + (region.size if region is not None else 0))

    def memory(self, address: int, size: int, value: int | None) -> int:
        """An access to the registers."""
        region, offset = self._region, address - self.range.start
        if region is None:
            return (1 << 8 * size) - 1
        if value is None:
            return region.read(offset, size)
        region.write(offset, size, value)
        return 0

    def config(self, offset: int, size: int, value: int | None) -> int:
        """An access to configuration space."""
        if value is None:
            return self._config.read(offset, size)
        self._config.write(offset, size, value)
        return 0


class _TrappedConfig:
    def __init__(self, traps: Traps) -> None:
        self._traps = traps

    def read(self, offset: int, size: int) -> int:
        return self._traps.config(offset, size, None)

    def write(self, offset: int, size: int, value: int) -> None:
        self._traps.config(offset, size, value & ((1 << 8 * size) - 1))


class _TrappedRegion:
    def __init__(self, traps: Traps, start: int, size: int) -> None:
        self._memory = traps.memory
        self._start = start
        self.size = size

    def read(self, offset: int, size: int) -> int:
        value = shift = 0
        for address, piece in emulated_pieces(self._start + offset, size):
            value |= self._memory(address, piece, None) << shift
            shift += 8 * piece
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        for address, piece in emulated_pieces(self._start + offset, size):
            self._memory(address, piece, value & ((1 << 8 * piece) - 1))
            value >>= 8 * piece

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


@final
class TrappedDevice:
    """A :class:`~pvinfo.bus.PciDevice` as the guest sees it through ``traps``."""

    def __init__(self, device: PciDevice, traps: Traps) -> None:
        self._device = device
        self.config: ConfigSpace = _TrappedConfig(traps)
        region = device.bar(TRAPPED_BAR)
        self._trapped: Region | None = _TrappedRegion(traps, _WINDOW, region.size) if region is not None else None

    def bar(self, index: int) -> Region | None:
        return self._trapped if index == TRAPPED_BAR else self._device.bar(index)

    def reset(self) -> None:
        self._device.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._device.on_interrupt(handler)
