"""The status buffer: what one engine says of the contexts that it was handed, event by event.

The engine writes events into its status page, six of them in turn, then the number of the newest. Whoever reads them
marks them as taken, because the number may be seen before the event is.
Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from pvinfo.errors import DriverError
from pvinfo.execlist import CONTEXT_STATUS_OFFSET, CONTEXT_STATUS_WRITE_OFFSET
from pvinfo.platform import Engine
from pvinfo.registers import CONTEXT_STATUS_ENTRIES, ContextStatus, ContextStatusPointer, EngineRegisters

from .ggtt import Binding
from .uncore import Uncore

__all__ = ("ImpossibleEvent", "StatusBuffer")

_EVENT_SIZE: Final = 8
_NEWEST_AT_RESET: Final = CONTEXT_STATUS_ENTRIES - 1
"""The hardware's first event after a reset is number 0."""
_UNWRITTEN: Final = (1 << 64) - 1
_STALE_NS: Final = 10_000


class ImpossibleEvent(DriverError):
    """An engine tells of something that cannot be: driver and engine have lost each other."""


@final
class StatusBuffer:
    """The events of one engine."""

    def __init__(self, uncore: Uncore, engine: Engine, status_page: Binding) -> None:
        self._uncore = uncore
        self._name = engine.name
        self._page = status_page.buffer
        self._taken = 0
        """The newest event that was looked at; the status page begins as zeroes."""

    def take(self) -> Iterator[tuple[int, ContextStatus]]:
        """Every event that was not looked at yet, with its number; one that is not asked for any more is lost.

        Raises: ImpossibleEvent when the newest is said to be one that there is not.
        """
        newest = self._page.read_dword(CONTEXT_STATUS_WRITE_OFFSET) & 0xFF
        number = self._taken
        if newest == number:
            return
        if newest >= CONTEXT_STATUS_ENTRIES:
            raise ImpossibleEvent(f"the newest event is said to be number {newest}, but there are {CONTEXT_STATUS_ENTRIES}")
        self._taken = newest
        while number != newest:
            number = (number + 1) % CONTEXT_STATUS_ENTRIES
            yield number, self._read(number)

    def _read(self, number: int) -> ContextStatus:
        """Event ``number``, which is marked as taken (``csb_read``)."""
        offset = CONTEXT_STATUS_OFFSET + _EVENT_SIZE * number
        event = int.from_bytes(self._page.read(offset, _EVENT_SIZE), "little")
        if event == _UNWRITTEN:
            # The number may have been seen before the event: a moment later the event is there, or the register tells.
            self._uncore.clock.wait_ns(_STALE_NS)
            event = int.from_bytes(self._page.read(offset, _EVENT_SIZE), "little")
            if event == _UNWRITTEN:
                event = self._uncore.regs.read(EngineRegisters.context_status_buffer.at(self._name) + _EVENT_SIZE * number, 8)
        self._page.write(offset, b"\xff" * _EVENT_SIZE)
        return ContextStatus(event & 0xFFFF_FFFF)

    def reset(self) -> None:
        """Agree with the hardware that the next event is number 0 (``reset_csb_pointers``)."""
        number = ContextStatusPointer.of(write_pointer=_NEWEST_AT_RESET, read_pointer=_NEWEST_AT_RESET)
        self._write_pointers(number)
        self._taken = _NEWEST_AT_RESET
        self._page.write_dword(CONTEXT_STATUS_WRITE_OFFSET, _NEWEST_AT_RESET)
        self._page.write(CONTEXT_STATUS_OFFSET, b"\xff" * _EVENT_SIZE * CONTEXT_STATUS_ENTRIES)
        self._write_pointers(number)

    def _write_pointers(self, number: ContextStatusPointer) -> None:
        self._uncore.write(EngineRegisters.context_status_ptr, 0xFFFF << 16 | number, self._name)
        self._uncore.read(EngineRegisters.context_status_ptr, self._name)
