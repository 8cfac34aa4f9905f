"""A timeline: the order of one context's requests, and the dword in memory where each reports that it is done.

Source: linux:drivers/gpu/drm/i915/gt/intel_timeline.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.units import PAGE_SIZE, GraphicsAddress

from .ggtt import Binding

if TYPE_CHECKING:
    from .request import Request

__all__ = ("Timeline", "seqno_passed")

_SLOT_BYTES: Final = 8
_UNUSABLE: Final = 1 << 5
"""MI_FLUSH_DW wants addresses without this bit. Source of both: linux:drivers/gpu/drm/i915/gt/intel_timeline.c"""


def seqno_passed(reported: int, wanted: int) -> bool:
    """Whether ``reported`` is ``wanted`` or later; numbers wrap at 32 bits."""
    return (reported - wanted) & 0xFFFF_FFFF < 0x8000_0000


@final
class Timeline:
    """The requests of one context."""

    def __init__(self, binding: Binding, offset: int, *, reports_start: bool) -> None:
        """They begin by reporting at byte ``offset`` of ``binding``. ``reports_start``: numbers go up by two, so that a request can
        report that it has begun by the odd one before its own."""
        self.binding = binding
        self.offset = offset
        self._step = 2 if reports_start else 1
        self.reports_start = reports_start
        self.seqno = 0
        """Number of the newest request."""
        self.requests: list[Request] = []
        """Those not yet retired, oldest first."""

    @property
    def address(self) -> GraphicsAddress:
        """Graphics address of the dword that the newest request reports in."""
        return self.address_of(self.offset)

    def address_of(self, offset: int) -> GraphicsAddress:
        """Graphics address of byte ``offset`` of the page."""
        return GraphicsAddress(self.binding.address + offset)

    def next_seqno(self) -> int:
        """A number for a new request, which reports it at what is ``offset`` then.

        Other engines may poll for a number or any higher one. Hence, when numbers begin anew, they are reported in another
        dword, and the old one keeps the highest (``intel_timeline_get_seqno``).
        """
        self._advance()
        if not self.seqno and self.reports_start:
            self.offset = (self.offset + _SLOT_BYTES) % PAGE_SIZE
            if self.offset & _UNUSABLE:
                self.offset = (self.offset + _UNUSABLE) % PAGE_SIZE
            self.reset_reported()
            self._advance()
        return self.seqno

    def _advance(self) -> None:
        self.seqno = (self.seqno + self._step) & 0xFFFF_FFFF

    def reported(self, offset: int | None = None) -> int:
        """What the dword holds now, or the one at ``offset``, where older requests report."""
        return self.binding.buffer.read_dword(self.offset if offset is None else offset)

    def reset_reported(self) -> None:
        """Write the newest number: what was lost is no longer waited for (``intel_timeline_reset_seqno``)."""
        self.binding.buffer.write_dword(self.offset, self.seqno)
