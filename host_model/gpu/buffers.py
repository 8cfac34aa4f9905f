"""The buffers that an engine fetches commands from: the ring, the batches started from it, and the work-around batches
that run while a context is loaded.

A batch started from the ring comes back to it at its end; one started from a batch takes that one's place, unless it is
of the second level and comes back. Commands are read through a *window*, one page of the buffer at a time: as memory
holds them when they are executed, so that a batch that is rewritten meanwhile is executed as rewritten.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.units import PAGE_MASK, PAGE_SIZE

from .address_space import AddressSpace

__all__ = ("BATCH", "RING", "SECOND", "BatchPosition", "Buffers")

RING: Final = 0
BATCH: Final = 1
SECOND: Final = 2
"""Levels of buffers."""

_ADDRESS_MASK: Final = (1 << 48) - 1
_NO_END: Final = 1 << 64


class BatchPosition(NamedTuple):
    """Where a batch goes on."""

    address: int
    ppgtt: bool
    """It is fetched through the per-process table, and runs without privilege."""


class _Interrupted(NamedTuple):
    """What the work-around batches of a restore stand in front of."""

    level: int
    batch: BatchPosition
    second: BatchPosition


_NOWHERE: Final = BatchPosition(0, False)
_NOTHING: Final = memoryview(bytes(4)).cast("I")


@final
class Buffers:
    """Where an engine is in its buffers."""

    def __init__(self, global_space: AddressSpace) -> None:
        self._global = global_space
        self.process_space: AddressSpace = global_space
        """Where batches without privilege are."""
        self.level = RING
        self.privileged = True
        """The buffer that runs may touch everything."""
        self.space = global_space
        """Where the buffer that runs is."""
        self.ring_start = 0
        self.ring_size = PAGE_SIZE
        self.head = 0
        self.tail = 0
        self.wraps = 0
        """Times the head has come round."""
        self._batch = _NOWHERE
        self._second = _NOWHERE
        self._end = _NO_END
        self._workarounds: list[tuple[int, int]] = []
        self._interrupted: _Interrupted | None = None
        self.window = _NOTHING
        """Dwords of the buffer, from :attr:`first` up to :attr:`end`."""
        self.first = 0
        self.end = 0
        self._base = 0

    # ---- taking a context up ----

    def begin(self, start: int, size: int, head: int, tail: int) -> None:
        """Execute a ring from its head."""
        self.ring_start = start
        self.ring_size = size
        self.head = head
        self.tail = tail
        self.wraps = 0
        self._batch = self._second = _NOWHERE
        self._workarounds.clear()
        self._interrupted = None
        self._enter(RING)

    def resume(self, batch: BatchPosition, second: BatchPosition | None) -> None:
        """Go on inside a batch that was interrupted, and inside the second one that it had started."""
        self._batch = batch
        self._second = second or _NOWHERE
        self._enter(BATCH if second is None else SECOND)

    def run_first(self, address: int, size: int | None) -> None:
        """Execute a work-around batch in the global table before everything else; without ``size`` it ends itself."""
        self._workarounds.append((address, address + size if size is not None else _NO_END))
        if self._interrupted is None:
            self._interrupted = _Interrupted(self.level, self._batch, self._second)
            self._next_workaround()

    @property
    def in_workaround(self) -> bool:
        """A work-around batch runs."""
        return self._interrupted is not None

    @property
    def batch(self) -> BatchPosition | None:
        """Where the batch goes on, or None in the ring."""
        return self._batch if self.level != RING else None

    @property
    def second(self) -> BatchPosition | None:
        """Where the second-level batch goes on, or None outside of one."""
        return self._second if self.level == SECOND else None

    # ---- from buffer to buffer ----

    def _enter(self, level: int) -> None:
        self.level = level
        ppgtt = level != RING and (self._batch if level == BATCH else self._second).ppgtt
        self.privileged = not ppgtt
        self.space = self.process_space if ppgtt else self._global
        self.first = self.end = 0

    def start_batch(self, address: int, *, ppgtt: bool, second_level: bool) -> None:
        """Go on in a batch; the current position has been settled. Without privilege there is no way back to it."""
        target = BatchPosition(address & _ADDRESS_MASK & ~3, ppgtt or not self.privileged)
        if second_level and self.level != RING:
            self._second = target
            self._enter(SECOND)
        else:
            self._batch = target
            self._end = _NO_END
            self._enter(BATCH)

    def end_batch(self) -> None:
        """Go back to where the batch was started from; outside of batches there is nothing to end."""
        if self.level == SECOND:
            self._enter(BATCH)
        elif self.level == BATCH:
            if self._interrupted is not None:
                self._next_workaround()
            else:
                self._enter(RING)

    def _next_workaround(self) -> None:
        if self._workarounds:
            address, self._end = self._workarounds.pop(0)
            self._batch = BatchPosition(address, False)
            self._enter(BATCH)
        elif self._interrupted is not None:
            level, self._batch, self._second = self._interrupted
            self._interrupted = None
            self._end = _NO_END
            self._enter(level)

    # ---- position ----

    def fetch(self) -> bool:
        """Make the window show the next page of commands; False at the end of the ring. Raises: TranslationFault."""
        if self.level == RING:
            return self._fetch_ring()
        address, end = (self._batch.address, self._end) if self.level == BATCH else (self._second.address, _NO_END)
        if address >= end:
            self.end_batch()
            return self.fetch()
        self.window = self.space.dwords(address)
        self.first = (address & PAGE_MASK) >> 2
        self._base = address & ~PAGE_MASK
        self.end = min(1024, end - self._base >> 2)
        return True

    def _fetch_ring(self) -> bool:
        head, tail = self.head, self.tail
        if head == tail:
            return False
        self.window = self._global.dwords(self.ring_start + head)
        self.first = (head & PAGE_MASK) >> 2
        self._base = head & ~PAGE_MASK
        self.end = 1024 if tail < head else min(1024, tail - self._base >> 2)
        return True

    def settle(self, index: int) -> None:
        """The next command is at ``index`` of the window, or behind its end."""
        position = self._base + 4 * index
        if self.level == RING:
            if position >= self.ring_size:
                position -= self.ring_size
                self.wraps += 1
            self.head = position
        elif self.level == BATCH:
            self._batch = BatchPosition(position & _ADDRESS_MASK, self._batch.ppgtt)
        else:
            self._second = BatchPosition(position & _ADDRESS_MASK, self._second.ppgtt)
        self.first = self.end = 0

    def forget_window(self) -> None:
        """Hold on to no memory; whoever executes commands still has the window, and fetches a new one next."""
        self.window = _NOTHING

    def gather(self, index: int, length: int) -> memoryview | None:
        """A copy of a command of ``length`` dwords that begins at ``index`` of the window and goes on behind its end.

        The window is the copy from then on. None when the ring ends before the command does. Raises: TranslationFault.
        """
        position = self._base + 4 * index
        command = bytearray()
        wanted = 4 * length
        if self.level == RING:
            size = self.ring_size
            if wanted > (self.tail - position) % size:
                return None
            while len(command) < wanted:
                offset = (position + len(command)) % size
                command += self._global.dwords(self.ring_start + offset).cast("B")[offset & PAGE_MASK :]
        else:
            while len(command) < wanted:
                address = position + len(command) & _ADDRESS_MASK
                command += self.space.dwords(address).cast("B")[address & PAGE_MASK :]
        self._base = position
        self.window = memoryview(command).cast("B")[:wanted].cast("I")
        return self.window

    def address(self, index: int | None = None) -> int:
        """Graphics address of the command at ``index`` of the window, or of the settled position."""
        if self.level == RING:
            return self.ring_start + (self.head if index is None else (self._base + 4 * index) % self.ring_size)
        if index is None:
            return (self._batch if self.level == BATCH else self._second).address
        return self._base + 4 * index & _ADDRESS_MASK

    @property
    def name(self) -> str:
        """The buffer that runs, in words."""
        if self._interrupted is not None:
            return "work-around batch"
        return ("ring", "batch", "second-level batch")[self.level]
