"""Host pages for shadow tables: what each vGPU may use of them, and what is used again.

Each vGPU has a share of its own, so that what one guest's tables cost never becomes another guest's refusal, or its loss.

Where this differs from the kernel's mediator, on purpose: there is a limit (the kernel goes on until memory is used up),
and a vGPU that has reached it gives up tables of its own (the kernel takes them from whichever vGPU used its least recently).

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c (ppgtt_alloc_spt, reclaim_one_ppgtt_mm)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, final

from pvinfo.units import PAGE_SIZE, BusAddress

from ...memory import HostBlock, HostMemory

__all__ = ("DEFAULT_SHARE", "ShadowPage", "ShadowPool")

DEFAULT_SHARE: Final = 4096
"""Pages that a vGPU may use: with 16 MiB of tables, 8 GiB of its address spaces are mapped at a time."""

_BLANK: Final = memoryview(bytes(PAGE_SIZE)).cast("Q")


class ShadowPage(NamedTuple):
    """A page of the host's own, as a table."""

    block: HostBlock
    entries: memoryview
    """Its 512 entries."""

    @property
    def address(self) -> BusAddress:
        """Where the GPU finds it."""
        return self.block.address


@final
class ShadowPool:
    """The pages for the shadow tables of all vGPUs.

    ``invalidate_translations`` has the GPU forget all translations. The tables call it once before they hand a batch of pages
    back, to their guests or to the pool.
    """

    def __init__(self, memory: HostMemory, invalidate_translations: Callable[[], None], *, share: int = DEFAULT_SHARE) -> None:
        """``share``: how many pages each vGPU may use."""
        self._memory = memory
        self.invalidate_translations = invalidate_translations
        self.share = share
        self._free: dict[int, list[ShadowPage]] = {}
        """Pages that a vGPU has had; nobody else gets them while they are the GPU's to reach for it."""
        self._used: Counter[int] = Counter()

    def used(self, vgpu: int) -> int:
        """Pages that vGPU number ``vgpu`` has taken and not given back."""
        return self._used[vgpu]

    def take(self, vgpu: int) -> ShadowPage | None:
        """A zeroed page for vGPU number ``vgpu``; None when its share is used up."""
        if self._used[vgpu] >= self.share:
            return None
        self._used[vgpu] += 1
        free = self._free.get(vgpu)
        if free:
            page = free.pop()
            page.entries[:] = _BLANK
            return page
        block = self._memory.allocate(1, vgpu)
        return ShadowPage(block, block.bytes.cast("Q"))

    def give_back(self, vgpu: int, pages: Iterable[ShadowPage]) -> None:
        """The GPU knows of these pages no more."""
        free = self._free.setdefault(vgpu, [])
        before = len(free)
        free += pages
        self._used[vgpu] -= len(free) - before
        if not self._used[vgpu]:
            for page in self._free.pop(vgpu):
                self._memory.release(page.block)
