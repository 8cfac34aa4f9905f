"""Per-process address spaces: 4-level page tables in guest memory, announced to the host.

No entry of a table is ever absent: what is not mapped leads to scratch tables and at last to a scratch page
that reads as zero and drops writes. All address spaces share those of the kernel's own, while there is one.

The host hears of a table when its root is complete, and again before its pages are freed: the root is written
to ``pdp``, then the notification. Everything between is plain writes to memory.
Source: linux:drivers/gpu/drm/i915/gt/gen8_ppgtt.c, linux:drivers/gpu/drm/i915/gt/intel_gtt.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.errors import DriverError
from pvinfo.gtt_entry import PAGE_SCRATCH, PPGTT_LEVELS, TABLE_SCRATCH, PageDirectoryEntry, PageTableEntry
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.units import KIB, PAGE_SIZE, BusAddress

from .memory import Buffer, GuestPages
from .uncore import Uncore

__all__ = ("Ppgtt", "ScratchTables")

_LARGE_SCRATCH: Final = 64 * KIB


@final
class ScratchTables:
    """The page and the tables that stand for everything unmapped, one for each level but the root's."""

    def __init__(self, pages: GuestPages, large_pages: bool) -> None:
        """``large_pages``: tables may hold 64 KiB pages, and then the scratch page has that size, too."""
        self._pages = pages
        size = _LARGE_SCRATCH if large_pages else PAGE_SIZE
        self.page = pages.allocate(size // PAGE_SIZE, "scratch page of the address spaces", alignment=size)
        self.tables: list[Buffer] = []
        """Page table, page directory, directory pointers: each entry of one leads to the one before."""
        entry = int(PageTableEntry.pointing_to(BusAddress(self.page.address))) | PAGE_SCRATCH
        for level in range(1, PPGTT_LEVELS):
            table = pages.allocate(1, f"scratch table of level {level}")
            table.fill_entries(entry)
            self.tables.append(table)
            entry = int(PageDirectoryEntry.pointing_to(BusAddress(table.address))) | TABLE_SCRATCH
        self.root_entry = entry
        """What a root is filled with."""
        self.users = 0
        """Address spaces that lead here."""

    def get(self) -> ScratchTables:
        """One more address space leads here."""
        self.users += 1
        return self

    def put(self) -> None:
        """One fewer; the last one frees the tables."""
        self.users -= 1
        if not self.users:
            for table in reversed(self.tables):
                self._pages.release(table)
            self._pages.release(self.page)


@final
class Ppgtt:
    """One address space. It is announced as soon as it exists."""

    def __init__(self, uncore: Uncore, pages: GuestPages, scratch: ScratchTables, owner: str, *, announce: bool) -> None:
        """``announce``: there is a host to tell (``gen8_ppgtt_create``)."""
        self._uncore = uncore
        self._pages = pages
        self._announce = announce
        self.owner = owner
        """Whose address space it is, in words."""
        self.scratch = scratch.get()
        self.root = pages.allocate(1, f"page table root of {owner}")
        self.root.fill_entries(scratch.root_entry)
        self.alive = True
        self._notify(Notification.PPGTT_L4_PAGE_TABLE_CREATE)

    def _notify(self, notification: Notification) -> None:
        if not self._announce:
            return
        root = self.root.address
        self._uncore.write(PvInfo.pdp0_lo, root & 0xFFFF_FFFF)
        self._uncore.write(PvInfo.pdp0_hi, root >> 32)
        self._uncore.write(PvInfo.g2v_notify, notification)

    def release(self) -> None:
        """Tell the host, then free the tables (``gen8_ppgtt_cleanup``). Raises: DriverError the second time."""
        if not self.alive:
            raise DriverError(f"the address space of {self.owner} is released already")
        self.alive = False
        self._notify(Notification.PPGTT_L4_PAGE_TABLE_DESTROY)
        self._pages.release(self.root)
        self.scratch.put()
