"""A timeline: the order of one context's requests, and the dword in memory where each reports that it is done.

Source: linux:drivers/gpu/drm/i915/gt/intel_timeline.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.units import GraphicsAddress

from .ggtt import Binding

if TYPE_CHECKING:
    from .request import Request

__all__ = ("Timeline", "seqno_passed")


def seqno_passed(reported: int, wanted: int) -> bool:
    """Whether ``reported`` is ``wanted`` or later; numbers wrap at 32 bits."""
    return (reported - wanted) & 0xFFFF_FFFF < 0x8000_0000


@final
class Timeline:
    """The requests of one context."""

    def __init__(self, binding: Binding, offset: int, *, reports_start: bool) -> None:
        """They report at byte ``offset`` of ``binding``. ``reports_start``: numbers go up by two, so that a request can
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
        """Graphics address of the dword."""
        return GraphicsAddress(self.binding.address + self.offset)

    def next_seqno(self) -> int:
        """A number for a new request."""
        self.seqno = (self.seqno + self._step) & 0xFFFF_FFFF
        return self.seqno

    def reported(self) -> int:
        """What the dword holds now."""
        return self.binding.buffer.read_dword(self.offset)

    def reset_reported(self) -> None:
        """Write the newest number: what was lost is no longer waited for (``intel_timeline_reset_seqno``)."""
        self.binding.buffer.write_dword(self.offset, self.seqno)
