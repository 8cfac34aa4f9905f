"""The host's own part of graphics memory: where shadow contexts, rings and batches stand.

The host keeps the bottom of the aperture and of what lies behind it. A slice that was placed there all the same is kept
out of it with :meth:`GraphicsMemory.keep_out`. An entry that is not used any more shows a scratch page.

Source: linux:drivers/gpu/drm/i915/gvt/aperture_gm.c, linux:drivers/gpu/drm/i915/gt/intel_ggtt.c
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import ResourceExhausted
from pvinfo.gtt_entry import GgttEntry
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, format_range

from ...free_ranges import FreeRanges
from ...memory import HostBlock, HostMemory, holder_name
from ..types import HOST_HIGH, HOST_LOW

if TYPE_CHECKING:
    from ...gpu.device import PhysicalGpu

__all__ = ("GraphicsBuffer", "GraphicsMemory")

_PRESENT: Final = GgttEntry.present.mask


@final
class GraphicsBuffer:
    """Whole zeroed pages at ``address`` of graphics memory. ``bytes`` and ``dwords`` are the memory itself."""

    __slots__ = ("_block", "_memory", "address", "bytes", "dwords")

    def __init__(self, memory: GraphicsMemory, address: int, block: HostBlock) -> None:
        self._memory: GraphicsMemory | None = memory
        self._block = block
        self.address = address
        self.bytes = block.bytes
        self.dwords = block.bytes.cast("I")

    @property
    def size(self) -> int:
        """Bytes, a whole number of pages."""
        return len(self.bytes)

    @property
    def owner(self) -> int:
        """The vGPU that it serves; 0: the host."""
        return self._block.owner

    def release(self) -> None:
        """The graphics addresses and the memory are free again. Nothing happens the second time."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.take_back(self.address, self._block)


@final
class GraphicsMemory:
    """Buffers for the GPU in the host's part of its global table."""

    def __init__(self, gpu: PhysicalGpu, host_memory: HostMemory) -> None:
        self._entries = gpu.ggtt.entries
        self._memory = host_memory
        self.unused_entry = host_memory.allocate_page() | _PRESENT
        """What an entry of the host's part holds that is not in use."""
        # Address 0 stands for no address in several registers, so nothing is put there.
        high = gpu.aperture_size
        parts = range(PAGE_SIZE, min(HOST_LOW, high)), range(high, min(high + HOST_HIGH, gpu.ggtt_size))
        self._parts = tuple(range(part.start >> PAGE_SHIFT, part.stop >> PAGE_SHIFT) for part in parts)
        self._free = tuple(FreeRanges((part,)) for part in self._parts)
        self.pages = 0
        """Pages in use."""
        self._held: Counter[int] = Counter()
        """The same, by owner."""

    def allocate(self, size: int, owner: int) -> GraphicsBuffer:
        """At least ``size`` zeroed bytes, from a page on, for vGPU ``owner``.

        Raises: ResourceExhausted when graphics memory or the host's own has no such piece left.
        """
        pages = max(size + PAGE_MASK >> PAGE_SHIFT, 1)
        free, first = self._take(pages)
        try:
            block = self._memory.allocate(pages, owner)
        except ResourceExhausted:
            free.give_back(first, pages)
            raise
        entry = block.address | _PRESENT
        entries = self._entries
        for page in range(first, first + pages):
            entries[page] = entry
            entry += PAGE_SIZE
        self.pages += pages
        self._held[owner] += pages
        return GraphicsBuffer(self, first << PAGE_SHIFT, block)

    def _take(self, pages: int) -> tuple[FreeRanges, int]:
        for free in self._free:
            first = free.take(pages, top_down=True)
            if first is not None:
                return free, first
        longest, left = max(free.longest for free in self._free), sum(free.left for free in self._free)
        raise ResourceExhausted("graphics memory", pages, longest, "pages", f"in one piece of the host's part; {left} in all", self._holders())

    def _holders(self) -> dict[str, int]:
        """Pages in use, by whom they serve."""
        return {holder_name(owner): pages for owner, pages in self._held.items() if pages}

    def take_back(self, address: int, block: HostBlock) -> None:
        """What :meth:`GraphicsBuffer.release` does."""
        first = address >> PAGE_SHIFT
        for page in range(first, first + block.pages):
            self._entries[page] = self.unused_entry
        self._part_at(first).give_back(first, block.pages)
        self._memory.release(block)
        self.pages -= block.pages
        self._held[block.owner] -= block.pages

    def _part_at(self, page: int) -> FreeRanges:
        return next(free for free, part in zip(self._free, self._parts, strict=True) if page in part)

    # ---- slices inside the host's part ----

    def keep_out(self, addresses: range) -> None:
        """Use none of these graphics addresses from now on: a vGPU's slice has been placed there.

        Raises: ResourceExhausted when a buffer is there.
        """
        taken: list[tuple[FreeRanges, range]] = []
        for free, pages in self._inside(addresses):
            if not free.take_at(pages.start, len(pages)):
                for other, before in taken:
                    other.give_back(before.start, len(before))
                raise ResourceExhausted(
                    "graphics memory", len(pages), 0, "pages",
                    f"at {format_range(addresses.start, addresses.stop)}, where the host's own buffers are", self._holders(),
                )  # fmt: skip
            taken.append((free, pages))

    def let_in(self, addresses: range) -> None:
        """Take addresses back that were given to :meth:`keep_out`."""
        for free, pages in self._inside(addresses):
            free.give_back(pages.start, len(pages))

    def _inside(self, addresses: range) -> Iterator[tuple[FreeRanges, range]]:
        """What of the addresses is the host's, in pages."""
        for free, part in zip(self._free, self._parts, strict=True):
            first, end = max(addresses.start >> PAGE_SHIFT, part.start), min(addresses.stop >> PAGE_SHIFT, part.stop)
            if first < end:
                yield free, range(first, end)
