"""The guest's view of the global graphics translation table, and the slice of the real one behind it.

A guest writes guest-physical addresses into the table's window in BAR0. Entries of its own slice are translated to bus
addresses and put into the hardware's table; it reads back what it wrote, never a host address. Entries outside the slice
read as zero and cannot be written.

Where this differs from the kernel's mediator, on purpose: a device reset forgets the guest's entries and half-written
ones (the kernel keeps them), and of narrow or odd accesses reads give the bytes asked for and writes are dropped, with a
remark (the kernel fails both).

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.gtt_entry import ENTRIES_PER_TABLE, ENTRY_SIZE
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, BusAddress, GraphicsAddress, GuestAddress

from ...hypervisor.base import NO_PAGE

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("GgttContents", "GuestGgtt")

_PRESENT: Final = 1
_FRAME: Final = ((1 << 46) - 1) & ~PAGE_MASK
_ALL: Final = (1 << 64) - 1
_IS_CLOSED: Final = bytes(0 if low & _PRESENT else 1 for low in range(256))
"""By the lowest byte of a hardware entry."""


class GgttContents(NamedTuple):
    """A table as its guest has written it."""

    slices: tuple[bytes, ...]
    """Each slice's entries, in the order in which the page announces the slices."""
    closed: tuple[bytes, ...]
    """For each entry of each slice 1 where the hardware shows nothing: something without a page was written, or half of something."""
    half_written: dict[int, tuple[int, int]]
    """By page number, entries of which one half was written: which, and what."""
    shown: dict[int, int]
    """By page number, what the hardware is shown where failsafe mode keeps something else for the guest."""
    entry_writes: int


class _Slice:
    """A run of owned entries."""

    def __init__(self, addresses: range) -> None:
        self.first = addresses.start >> PAGE_SHIFT
        self.end = addresses.stop >> PAGE_SHIFT
        self.entries = memoryview(bytearray(8 * (self.end - self.first))).cast("Q")


