"""BAR2 of the physical GPU: graphics memory below the aperture's end, through fences and the GGTT.

A fence makes a tiled surface look linear: an access inside it is sent to the place where the tiling keeps that byte.

A text console is drawn word by word through here, so the page that an access reached is kept: until its entry of the
table, a fence or the memory behind the bus has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.registers.fence import FenceHigh, FenceLow
from pvinfo.trace import Op, TraceWriter
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress

if TYPE_CHECKING:
    from .device import PhysicalGpu

__all__ = ("HardwareAperture", "untiled")

_FRAME: Final = ((1 << 46) - 1) & ~PAGE_MASK
_VALID: Final = FenceLow.valid.mask
_PITCH_UNIT: Final = 128
_Y_COLUMN: Final = 16
"""Bytes of a row that lie together in a Y tile; the smallest piece that any tiling keeps whole."""


def untiled(fence: int, address: int) -> int | None:
    """Where the byte that software sees at graphics ``address``, inside the fence of value ``fence``, really lies.

    None when that is behind the fence's end, as with a surface that is no whole number of tiles: nothing is reached then.

    Source: prm:skl:vol5 (tiling formats), linux:drivers/gpu/drm/i915/gt/intel_ggtt_fencing.c
    """
    low, high = FenceLow(fence & 0xFFFFFFFF), FenceHigh(fence >> 32)
    start = low.start_page << PAGE_SHIFT
    pitch = (high.pitch + 1) * _PITCH_UNIT
    row, x = divmod(address - start, pitch)
    if low.tiling:
        tile_row, in_row = divmod(row, 32)
        tile_column, in_column = divmod(x, 128)
        tile = tile_row * (pitch // 128) + tile_column
        within = in_column // _Y_COLUMN * 512 + in_row * _Y_COLUMN + in_column % _Y_COLUMN
    else:
        tile_row, in_row = divmod(row, 8)
        tile_column, in_column = divmod(x, 512)
        tile = tile_row * (pitch // 512) + tile_column
        within = in_row * 512 + in_column
    place = start + tile * PAGE_SIZE + within
    return place if place >> PAGE_SHIFT <= high.last_page else None


@final
class HardwareAperture:
    """A :class:`~pvinfo.bus.Region` onto graphics memory."""

    def __init__(self, gpu: PhysicalGpu, size: int) -> None:
        self._gpu = gpu
        self.size = size
        self.reads = 0
        self.writes = 0
        self.trace: TraceWriter | None = None
        self._entries = gpu.ggtt.entries
        self._fences = gpu.fences.cast("B")
        self._pages: dict[int, tuple[int, memoryview]] = {}
        """Writable pages under no fence, with the entry that led there, by graphics page."""
        self._as_of = (b"", -1)

    # ---- Region ----

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)

    def plain_page(self, offset: int, /) -> memoryview | None:
        return self.kept_page(offset) if self.trace is None else None

    def count_writes(self, count: int, /) -> None:
        self.writes += count

    def read(self, offset: int, size: int) -> int:
        self.reads += 1
        value = int.from_bytes(self.copy_out(offset, size), "little")
        if self.trace is not None:
            self.trace.add(self._gpu.clock.now_ns() // 1_000_000, Op.APERTURE_READ, size, offset, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes += 1
        value &= (1 << 8 * size) - 1
        if self.trace is not None:
            self.trace.add(self._gpu.clock.now_ns() // 1_000_000, Op.APERTURE_WRITE, size, offset, value)
        self.copy_in(offset, value.to_bytes(size, "little"))

    # ---- bytes ----

    def kept_page(self, offset: int) -> memoryview | None:
        """The page at ``offset``, all of it memory under no fence, if an access has reached it before and still would."""
        kept = self._pages.get(offset >> PAGE_SHIFT)
        if kept is None or kept[0] != self._entries[offset >> PAGE_SHIFT] or self._as_of != (self._fences.tobytes(), self._gpu.memory.revision):
            return None
        return kept[1]

    def keep_page(self, offset: int) -> memoryview | None:
        """As :meth:`kept_page`, and look for it: None where there is no such memory, or a fence."""
        page = self.kept_page(offset)
        if page is not None:
            return page
        as_of = self._fences.tobytes(), self._gpu.memory.revision
        if self._as_of != as_of:
            self._pages.clear()
            self._as_of = as_of
        if offset >= self.size or self._fence_over(offset) is not None:
            return None
        page = self._page(offset)
        if page is None or page.readonly:
            return None
        self._pages[offset >> PAGE_SHIFT] = self._entries[offset >> PAGE_SHIFT], page
        return page

    def forget_pages(self) -> None:
        """The GPU is reset: hold on to no memory."""
        self._pages.clear()

    def copy_out(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``; ones where there is no memory."""
        start = offset & PAGE_MASK
        if start + size <= PAGE_SIZE:
            page = self.keep_page(offset)
            if page is not None:
                return page[start : start + size].tobytes()
        data = bytearray(b"\xff" * size)
        for at, place, length in self._pieces(offset, size):
            page = self._page(place)
            if page is not None:
                start = place & PAGE_MASK
                data[at : at + length] = page[start : start + length]
        return bytes(data)

    def copy_in(self, offset: int, data: bytes) -> None:
        """Store ``data`` at ``offset``, as far as there is memory."""
        start = offset & PAGE_MASK
        if start + len(data) <= PAGE_SIZE:
            page = self.keep_page(offset)
            if page is not None:
                page[start : start + len(data)] = data
                return
        for at, place, length in self._pieces(offset, len(data)):
            page = self._page(place)
            if page is not None and not page.readonly:
                start = place & PAGE_MASK
                page[start : start + length] = data[at : at + length]

    def _pieces(self, offset: int, size: int) -> list[tuple[int, int, int]]:
        """Cut an access into pieces that lie together: (position in the access, graphics address, length)."""
        pieces: list[tuple[int, int, int]] = []
        size = min(size, self.size - offset)  # behind the aperture there is more graphics memory, but no way to it
        at = 0
        while at < size:
            address = offset + at
            fence = self._fence_over(address)
            if fence is None:
                length = min(size - at, PAGE_SIZE - (address & PAGE_MASK))
            else:
                length = min(size - at, _Y_COLUMN - address % _Y_COLUMN)
                place = untiled(fence, address)
                if place is None:
                    at += length
                    continue
                address = place
            pieces.append((at, address, length))
            at += length
        return pieces

    def _fence_over(self, address: int) -> int | None:
        page = address >> PAGE_SHIFT
        for fence in self._gpu.fences.tolist():
            if fence & _VALID:
                low, high = FenceLow(fence & 0xFFFFFFFF), FenceHigh(fence >> 32)
                if low.start_page <= page <= high.last_page:
                    return fence
        return None

    def _page(self, address: int) -> memoryview | None:
        index = address >> PAGE_SHIFT
        if index >= len(self._entries):
            return None
        # The processor's way in does not look at the present bit; an entry that nobody ever wrote leads nowhere.
        frame = self._entries[index] & _FRAME
        return self._gpu.memory.page(BusAddress(frame)) if frame else None
