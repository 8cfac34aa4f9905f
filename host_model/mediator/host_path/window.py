"""BAR0 as the host's driver sees it: each register the physical GPU's or an emulated one, then its part of the global table."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.trace import Op, TraceWriter

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
        self._clock = device.clock
        self._hardware = device.gpu.mmio
        self.emulated = MmioWindow(device, policy_for(device.platform.name))
        """What does not pass."""
        self.passed = 0
        """Accesses that went to the physical GPU."""
        self._trace: TraceWriter | None = None

    @property
    def size(self) -> int:
        return self.emulated.size

    def trace_to(self, trace: TraceWriter | None) -> None:
        """Record every access from now on, wherever it goes; None stops it. What is wider than a dword is recorded by dwords."""
        self._trace = trace
        self.emulated.trace_to(trace)

    def _passes(self, offset: int) -> bool:
        """The register at ``offset`` is the physical GPU's, and is accessed now."""
        if 0 <= offset < MMIO_SIZE and self._passing[offset & ~3]:
            self.passed += 1
            return True
        return False

    def _record(self, op: Op, offset: int, size: int, value: int) -> None:
        if self._trace is not None:
            self._trace.add(self._clock.now_ns() // 1_000_000, op, size, offset, value)

    def read32(self, offset: int, /) -> int:
        return self._read(offset, 4) if not offset & 3 else self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        if offset & 3:
            self.write(offset, 4, value)
        else:
            self._write(offset, 4, value)

    def read(self, offset: int, size: int) -> int:
        if not 0 <= offset <= MMIO_SIZE - size:
            return self.emulated.read(offset, size)
        return sum(self._read(at, width) << 8 * (at - offset) for at, width in aligned_pieces(offset, size))

    def write(self, offset: int, size: int, value: int) -> None:
        if not 0 <= offset <= MMIO_SIZE - size:
            self.emulated.write(offset, size, value)
            return
        for at, width in aligned_pieces(offset, size):
            self._write(at, width, value >> 8 * (at - offset) & (1 << 8 * width) - 1)

    def _read(self, offset: int, size: int) -> int:
        if not self._passes(offset):
            return self.emulated.read(offset, size)
        value = self._hardware.read(offset, size)
        self._record(Op.READ, offset, size, value)
        return value

    def _write(self, offset: int, size: int, value: int) -> None:
        if not self._passes(offset):
            self.emulated.write(offset, size, value)
            return
        self._record(Op.WRITE, offset, size, value)
        self._hardware.write(offset, size, value)
