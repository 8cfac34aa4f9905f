"""Memory of the process that drives a device: what it maps for DMA, and which pages of it are pinned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress

from ...hypervisor.local import Ram
from ...hypervisor.pins import add_pins, remove_pins
from ...memory import HostMemory

__all__ = ("UserMemory",)


@final
class UserMemory:
    """RAM of a user process in the host's memory. Nobody but the process reaches a page that is not pinned: it may have moved.

    ``lockable_pages`` is how many may be pinned at a time, as the system limits it for each user; None: no limit.
    Host addresses are window addresses of :class:`~host_model.memory.HostMemory`.
    """

    def __init__(self, ram: Ram, host_memory: HostMemory, *, lockable_pages: int | None = None) -> None:
        self.ram = ram
        self._lockable = lockable_pages
        self._host_memory = host_memory
        self._pins: dict[int, int] = {}
        self.base = host_memory.attach(self, "memory of processes")
        """Host address of the first byte."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.ram.size

    @property
    def pinned_pages(self) -> int:
        """Pages that are pinned now, each counted once."""
        return len(self._pins)

    def pins(self, offset: int) -> int:
        """How often the page at ``offset`` is pinned."""
        return self._pins.get(offset >> PAGE_SHIFT, 0)

    def pin(self, offsets: Iterable[int]) -> list[BusAddress]:
        """Pin the pages at ``offsets``; where the host has them. Raises: ResourceExhausted, with none pinned, when no more may be."""
        pages = list(offsets)
        if self._lockable is not None:
            fresh = len({page >> PAGE_SHIFT for page in pages} - self._pins.keys())
            if fresh > self._lockable - len(self._pins):
                held = {"what devices have pinned": len(self._pins)}
                raise ResourceExhausted("locked memory of the process", fresh, self._lockable - len(self._pins), "pages", f"of {self._lockable}, ulimit -l", held)
        add_pins(self._pins, (page >> PAGE_SHIFT for page in pages))
        return [BusAddress(self.base + (page & ~PAGE_MASK)) for page in pages]

    def unpin(self, offsets: Iterable[int]) -> None:
        """Undo one :meth:`pin` of each page."""
        if remove_pins(self._pins, (page >> PAGE_SHIFT for page in offsets)):
            self._host_memory.revoke()

    def page(self, offset: int, /) -> memoryview | None:
        """The page at ``offset``, while it is pinned."""
        return self.ram.page(offset) if offset >> PAGE_SHIFT in self._pins else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at ``offset``, while each page of them is pinned."""
        pages = range(offset >> PAGE_SHIFT, (offset + size + PAGE_SIZE - 1) >> PAGE_SHIFT)
        return self.ram.span(offset, size) if all(page in self._pins for page in pages) else None

    def close(self) -> None:
        """The process has gone. Raises: StateError while a device holds pages."""
        if self._pins:
            raise StateError("freeing a process's memory", f"{len(self._pins)} pages pinned", "no page pinned")
        self._host_memory.detach(self.base)
