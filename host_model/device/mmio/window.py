"""BAR0: registers below 2 MiB, the GGTT's entries from 8 MiB on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol, final

from pvinfo.finding import FindingLog
from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.trace import Op, TraceWriter

from ...clock import HostClock
from .policy import ALWAYS_SLOW, Attribute, MmioPolicy
from .registers import RegisterPage

__all__ = ("BAR0_SIZE", "GTT_OFFSET", "MmioWindow", "TableWindow", "WindowedDevice", "aligned_pieces")

BAR0_SIZE: Final = 16 << 20
GTT_OFFSET: Final = 8 << 20
"""Where in BAR0 the GGTT's entries begin. Source: linux:drivers/gpu/drm/i915/gvt/gvt.h"""

_UNMODELLED_LIMIT: Final = 4096
"""Offsets counted one by one; a guest that touches more is a fuzzer, and the rest is counted together."""

_READ_HANDLED: Final = int(Attribute.READ_HANDLED)
_WRITE_HANDLED: Final = int(Attribute.WRITE_HANDLED)
_MODE_MASK: Final = int(Attribute.MODE_MASK)
_READ_ONLY_BITS: Final = int(Attribute.READ_ONLY_BITS)
_UNTRACKED: Final = int(Attribute.UNTRACKED)
_ZERO_FILLED: Final = int(Attribute.ZERO_FILLED)


