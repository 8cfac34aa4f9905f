"""Ballooning: reserving in the guest's own allocator all graphics memory that belongs to others.

The guest sees the whole graphics address space of the GPU, yet owns two slices of it, one the processor can
reach through the aperture and one it cannot. What lies around them is blown up with up to four balloons; what
the allocator then hands out belongs to this vGPU. Nothing is written to the device for it.

::

      0        mappable slice      aperture end     nonmappable slice        total
      |--- [0] ---|...........|--- [1] ---|--- [2] ---|...........|--- [3] ---|

Source: linux:drivers/gpu/drm/i915/i915_vgpu.c
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, final

from pvinfo.errors import DriverError
from pvinfo.page import GraphicsRange, PvInfo
from pvinfo.units import PAGE_MASK, format_range

from .address_space import AddressSpace, Node
from .log import DriverLog
from .refusal import Refusal, refuse
from .uncore import Uncore

__all__ = ("Balloon", "BalloonSlot", "read_ranges")


class BalloonSlot(IntEnum):
    """The four balloons, by the kernel's numbers."""

    MAPPABLE_BELOW = 0
    MAPPABLE_ABOVE = 1
    NONMAPPABLE_BELOW = 2
    NONMAPPABLE_ABOVE = 3


_ORDER: Final = (
    BalloonSlot.NONMAPPABLE_BELOW,
    BalloonSlot.NONMAPPABLE_ABOVE,
    BalloonSlot.MAPPABLE_BELOW,
    BalloonSlot.MAPPABLE_ABOVE,
)
"""The order in which they are blown up."""


def read_ranges(uncore: Uncore) -> tuple[GraphicsRange, GraphicsRange]:
    """The mappable and the nonmappable slice, as the page gives them: four reads in the driver's order."""
    page = PvInfo(uncore.regs)
    mappable_base, mappable_size = page.mappable_base, page.mappable_size
    nonmappable_base, nonmappable_size = page.nonmappable_base, page.nonmappable_size
    return GraphicsRange(mappable_base, mappable_size), GraphicsRange(nonmappable_base, nonmappable_size)


@final
class Balloon:
    """The balloons of one graphics address space."""

    def __init__(self, space: AddressSpace, log: DriverLog) -> None:
        self._space = space
        self._log = log
        self.slots: dict[BalloonSlot, Node] = {}
        """What is blown up, in the order it was done."""

    @property
    def reserved(self) -> int:
        """Bytes kept from the allocator."""
        return sum(node.size for node in self.slots.values())

    def inflate(self, mappable: GraphicsRange, nonmappable: GraphicsRange, mappable_end: int) -> None:
        """Reserve everything outside the two slices (``intel_vgt_balloon``); ``mappable_end`` is the aperture's length.

        Raises: HostRefused for slices that do not fit; DriverError when part of a balloon is already taken, with
        what was blown up before let out again.
        """
        total = self._space.size
        map_end = mappable.base + mappable.size
        unmap_end = nonmappable.base + nonmappable.size
        if map_end > mappable_end:
            refuse(Refusal.MAPPABLE_PAST_APERTURE, f"{format_range(mappable.base, map_end)} against an aperture of {mappable_end:#x}")
        if nonmappable.base < mappable_end:
            refuse(Refusal.NONMAPPABLE_IN_APERTURE, f"{format_range(nonmappable.base, unmap_end)} against an aperture of {mappable_end:#x}")
        if unmap_end > total:
            refuse(Refusal.NONMAPPABLE_PAST_GGTT, f"{format_range(nonmappable.base, unmap_end)} against a space of {total:#x}")
        for part in (mappable, nonmappable):
            if (part.base | part.size) & PAGE_MASK:
                refuse(Refusal.UNALIGNED_SLICE, format_range(part.base, part.base + part.size))
        outside = {
            BalloonSlot.NONMAPPABLE_BELOW: (mappable_end, nonmappable.base),
            BalloonSlot.NONMAPPABLE_ABOVE: (unmap_end, total),
            BalloonSlot.MAPPABLE_BELOW: (0, mappable.base),
            BalloonSlot.MAPPABLE_ABOVE: (map_end, mappable_end),
        }
        try:
            for slot in _ORDER:
                start, end = outside[slot]
                if start < end:
                    self.slots[slot] = self._space.reserve(start, end - start, f"balloon [{slot.value}]")
                    self._log.info("balloon", f"balloon [{slot.value}] over {format_range(start, end)}")
        except DriverError:
            self._log.error("balloon-failed", "a balloon met something already in its place")
            for slot in (BalloonSlot.MAPPABLE_BELOW, BalloonSlot.NONMAPPABLE_ABOVE, BalloonSlot.NONMAPPABLE_BELOW):
                self._release(slot)
            raise

    def _release(self, slot: BalloonSlot) -> None:
        node = self.slots.pop(slot, None)
        if node is not None:
            self._space.remove(node)
            self._log.debug("deballoon", f"balloon [{slot.value}] let out")

    def deflate(self) -> None:
        """Let all of them out, lowest number first (``intel_vgt_deballoon``)."""
        for slot in BalloonSlot:
            self._release(slot)
