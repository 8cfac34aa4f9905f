"""Sizes, times and address spaces, so that one kind of number is never taken for another."""

from __future__ import annotations

from typing import Final, NewType

__all__ = (
    "GIB",
    "KIB",
    "MIB",
    "PAGE_MASK",
    "PAGE_SHIFT",
    "PAGE_SIZE",
    "BusAddress",
    "GraphicsAddress",
    "GuestAddress",
    "format_range",
    "format_size",
    "format_time",
)

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
PAGE_MASK: Final = PAGE_SIZE - 1

GuestAddress = NewType("GuestAddress", int)
"""A byte address in a virtual machine's memory (guest-physical)."""

GraphicsAddress = NewType("GraphicsAddress", int)
"""A byte address that the GPU translates through the global graphics translation table (GGTT)."""

BusAddress = NewType("BusAddress", int)
"""A byte address as the GPU puts it on the bus: host-physical, or IOVA behind an IOMMU (DMA)."""


def format_size(size: int) -> str:
    """``size`` bytes in the largest binary unit that keeps it whole: 64 MiB, 12 KiB, 7 bytes."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def format_time(time_ns: int, digits: int = 6) -> str:
    """``time_ns`` nanoseconds in the largest unit of which it is one at least, with so many digits: 1.5 s, 20 ms, 0."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if time_ns >= size:
            return f"{time_ns / size:.{digits}g} {unit}"
    return f"{time_ns} ns" if time_ns else "0"


def format_range(start: int, end: int) -> str:
    """The half-open range ``[start, end)`` with its size, as logs and errors show it."""
    return f"[{start:#x}, {end:#x}) ({format_size(end - start)})"
