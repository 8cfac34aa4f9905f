"""Host memory: what the GPU reaches by DMA.

Each virtual machine's RAM stands in a window of its own, far from every other, so that a bus address says by itself
whose page it is and a wrong shadow table changes the wrong memory instead of happening to be right.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from pvinfo.units import PAGE_SIZE, BusAddress

__all__ = ("WINDOW_SHIFT", "Backing", "BusMemory", "DirectMemory", "HostMemory")

WINDOW_SHIFT: Final = 40
"""A window holds 1 TiB; 64 of them fill the 46 address bits of a GPU table entry."""
_WINDOWS: Final = 1 << (46 - WINDOW_SHIFT)
_OFFSET_MASK: Final = (1 << WINDOW_SHIFT) - 1


class Backing(Protocol):
    """Memory behind one window, by offset from its start."""

    def page(self, offset: int, /) -> memoryview | None:
        """The whole 4 KiB page at ``offset``, writable unless it is read-only memory; None where there is none."""

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at ``offset`` where they are one piece of memory; None where they are not, or not all there."""


class BusMemory(Protocol):
    """Memory as a device on the bus sees it."""

    @property
    def revision(self) -> int:
        """Changes whenever a page that was handed out may have gone: whoever kept one looks it up anew."""

    def page(self, address: BusAddress, /) -> memoryview | None:
        """The page that holds ``address``, or None where there is no memory."""

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        """``size`` bytes at ``address`` where they are one piece of memory, else None."""


class _HostPages:
    """Pages of the host's own: scratch pages, shadow tables."""

    def __init__(self) -> None:
        self._pages: list[bytearray] = []

    def add(self) -> int:
        self._pages.append(bytearray(PAGE_SIZE))
        return (len(self._pages) - 1) * PAGE_SIZE

    def page(self, offset: int, /) -> memoryview | None:
        index = offset // PAGE_SIZE
        return memoryview(self._pages[index]) if index < len(self._pages) else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        start = offset % PAGE_SIZE
        page = self.page(offset)
        return page[start : start + size] if page is not None and start + size <= PAGE_SIZE else None


@final
class HostMemory:
    """All memory behind the GPU's bus. Window 0 is the host's own."""

    def __init__(self) -> None:
        self._own = _HostPages()
        self._windows: dict[int, Backing] = {0: self._own}
        self._revision = 0

    def allocate_page(self) -> BusAddress:
        """A zeroed page of the host's own. Bus address 0 is never handed out."""
        offset = self._own.add()
        return BusAddress(offset) if offset else self.allocate_page()

    def attach(self, backing: Backing) -> BusAddress:
        """Give ``backing`` a free window. Raises: RuntimeError when all are taken."""
        for number in range(1, _WINDOWS):
            if number not in self._windows:
                self._windows[number] = backing
                return BusAddress(number << WINDOW_SHIFT)
        raise RuntimeError(f"all {_WINDOWS - 1} windows of host memory are taken")

    def detach(self, base: BusAddress) -> None:
        """Take the window at ``base`` away; the GPU finds nothing there any more."""
        del self._windows[base >> WINDOW_SHIFT]
        self.revoke()

    def revoke(self) -> None:
        """Pages that were handed out may have gone. Every backing whose memory can shrink says so here."""
        self._revision += 1

    @property
    def revision(self) -> int:
        return self._revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        backing = self._windows.get(address >> WINDOW_SHIFT)
        if backing is None:
            return None
        return backing.page(address & _OFFSET_MASK & ~(PAGE_SIZE - 1))

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        backing = self._windows.get(address >> WINDOW_SHIFT)
        offset = address & _OFFSET_MASK
        if backing is None or offset + size > _OFFSET_MASK + 1:
            return None
        return backing.span(offset, size)


@final
class DirectMemory:
    """The memory of one machine whose GPU is its own: bus addresses are the machine's physical addresses."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._revision = 0

    def revoke(self) -> None:
        """Pages that were handed out may have gone."""
        self._revision += 1

    @property
    def revision(self) -> int:
        return self._revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        return self._backing.page(address & ~(PAGE_SIZE - 1))

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        return self._backing.span(address, size)
