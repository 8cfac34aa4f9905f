"""One shadow table, what kinds there are, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from pvinfo.finding import FindingLog
from pvinfo.platform import Platform
from pvinfo.units import PAGE_SIZE

from ...device.mmio.registers import RegisterPage
from ...hypervisor.base import HypervisorPort
from .pool import ShadowPage

__all__ = ("DIRECTORY", "GUEST_LEVELS", "LARGE_PAGE_TABLE", "PAGE_TABLE", "SPLIT_PAGE", "ShadowTable", "ShadowedVgpu")

PAGE_TABLE: Final = 0
"""Kinds of tables: those of the guest's by level, and two of level 0 besides."""
DIRECTORY: Final = 1
GUEST_LEVELS: Final = 4
LARGE_PAGE_TABLE: Final = 4
"""Of level 0, with 64 KiB pages."""
SPLIT_PAGE: Final = 5
"""Of level 0, standing for one entry of 2 MiB."""


class ShadowedVgpu(Protocol):
    """What shadow tables need of the vGPU they are for."""

    @property
    def number(self) -> int:
        """Which one it is."""

    @property
    def platform(self) -> Platform:
        """Which GPU it is."""

    @property
    def registers(self) -> RegisterPage:
        """Its virtual registers."""

    @property
    def port(self) -> HypervisorPort:
        """The way to its guest's memory."""

    @property
    def findings(self) -> FindingLog:
        """Where remarks go."""


@final
class ShadowTable:
    """One page that the GPU walks."""

    __slots__ = ("address", "changed", "children", "emptied", "entries", "kind", "large_pages", "level", "page", "references", "seen", "seen_entries", "source")

    def __init__(self, kind: int, source: int, page: ShadowPage) -> None:
        self.kind = kind
        self.level = kind if kind < GUEST_LEVELS else 0
        self.source = source
        """Address of the guest's page; of a split entry the entry."""
        self.page = page
        self.address = page.address
        self.entries = page.entries
        self.seen = bytearray(PAGE_SIZE if kind != SPLIT_PAGE else 0)
        """The guest's page as it was when the entries were made, but 0 where one could not be."""
        self.seen_entries = memoryview(self.seen).cast("Q")
        self.references = 0
        """Entries of other tables that lead here, and address spaces that begin here."""
        self.children: dict[ShadowTable, int] = {}
        """Tables that entries lead to, with how many do."""
        self.emptied = False
        """There are entries that show scratch."""
        self.large_pages = False
        """64 KiB pages were allowed when the entries were made."""
        self.changed: Callable[[], None] | None = None
        """What the port calls when the guest writes its page."""
