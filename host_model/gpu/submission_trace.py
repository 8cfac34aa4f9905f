"""What an engine tells its driver in memory, recorded: status events and breadcrumbs leave no access in a trace."""

from __future__ import annotations

from typing import Final, final

from pvinfo.trace import Op, TraceWriter

from ..clock import HostClock

__all__ = ("SubmissionTrace",)

_EVENT_BYTES: Final = 8


@final
class SubmissionTrace:
    """What one engine adds to a trace; ``base`` is its first register."""

    def __init__(self, trace: TraceWriter, clock: HostClock, base: int) -> None:
        self._trace = trace
        self._clock = clock
        self._base = base

    def event(self, offset: int, status: int, context_id: int) -> None:
        """An event was written to the entry of the status buffer at register ``offset``."""
        self._add(Op.STATUS_EVENT, _EVENT_BYTES, offset, context_id << 32 | status)

    def breadcrumb(self, address: int, number: int, size: int) -> None:
        """A command in a ring left ``number`` at a graphics address; of a quadword the low half counts."""
        self._add(Op.BREADCRUMB, size, self._base, (address & 0xFFFFFFFF) << 32 | number & 0xFFFFFFFF)

    def _add(self, op: Op, size: int, offset: int, value: int) -> None:
        self._trace.add(self._clock.now_ns() // 1_000_000, op, size, offset, value)
