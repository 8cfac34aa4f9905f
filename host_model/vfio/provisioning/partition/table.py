"""A partition's part of the global table: the hardware's own entries, as its driver writes them, with whose they are.

A hardware entry bears whose domain its address is of; nobody else than the host can say that. It is put there on the way in, and
taken off on the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.gtt_entry import ENTRY_SIZE, FRAME_MASK_4K, GgttEntry
from pvinfo.units import PAGE_SHIFT, BusAddress, GraphicsAddress

from ....memory import WINDOW_SHIFT

if TYPE_CHECKING:
    from .device import PartitionDevice

__all__ = ("PartitionTable",)

_PRESENT: Final = GgttEntry.present.mask
_OWN_FRAME: Final = FRAME_MASK_4K & (1 << WINDOW_SHIFT) - 1
_REST: Final = (1 << 64) - 1 & ~FRAME_MASK_4K


@final
class PartitionTable:
    """A :class:`~host_model.device.mmio.window.TableWindow`. Entries of others read as nothing and keep nothing."""

    def __init__(self, device: PartitionDevice) -> None:
        self._device = device
        self._entries = device.gpu.ggtt.entries
        self._base = device.port.base
        self._nothing = device.scratch_page | _PRESENT
        """What an entry holds to which 0 was written."""
        self.parts = (device.resources.low, device.resources.high)
        self.window_size = device.gpu.ggtt.window_size
        self.entry_writes = 0
        """Writes of its own entries, halves included."""

    # ---- ownership ----

    def owns(self, address: int, size: int = 1) -> bool:
        """All of ``[address, address + size)`` lies in one of the two parts; size 0 asks for the address alone."""
        end = address + max(size, 1)
        return any(part.start <= address and end <= part.stop for part in self.parts)

    def page(self, address: GraphicsAddress) -> memoryview | None:
        """The memory behind the page that holds the graphics address; None where there is none."""
        entry = self._entries[address >> PAGE_SHIFT] if self.owns(address) else 0
        return self._device.mediator.memory.page(BusAddress(entry & FRAME_MASK_4K)) if entry & _PRESENT else None

    # ---- entries ----

    def _entry(self, index: int) -> int:
        """An entry as the driver wrote it."""
        entry = self._entries[index]
        return 0 if entry == self._nothing else entry & _REST | (entry & FRAME_MASK_4K) - self._base

    def _set_entry(self, index: int, entry: int) -> None:
        self._entries[index] = entry & _REST | self._base + (entry & _OWN_FRAME) if entry else self._nothing

    # ---- the window in BAR0 ----

    def guest_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` of the window."""
        value = 0
        for at in range(offset & ~(ENTRY_SIZE - 1), offset + size, ENTRY_SIZE):
            entry = self._entry(at // ENTRY_SIZE) if self.owns(at // ENTRY_SIZE << PAGE_SHIFT) else 0
            value |= entry << 8 * (at - offset) if at >= offset else entry >> 8 * (offset - at)
        return value & (1 << 8 * size) - 1

    def guest_write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset`` of the window."""
        for at in range(offset & ~(ENTRY_SIZE - 1), offset + size, ENTRY_SIZE):
            index = at // ENTRY_SIZE
            if not self.owns(index << PAGE_SHIFT):
                self._device.findings.fault(
                    "ggtt-outside-slice", f"GGTT entry of {index << PAGE_SHIFT:#x}",
                    "a write to an entry outside the partition; it is dropped and reads back 0", value=value, nearest=self._device.resources.owned,
                )  # fmt: skip
                continue
            low, high = max(at, offset), min(at + ENTRY_SIZE, offset + size)
            lanes = (1 << 8 * (high - low)) - 1
            shift = 8 * (low - at)
            self._set_entry(index, self._entry(index) & ~(lanes << shift) | (value >> 8 * (low - offset) & lanes) << shift)
            self.entry_writes += 1

    # ---- as a whole ----

    def clear(self) -> None:
        """Every entry leads to the partition's scratch page."""
        self._fill(self._nothing)

    def give_back(self) -> None:
        """No entry leads anywhere: the part is nobody's."""
        self._fill(0)

    def _fill(self, entry: int) -> None:
        for part in self.parts:
            own = self._entries[part.start >> PAGE_SHIFT : part.stop >> PAGE_SHIFT]
            own[:] = memoryview(entry.to_bytes(ENTRY_SIZE, "little") * len(own)).cast("Q")
