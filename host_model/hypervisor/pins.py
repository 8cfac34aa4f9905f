"""Pinned pages, each with how often it is: what an IOMMU's driver keeps so that a page used twice is let go once."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("add_pins", "remove_pins")

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
