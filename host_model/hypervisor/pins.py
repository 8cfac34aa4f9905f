"""Pinned pages, each with how often it is: what an IOMMU's driver keeps so that a page used twice is let go once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from pvinfo.units import PAGE_MASK, BusAddress, GuestAddress

from .base import NO_PAGE

__all__ = ("PinnedByBus", "add_pins", "remove_pins")

# A plain dict: its subclass for counting is slower to count down in than this is to count up in.


def add_pins(pins: dict[int, int], pages: Iterable[int]) -> None:
    """One pin more for each of ``pages``, as often as it is named."""
    known = pins.get
    for page in pages:
        pins[page] = known(page, 0) + 1


def remove_pins(pins: dict[int, int], pages: Iterable[int]) -> bool:
    """One pin fewer for each of ``pages``, as often as it is named; whether some page has none left. Unknown pages are passed over."""
    known = pins.get
    gone = False
    for page in pages:
        left = known(page, 1) - 1
        if left:
            pins[page] = left
        else:
            pins.pop(page, None)
            gone = True
    return gone


class PinnedByBus(ABC):
    """The part of a port that pins pages, where a pin is known by the page's address on the GPU's bus."""

    def __init__(self) -> None:
        self._pins: dict[int, int] = {}

    @abstractmethod
    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        """See :class:`~.base.HypervisorPort`."""

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        return [self.map_guest_page(GuestAddress(address)) or NO_PAGE for address in addresses]

    def unmap_guest_page(self, address: BusAddress) -> None:
        self.unmap_guest_pages((address,))

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        remove_pins(self._pins, addresses)

    @property
    def mapped_pages(self) -> int:
        return len(self._pins)

    def pins(self, address: BusAddress) -> int:
        return self._pins.get(address & ~PAGE_MASK, 0)
