"""The host's part of the global table: its entries are the hardware's own, for its addresses need no translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.gtt_entry import FRAME_MASK_4K, GgttEntry
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, BusAddress, GraphicsAddress

if TYPE_CHECKING:
    from .device import HostDevice

__all__ = ("HostTable",)

_PRESENT: Final = GgttEntry.present.mask


@final
class HostTable:
    """A :class:`~host_model.device.mmio.window.TableWindow`. Entries of others read as nothing and keep nothing."""

    def __init__(self, device: HostDevice) -> None:
        self._device = device
        self._hardware = device.gpu.ggtt
        self._parts = (device.resources.low, device.resources.high)
        self.window_size = self._hardware.window_size
        self.entry_writes = 0
        """Writes of its own entries, halves included."""

    # ---- ownership ----

    def owns(self, address: int, size: int = 1) -> bool:
        """All of ``[address, address + size)`` lies in one of the two parts; size 0 asks for the address alone."""
        end = address + max(size, 1)
        return any(part.start <= address and end <= part.stop for part in self._parts)

    def page(self, address: GraphicsAddress) -> memoryview | None:
        """The memory behind the page that holds the graphics address; None where there is none."""
        entry = self._hardware.entries[address >> PAGE_SHIFT] if self.owns(address) else 0
        if not entry & _PRESENT:
            return None
        with self._device.mediator.guard.on_behalf_of(self._device.number):
            return self._device.gpu.memory.page(BusAddress(entry & FRAME_MASK_4K))

    # ---- the window in BAR0 ----

    def guest_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` of the window."""
        return self._hardware.guest_read(offset, size) if self._is_own(offset, size) else 0

    def guest_write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset`` of the window."""
        if self._is_own(offset, size):
            self._hardware.guest_write(offset, size, value)
            self.entry_writes += 1
            return
        self._device.findings.fault(
            "ggtt-outside-slice", f"GGTT entry of {offset >> 3 << PAGE_SHIFT:#x}",
            "a write to an entry outside the host's own part; it is dropped and reads back 0",
            value=value, nearest=self._device.resources.owned,
        )  # fmt: skip

    def _is_own(self, offset: int, size: int) -> bool:
        first, last = offset >> 3 << PAGE_SHIFT, offset + size - 1 >> 3 << PAGE_SHIFT
        return self.owns(first, last + PAGE_MASK + 1 - first)

    def clear(self) -> None:
        """Every entry leads to the page of entries that are not in use."""
        unused = self._device.hardware.memory.unused_entry.to_bytes(8, "little")
        for part in self._parts:
            own = self._hardware.entries[part.start >> PAGE_SHIFT : part.stop >> PAGE_SHIFT]
            own[:] = memoryview(unused * len(own)).cast("Q")
