"""Graphics memory as the display reads it: through the GGTT, and not beyond what belongs to the device."""

from __future__ import annotations

from typing import Final, Protocol, final

from pvinfo.units import PAGE_MASK, PAGE_SIZE

from ..gpu.address_space import TranslationFault

__all__ = ("DisplayFetch", "DisplayMemory", "ForeignMemory", "HeldPages")

_BLACK_PAGE: Final = memoryview(bytes(PAGE_SIZE))


@final
class ForeignMemory(Exception):
    """Graphics addresses that are not the device's to show. It stays inside scan-out: the plane is black."""

    def __init__(self, address: int, size: int, owned: str) -> None:
        self.address = address
        self.size = size
        self.owned = owned
        """What would have been shown, in words."""
        super().__init__(f"[{address:#x}, {address + size:#x}) is not all in {owned}")


class HeldPages(Protocol):
    """Pages of a surface that are held for somebody outside, whatever the GGTT says meanwhile."""

    @property
    def bus_addresses(self) -> tuple[int, ...]:
        """Where they are, page by page."""

    def views(self) -> list[memoryview] | None:
        """The pages, for reading only, at once; None when the machine has lost one, or they were released."""

    def release(self) -> None:
        """Let them go."""


class DisplayMemory(Protocol):
    """What a device's planes can show."""

    def hold(self, address: int, size: int) -> HeldPages:
        """Hold the pages behind whole pages of graphics memory.

        Raises: ForeignMemory where not all of it is the device's; TranslationFault where the GGTT leads nowhere.
        """

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        """The memory behind ``size`` bytes at graphics ``address``, in order; to be read, at once.

        Raises: ForeignMemory where not all of it is the device's; TranslationFault where the GGTT leads nowhere.
        """


@final
class DisplayFetch:
    """What one plane fetches: pages that lead nowhere are black, and remembered."""

    def __init__(self, memory: DisplayMemory) -> None:
        self._memory = memory
        self.hole: int | None = None
        """The first address that led nowhere."""

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        """As :meth:`DisplayMemory.spans`. Raises: ForeignMemory."""
        try:
            return self._memory.spans(address, size)
        except TranslationFault:
            return self._page_by_page(address, size)

    def _page_by_page(self, address: int, size: int) -> list[memoryview]:
        views: list[memoryview] = []
        end = address + size
        while address < end:
            length = min(end - address, PAGE_SIZE - (address & PAGE_MASK))
            try:
                views += self._memory.spans(address, length)
            except TranslationFault:
                if self.hole is None:
                    self.hole = address
                views.append(_BLACK_PAGE[:length])
            address += length
        return views