@final
class GuestGgtt:
    """One vGPU's table."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self._hardware = vgpu.gpu.ggtt.entries
        self._scratch: BusAddress = vgpu.scratch_page
        self._slices = (_Slice(vgpu.resources.low), _Slice(vgpu.resources.high))
        self._half_written: dict[int, tuple[int, int]] = {}
        self._shown: dict[int, int] = {}
        """Entries that the hardware has, where failsafe mode keeps something else for the guest."""
        self.window_size = 8 * len(self._hardware)
        """Bytes of the table's window in BAR0."""
        self.entry_writes = 0
        """Entries that the guest has written, whole."""
        self._clear_hardware(drop=False)

    # ---- ownership and translation ----

    def owns(self, address: int, size: int = 1) -> bool:
        """All of ``[address, address + size)`` lies in one of the two slices; size 0 asks for the address alone."""
        end = address + max(size, 1)
        return any(s.first << PAGE_SHIFT <= address and end <= s.end << PAGE_SHIFT for s in self._slices)

    def _slice_of(self, index: int) -> _Slice | None:
        for owned in self._slices:
            if owned.first <= index < owned.end:
                return owned
        return None

    def entry(self, index: int) -> int:
        """The guest's own entry of page ``index``; 0 outside its slices."""
        owned = self._slice_of(index)
        return owned.entries[index - owned.first] if owned else 0

    def translate(self, address: GraphicsAddress) -> GuestAddress | None:
        """Where the guest says the graphics address lies in its memory; None where it says nothing."""
        entry = self.entry(address >> PAGE_SHIFT)
        if not entry & _PRESENT:
            return None
        return GuestAddress((entry & _FRAME) | (address & PAGE_MASK))

    def page(self, address: GraphicsAddress) -> memoryview | None:
        """The guest's memory behind the page that holds the graphics address, to be read and written; None where there is none.

        It is the guest's: it may change between two looks, and is good as :meth:`HypervisorPort.guest_page` says.
        """
        guest = self.translate(GraphicsAddress(address & ~PAGE_MASK))
        page = self._vgpu.port.guest_page(guest) if guest is not None else None
        return None if page is None or page.readonly else page

    # ---- the window in BAR0 ----

    def guest_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` of the window."""
        if (size != 4 and size != 8) or offset & 3:
            self._odd_access("read", offset, size)
        value = 0
        for at in range(offset & ~7, offset + size, 8):
            entry = self.entry(at >> 3)
            value |= entry << 8 * (at - offset) if at >= offset else entry >> 8 * (offset - at)
        return value & ((1 << 8 * size) - 1)

    def guest_write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset`` of the window."""
        if self._vgpu.failsafe:
            self._keep_for_guest(offset, size, value)
        elif size == 8 and not offset & 7:
            self._write_entry(offset >> 3, value)
        elif size == 4 and not offset & 3:
            self._write_half(offset >> 3, offset >> 2 & 1, value)
        elif size == 8 and not offset & 3:
            self._write_half(offset >> 3, 1, value & 0xFFFFFFFF)
            self._write_half((offset >> 3) + 1, 0, value >> 32)
        else:
            self._odd_access("write", offset, size, value)

    def _keep_for_guest(self, offset: int, size: int, value: int) -> None:
        """Failsafe mode: what the guest writes to its own entries is plain memory to it, and nothing to the hardware."""
        lanes = (1 << 8 * size) - 1
        for at in range(offset & ~7, offset + size, 8):
            owned = self._slice_of(at >> 3)
            if owned is not None:
                shift = 8 * (offset - at)
                part, lane = (value << shift, lanes << shift) if shift >= 0 else (value >> -shift, lanes >> -shift)
                index = (at >> 3) - owned.first
                self._shown.setdefault(at >> 3, owned.entries[index])
                owned.entries[index] = (owned.entries[index] & ~lane | part & lane) & _ALL

    def _odd_access(self, what: str, offset: int, size: int, value: int | None = None) -> None:
        done = "it reads the bytes asked for" if value is None else "it is dropped"
        self._vgpu.findings.fault(
            "ggtt-access-size", f"GGTT window +{offset:#x}", f"a {size}-byte {what} of table entries; {done}",
            value=value, nearest="4 or 8 bytes, aligned",
        )  # fmt: skip

    def _owned(self, index: int, value: int) -> _Slice | None:
        owned = self._slice_of(index)
        if owned is None:
            self._vgpu.findings.fault(
                "ggtt-outside-slice", f"GGTT entry of {index << PAGE_SHIFT:#x}",
                "a write to an entry outside the vGPU's slices; it is dropped and reads back 0",
                value=value, nearest=" or ".join(f"[{s.first << PAGE_SHIFT:#x}, {s.end << PAGE_SHIFT:#x})" for s in self._slices),
            )  # fmt: skip
        return owned

    def _write_half(self, index: int, half: int, value: int) -> None:
        """4 of the 8 bytes. The entry works again only once both halves have been written."""
        owned = self._owned(index, value)
        if owned is None:
            return
        pending = self._half_written.pop(index, None)
        if pending is not None and pending[0] != half:
            self._write_entry(index, value << 32 * half | pending[1] << 32 * pending[0])
            return
        self._half_written[index] = half, value
        owned.entries[index - owned.first] = value << 32 * half
        self._set_hardware(index, self._scratch)

    def _write_entry(self, index: int, entry: int) -> None:
        owned = self._owned(index, entry)
        if owned is None:
            return
        self._half_written.pop(index, None)
        owned.entries[index - owned.first] = entry
        self.entry_writes += 1
        hardware = int(self._scratch)
        if entry & _PRESENT:
            bus = self._vgpu.port.map_guest_page(GuestAddress(entry & _FRAME))
            if bus is None:
                self._vgpu.findings.fault(
                    "ggtt-not-memory", f"GGTT entry of {index << PAGE_SHIFT:#x}",
                    "the entry points where the guest has no memory; the GPU is shown a scratch page",
                    value=entry, nearest="an address of guest RAM",
                )  # fmt: skip
                bus = self._scratch
            hardware = entry & ~_FRAME & _ALL | bus
        self._set_hardware(index, hardware)

    def _set_hardware(self, index: int, entry: int) -> None:
        old = self._hardware[index] & _FRAME
        self._hardware[index] = entry
        if old != self._scratch:
            self._vgpu.port.unmap_guest_page(BusAddress(old))

    # ---- life cycle ----

    def _clear_hardware(self, *, drop: bool) -> None:
        scratch = self._scratch
        shown: list[int] = []
        for owned in self._slices:
            part = self._hardware[owned.first : owned.end]
            clear = (scratch | _PRESENT).to_bytes(ENTRY_SIZE, "little") * len(part)
            if drop:
                # Most of a slice is never written: what is clear as it stands is not looked at entry by entry.
                for first in range(0, len(part), ENTRIES_PER_TABLE):
                    row = part[first : first + ENTRIES_PER_TABLE]
                    if row.tobytes() != clear[: row.nbytes]:
                        shown += [page for entry in row.tolist() if (page := entry & _FRAME) != scratch]
            part[:] = memoryview(clear).cast("Q")
        # The GPU looks into this table each time: what stands here no more it does not reach.
        self._vgpu.port.unmap_guest_pages(shown)

    def clear(self) -> None:
        """Device reset, or the end: every entry shows the scratch page, every guest page is let go."""
        self._clear_hardware(drop=True)
        self._half_written.clear()
        self._shown.clear()
        for owned in self._slices:
            owned.entries[:] = memoryview(bytes(owned.entries.nbytes)).cast("Q")

    # ---- saved and restored ----

    def contents(self) -> GgttContents:
        """What the guest has written."""
        return GgttContents(
            tuple(bytes(owned.entries) for owned in self._slices),
            tuple(bytes(self._hardware[owned.first : owned.end].cast("B")[::ENTRY_SIZE]).translate(_IS_CLOSED) for owned in self._slices),
            dict(self._half_written), dict(self._shown), self.entry_writes,
        )  # fmt: skip

    def take_over(self, contents: GgttContents) -> None:
        """Go on with what the guest has written on another host, into slices as large and at the same place. The table was clear."""
        self._half_written, self._shown = dict(contents.half_written), dict(contents.shown)
        self.entry_writes = contents.entry_writes
        for owned, entries, closed in zip(self._slices, contents.slices, contents.closed, strict=True):
            owned.entries[:] = memoryview(entries).cast("Q")
            wanted = {index: entry for index, entry in enumerate(owned.entries.tolist(), owned.first) if entry & _PRESENT}
            wanted |= {index: entry for index, entry in self._shown.items() if owned.first <= index < owned.end}
            shown = {index: entry for index, entry in wanted.items() if entry & _PRESENT and not closed[index - owned.first]}
            pages = self._vgpu.port.map_guest_pages([entry & _FRAME for entry in shown.values()])
            for (index, entry), page in zip(shown.items(), pages, strict=True):
                self._hardware[index] = entry & ~_FRAME & _ALL | (page if page != NO_PAGE else self._scratch)
            for index in compress(range(owned.first, owned.end), closed):
                self._hardware[index] = self._scratch
