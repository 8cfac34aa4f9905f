"""Entries of the translation tables, as the GPU reads them: 64 bits each, 512 to a page.

The *global* table (GGTT) has one entry per page of graphics memory and lies in the upper half of BAR0. A
*per-process* table (PPGTT) has four levels, in memory: PML4, page directory pointers, page directory, page
table, of nine address bits each; with three levels it begins at the page directory pointers.

The classes name the bits; loops over whole tables use their masks as plain integers.
"""

from __future__ import annotations

from typing import Final, Self

from .bits import Bits, flag, uint
from .errors import UsageError
from .units import PAGE_MASK, PAGE_SHIFT, BusAddress

__all__ = (
    "DRIVER_ADDRESS_BITS",
    "ENTRIES_PER_TABLE",
    "ENTRY_SIZE",
    "FRAME_MASK_1G",
    "FRAME_MASK_2M",
    "FRAME_MASK_4K",
    "FRAME_MASK_64K",
    "GGTT_OFFSET",
    "PAGE_64K_ENTRIES",
    "PAGE_CACHED",
    "PAGE_DISPLAY",
    "PAGE_SCRATCH",
    "PAGE_UNCACHED",
    "PPGTT_LEVELS",
    "TABLE_CACHED",
    "TABLE_SCRATCH",
    "GgttEntry",
    "PageDirectoryEntry",
    "PageDirectoryPointerEntry",
    "PageMapLevel4Entry",
    "PageTableEntry",
    "canonical",
    "table_index",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gtt.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/gtt.c"

ENTRY_SIZE: Final = 8
ENTRIES_PER_TABLE: Final = 512
GGTT_OFFSET: Final = 0x800000
"""Byte offset in BAR0 of the first global entry. Source: linux:drivers/gpu/drm/i915/gt/intel_ggtt.c"""
DRIVER_ADDRESS_BITS: Final = 39
"""Width of the bus addresses a driver may use on gen8 and gen9, though entries have room for 46.
Source: linux:drivers/gpu/drm/i915/i915_pci.c"""
PPGTT_LEVELS: Final = 4
"""Levels of a table over the 48-bit address space; the lowest is number 0, the page table."""
PAGE_64K_ENTRIES: Final = 16
"""In a table of 64 KiB pages only every sixteenth entry is used."""


class _AddressedEntry(Bits):
    """An entry that points at something: bit 0 and the page number are common to all."""

    present = flag(0, "the entry is valid", source=SOURCE)
    frame = uint(12, 34, "bus address it points at, bits 45:12; a driver uses bits 38:12", unit="4 KiB pages", source=GVT_SOURCE)

    @property
    def address(self) -> BusAddress:
        """Bus address of the page or table it points at."""
        return BusAddress(int(self) & _AddressedEntry.frame.mask)

    @classmethod
    def pointing_to(cls, address: BusAddress, /, **fields: int) -> Self:
        """A present entry for the page at ``address``, with the named fields set.

        Raises: UsageError when the address is not that of a page, or too high for the entry;
        ValueError for a field that the entry does not have.
        """
        if address & PAGE_MASK or not 0 <= address <= cls.frame.mask:
            raise UsageError(f"{cls.__name__}: {address:#x} is not a page address below {cls.frame.mask + PAGE_MASK + 1:#x}")
        return cls.of(present=1, frame=address >> PAGE_SHIFT, **fields)


class GgttEntry(_AddressedEntry):
    """One page of graphics memory. Gen8 and gen9 keep no cache attributes here: the driver writes address and present."""


class _TableEntry(_AddressedEntry):
    """What per-process entries of every level have."""

    writable = flag(1, "the GPU may write; tables of levels that hold tables have it set", source=SOURCE)
    write_through = flag(3, "PWT, lowest bit of the memory attribute's number", source=SOURCE)
    cache_disable = flag(4, "PCD, middle bit of the memory attribute's number", source=SOURCE)


class PageMapLevel4Entry(_TableEntry):
    """512 GiB of the address space: points at a page of directory pointers."""


class PageDirectoryPointerEntry(_TableEntry):
    """1 GiB of the address space: points at a page directory."""

    page_size = flag(7, "points at a page of 1 GiB instead; no driver of gen8 or gen9 makes one", source=GVT_SOURCE)


class PageDirectoryEntry(_TableEntry):
    """2 MiB of the address space: points at a page table."""

    page_size = flag(7, "points at a page of 2 MiB instead; no driver of gen8 or gen9 makes one", source=SOURCE)
    intermediate_page_size = flag(11, "IPS: the table holds 64 KiB pages, one in every sixteenth entry; gen9, where the host has the HUGE_GTT capability", source=SOURCE)


class PageTableEntry(_TableEntry):
    """4 KiB of the address space, or 64 KiB where the directory entry says so."""

    dirty = flag(6, "the page was written", source=GVT_SOURCE)
    attribute = flag(7, "PAT, highest bit of the memory attribute's number", source=SOURCE)

    @property
    def attribute_index(self) -> int:
        """Number of the memory attribute (see the private PAT registers): PAT, PCD and PWT as three bits."""
        return self.attribute << 2 | self.cache_disable << 1 | int(self.write_through)


PAGE_CACHED: Final = PageTableEntry.of(present=1, writable=1, attribute=1)
"""Bits of an entry for ordinary memory, shared coherently with the processor; attribute 4."""
PAGE_DISPLAY: Final = PageTableEntry.of(present=1, writable=1, cache_disable=1)
"""Bits of an entry for memory that is scanned out; attribute 2."""
PAGE_UNCACHED: Final = PageTableEntry.of(present=1, writable=1, write_through=1, cache_disable=1)
"""Bits of an entry for memory that no cache may hold; attribute 3."""
PAGE_SCRATCH: Final = PageTableEntry.of(present=1, write_through=1, cache_disable=1)
"""Bits of the entry that stands for all unused ones: it reads as scratch and drops writes. No entry is ever absent."""
TABLE_CACHED: Final = PageDirectoryEntry.of(present=1, writable=1)
"""Bits of an entry of the upper levels that leads to a table; attribute 0."""
TABLE_SCRATCH: Final = PageDirectoryEntry.of(present=1, writable=1, write_through=1, cache_disable=1)
"""Bits of an entry of the upper levels that leads to a scratch table; attribute 3."""

FRAME_MASK_4K: Final = (1 << 46) - (1 << 12)
FRAME_MASK_64K: Final = (1 << 46) - (1 << 16)
FRAME_MASK_2M: Final = (1 << 46) - (1 << 21)
FRAME_MASK_1G: Final = (1 << 46) - (1 << 30)
"""The address bits of an entry, by the size of the page it points at."""


def table_index(address: int, level: int) -> int:
    """Which entry of a table of ``level`` (0 is the page table) translates virtual ``address``."""
    return address >> (PAGE_SHIFT + 9 * level) & (ENTRIES_PER_TABLE - 1)


def canonical(address: int) -> int:
    """A 48-bit virtual address with bit 47 extended to bit 63, as batch addresses carry it."""
    address &= (1 << 48) - 1
    return address | 0xFFFF << 48 if address >> 47 else address
