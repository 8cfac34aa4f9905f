"""BAR0 as the host's driver sees it: each register the physical GPU's or an emulated one, then its part of the global table."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.registers.tracked import MMIO_SIZE

from ...device.mmio.window import MmioWindow, aligned_pieces
from .policy import policy_for
from .ways import passing

if TYPE_CHECKING:
    from .device import HostDevice

__all__ = ("HostWindow",)


@final
class HostWindow:
    """A :class:`~pvinfo.bus.Region`."""

    def __init__(self, device: HostDevice) -> None:
        self._passing = passing(device.platform.name)
        self._hardware = device.gpu.mmio
        self.emulated = MmioWindow(device, policy_for(device.platform.name))
        """What does not pass."""
        self.passed = 0
        """Accesses that went to the physical GPU."""

    @property
    def size(self) -> int:
        return self.emulated.size

    def _window(self, offset: int) -> MmioWindow:
        """Where the register at ``offset`` is."""
        if 0 <= offset < MMIO_SIZE and self._passing[offset & ~3]:
            self.passed += 1
            return self._hardware
        return self.emulated

    def read32(self, offset: int, /) -> int:
        return self._window(offset).read32(offset) if not offset & 3 else self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        if offset & 3:
            self.write(offset, 4, value)
        else:
            self._window(offset).write32(offset, value)

    def read(self, offset: int, size: int) -> int:
        if not 0 <= offset <= MMIO_SIZE - size:
            return self.emulated.read(offset, size)
        return sum(self._window(at).read(at, width) << 8 * (at - offset) for at, width in aligned_pieces(offset, size))

    def write(self, offset: int, size: int, value: int) -> None:
        if not 0 <= offset <= MMIO_SIZE - size:
            self.emulated.write(offset, size, value)
            return
        for at, width in aligned_pieces(offset, size):
            self._window(at).write(at, width, value >> 8 * (at - offset) & (1 << 8 * width) - 1)
