"""Who watches which guest page: what a port keeps whose hypervisor knows protected frames, but not for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.units import PAGE_MASK, PAGE_SHIFT

__all__ = ("Watches", "pages_of")


def pages_of(address: int, size: int) -> range:
    """Numbers of the pages that ``size`` bytes touch."""
    return range(address >> PAGE_SHIFT, (address + size + PAGE_MASK) >> PAGE_SHIFT) if size else range(0)


@final
class Watches:
    """Calls by page number."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[Callable[[], None], ...]] = {}

    def add(self, address: int, changed: Callable[[], None]) -> bool:
        """Call ``changed`` for the page at ``address``; whether it is the first for that page."""
        page = address >> PAGE_SHIFT
        known = self._calls.get(page, ())
        self._calls[page] = *known, changed
        return not known

    def remove(self, address: int, changed: Callable[[], None]) -> bool:
        """Undo one :meth:`add`; whether it was the last for that page."""
        page = address >> PAGE_SHIFT
        calls = list(self._calls.get(page, ()))
        if changed not in calls:
            return False
        calls.remove(changed)
        if calls:
            self._calls[page] = tuple(calls)
            return False
        del self._calls[page]
        return True

    def forget(self, first: int, count: int) -> None:
        """``count`` pages from number ``first`` on are gone, and whoever watched them with them."""
        for page in [page for page in self._calls if first <= page < first + count]:
            del self._calls[page]

    def written(self, address: int, size: int) -> None:
        """Call for each page that a store touches, in order."""
        if not self._calls:
            return
        for page in pages_of(address, size):
            for changed in self._calls.get(page, ()):
                changed()
