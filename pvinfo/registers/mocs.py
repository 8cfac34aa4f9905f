"""Memory object control state: how a surface that a command names is cached (gen9).

A command carries an index; the engine's table says what that means for the last-level cache, and a table
common to all engines what it means for the L3 cache. The driver writes the tables at every resume.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import RegisterArray, RegisterBlock

__all__ = ("MOCS_BASES", "MOCS_ENTRIES", "L3CacheControl", "L3CacheMode", "L3Control", "Mocs", "MocsCache", "MocsControl", "MocsTarget")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"
TABLE_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_mocs.c"

MOCS_BASES: Final[dict[str, int]] = {"RCS0": 0xC800, "VCS0": 0xC900, "VCS1": 0xCA00, "VECS0": 0xCB00, "BCS0": 0xCC00}
"""First register of each engine's table in BAR0."""
MOCS_ENTRIES: Final = 64


class MocsCache(IntEnum):
    """How the last-level cache treats the surface."""

    PAGE_TABLE = 0
    """As the page-table entry says."""
    UNCACHED = 1
    WRITE_THROUGH = 2
    WRITE_BACK = 3


class MocsTarget(IntEnum):
    """Which cache takes the line."""

    PAGE_TABLE = 0
    LLC = 1
    LLC_AND_EDRAM = 2
    LLC_AND_EDRAM_ALTERNATIVE = 3


class MocsControl(Bits):
    """One entry of an engine's table."""

    cacheability = choice(0, 2, MocsCache, "how the last-level cache treats the surface", source=TABLE_SOURCE)
    target = choice(2, 2, MocsTarget, "which cache takes the line", source=TABLE_SOURCE)
    lru_management = uint(4, 2, "replacement age: 3 is kept longest", source=TABLE_SOURCE)
    allocate_on_miss_disable = flag(6, "a miss takes no line", source=TABLE_SOURCE)
    reverse_skip_caching = flag(7, "invert the meaning of skip_caching", source=TABLE_SOURCE)
    skip_caching = uint(8, 3, "address bits that exempt from caching", source=TABLE_SOURCE)
    page_faulting = uint(11, 3, "page faulting mode", source=TABLE_SOURCE)
    snoop = flag(14, "look into the processor's caches", source=TABLE_SOURCE)
    class_of_service = uint(15, 2, "class of service", source=TABLE_SOURCE)
    self_snoop = uint(17, 2, "self snoop", source=TABLE_SOURCE)


class Mocs(RegisterBlock, bases=MOCS_BASES, source=SOURCE):
    """One engine's table."""

    entry = RegisterArray(0x0, MOCS_ENTRIES, MocsControl, "caching of index n in the last-level cache", kernel_name="GEN9_GFX_MOCS")


class L3CacheMode(IntEnum):
    """How the L3 cache treats the surface."""

    DIRECT = 0
    UNCACHED = 1
    RESERVED = 2
    WRITE_BACK = 3


class L3Control(Bits):
    """Two entries of the L3 table: indices 2n and 2n + 1."""

    even_skip_caching_enable = flag(0, "even index: even_skip_caching is meant", source=TABLE_SOURCE)
    even_skip_caching = uint(1, 3, "even index: address bits that exempt from caching", source=TABLE_SOURCE)
    even_cacheability = choice(4, 2, L3CacheMode, "even index: how the L3 cache treats the surface", source=TABLE_SOURCE)
    odd_skip_caching_enable = flag(16, "odd index: odd_skip_caching is meant", source=TABLE_SOURCE)
    odd_skip_caching = uint(17, 3, "odd index: address bits that exempt from caching", source=TABLE_SOURCE)
    odd_cacheability = choice(20, 2, L3CacheMode, "odd index: how the L3 cache treats the surface", source=TABLE_SOURCE)


class L3CacheControl(RegisterBlock, source=SOURCE):
    """The table common to all engines."""

    entry = RegisterArray(0xB020, MOCS_ENTRIES // 2, L3Control, "caching of indices 2n and 2n + 1 in the L3 cache", kernel_name="GEN9_LNCFCMOCS")