def aligned_pieces(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut an access into naturally aligned ones of at most 4 bytes, as VFIO does."""
    end = offset + size
    while offset < end:
        piece = next(width for width in (4, 2, 1) if offset % width == 0 and offset + width <= end)
        yield offset, piece
        offset += piece


class TableWindow(Protocol):
    """The translation table's entries as BAR0 shows them."""

    @property
    def window_size(self) -> int:
        """Bytes of the window."""

    def guest_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` of the window."""

    def guest_write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset`` of the window."""


class WindowedDevice(Protocol):
    """What the window needs of the device that it opens onto."""

    @property
    def registers(self) -> RegisterPage:
        """What is stored."""

    @property
    def ggtt(self) -> TableWindow:
        """The translation table."""

    @property
    def findings(self) -> FindingLog:
        """Where remarks go."""

    @property
    def clock(self) -> HostClock:
        """The time, for traces."""


@final
class MmioWindow:
    """The trapped window of one device; a :class:`~pvinfo.bus.Region`.

    Aligned dwords of plain registers take three table look-ups; everything else, and everything while a trace is
    taken, goes the slow way. No access raises: what nothing serves reads all ones, with a finding.
    """

    def __init__(self, device: WindowedDevice, policy: MmioPolicy) -> None:
        self._device = device
        self.registers = device.registers
        self._dwords = self.registers.dwords
        self._gtt_end = GTT_OFFSET + device.ggtt.window_size
        self.reads = 0
        self.writes = 0
        self.unmodelled: Counter[int] = Counter()
        """Accesses of untracked registers, by byte offset; -1 counts those past the limit."""
        self._trace: TraceWriter | None = None
        self.use(policy)

    @property
    def size(self) -> int:
        return BAR0_SIZE

    def use(self, policy: MmioPolicy) -> None:
        """Treat registers as ``policy`` says from now on."""
        self._policy = policy
        self._attributes = policy.attributes
        self._slow_reads = ALWAYS_SLOW if self._trace else policy.slow_reads
        self._slow_writes = ALWAYS_SLOW if self._trace else policy.slow_writes

    def trace_to(self, trace: TraceWriter | None) -> None:
        """Record every access from now on; None stops it. Without a trace, tracing costs nothing."""
        self._trace = trace
        self.use(self._policy)

    # ---- the fast path ----

    def read32(self, offset: int, /) -> int:
        self.reads += 1
        try:
            if not self._slow_reads[offset]:
                return self._dwords[offset >> 2]
        except IndexError:
            pass
        return self._read_slow(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.writes += 1
        try:
            if not self._slow_writes[offset]:
                self._dwords[offset >> 2] = value & 0xFFFFFFFF
                return
        except IndexError:
            pass
        self._write_slow(offset, 4, value & 0xFFFFFFFF)

    # ---- every other access ----

    def read(self, offset: int, size: int) -> int:
        if size == 4:
            return self.read32(offset)
        self.reads += 1
        return self._read_slow(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        if size == 4:
            self.write32(offset, value)
            return
        self.writes += 1
        self._write_slow(offset, size, value & ((1 << 8 * size) - 1))

    # ---- accesses that no processor makes ----

    def served_read(self, offset: int) -> int:
        """The aligned dword at ``offset`` as the device's own commands read it: neither counted nor traced."""
        if not 0 <= offset < MMIO_SIZE:
            return 0
        return self._read_piece(offset, 4) if self._slow_reads[offset] else self._dwords[offset >> 2]

    def served_write(self, offset: int, value: int) -> None:
        """Store an aligned dword as the device's own commands do."""
        if not 0 <= offset < MMIO_SIZE:
            return
        if self._slow_writes[offset]:
            self._write_piece(offset, 4, value & 0xFFFFFFFF)
        else:
            self._dwords[offset >> 2] = value & 0xFFFFFFFF

    def _read_slow(self, offset: int, size: int) -> int:
        if 0 <= offset and offset + size <= MMIO_SIZE:
            if size == 4 and not offset & 3:
                value = self._read_piece(offset, 4)
            else:
                value = 0
                for at, width in aligned_pieces(offset, size):
                    value |= self._read_piece(at, width) << 8 * (at - offset)
            op, place = Op.READ, offset
        elif GTT_OFFSET <= offset and offset + size <= self._gtt_end:
            place = offset - GTT_OFFSET
            value = self._device.ggtt.guest_read(place, size)
            op = Op.GGTT_READ
        else:
            value = self._nothing_there("read", offset, size, None)
            op, place = Op.READ, offset
        if self._trace is not None:
            self._trace.add(self._device.clock.now_ns() // 1_000_000, op, size, place, value)
        return value

    def _write_slow(self, offset: int, size: int, value: int) -> None:
        trace = self._trace
        if 0 <= offset and offset + size <= MMIO_SIZE:
            if trace is not None:
                trace.add(self._device.clock.now_ns() // 1_000_000, Op.WRITE, size, offset, value)
            if size == 4 and not offset & 3:
                self._write_piece(offset, 4, value)
                return
            for at, width in aligned_pieces(offset, size):
                self._write_piece(at, width, value >> 8 * (at - offset) & ((1 << 8 * width) - 1))
        elif GTT_OFFSET <= offset and offset + size <= self._gtt_end:
            place = offset - GTT_OFFSET
            if trace is not None:
                trace.add(self._device.clock.now_ns() // 1_000_000, Op.GGTT_WRITE, size, place, value)
            self._device.ggtt.guest_write(place, size, value)
        else:
            if trace is not None:
                trace.add(self._device.clock.now_ns() // 1_000_000, Op.WRITE, size, offset, value)
            self._nothing_there("write", offset, size, value)

    def _read_piece(self, offset: int, width: int) -> int:
        """At most 4 bytes inside one dword."""
        base = offset & ~3
        attribute = self._attributes[base >> 2]
        if attribute & _UNTRACKED:
            self._count_untracked(base)
        if attribute & _READ_HANDLED:
            value = self._policy.handlers.reads[base](self._device, base)
        else:
            value = self._dwords[base >> 2]
        return value >> 8 * (offset - base) & ((1 << 8 * width) - 1)

    def _write_piece(self, offset: int, width: int, value: int) -> None:
        """At most 4 bytes inside one dword."""
        base = offset & ~3
        index = base >> 2
        attribute = self._attributes[index]
        old = self._dwords[index]
        if width < 4:
            shift = 8 * (offset - base)
            kept = 0 if attribute & _ZERO_FILLED else old & ~(((1 << 8 * width) - 1) << shift)
            value = value << shift | kept
        if attribute & _UNTRACKED:
            self._count_untracked(base)
        if attribute & _READ_ONLY_BITS:
            fixed = self._policy.read_only[base]
            value = value & ~fixed | old & fixed
        if attribute & _WRITE_HANDLED:
            handler, value_type = self._policy.handlers.writes[base]
            value = handler(self._device, base, value_type(value)) & 0xFFFFFFFF
        if attribute & _MODE_MASK:
            mask = value >> 16
            value = old & ~mask | value & mask
        self._dwords[index] = value

    def _count_untracked(self, base: int) -> None:
        if base in self.unmodelled or len(self.unmodelled) < _UNMODELLED_LIMIT:
            self.unmodelled[base] += 1
        else:
            self.unmodelled[-1] += 1

    def _nothing_there(self, what: str, offset: int, size: int, value: int | None) -> int:
        self._device.findings.fault(
            "mmio-outside-window",
            f"BAR0+{offset:#x}",
            f"a {size}-byte {what} where BAR0 has neither registers nor table entries; reads all ones, writes are dropped",
            value=value,
            nearest=f"[0, {MMIO_SIZE:#x}) or [{GTT_OFFSET:#x}, {self._gtt_end:#x})",
        )
        return (1 << 8 * size) - 1


