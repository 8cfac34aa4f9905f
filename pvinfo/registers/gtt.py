"""Address translation: flushes, faults, and the attributes that table entries can ask for."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "AddressWidthControl",
    "EccCheck",
    "FaultAddress",
    "FaultTlbData1",
    "FaultType",
    "FlushControl",
    "GttRegisters",
    "PatCache",
    "PatTarget",
    "PrivatePat",
    "RingFault",
    "TileControl",
    "TiledResourceEnable",
    "TlbInvalidate",
    "TlbInvalidation",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"
GTT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gtt.h"


class FlushControl(Bits):
    """Ordering of table writes before what follows."""

    enable = flag(0, "drop the GGTT's cached translations, so that entries written before are used from now on")


class PatCache(IntEnum):
    """How the processor's memory attributes apply."""

    UNCACHED = 0
    WRITE_COMBINING = 1
    WRITE_THROUGH = 2
    WRITE_BACK = 3


class PatTarget(IntEnum):
    """Which cache holds the line."""

    EDRAM_OR_PTE = 0
    LLC = 1
    LLC_AND_EDRAM = 2
    LLC_AND_EDRAM_COHERENT = 3


class PrivatePat(Bits):
    """Four of the eight memory attributes, a byte each; an entry's PAT, PCD and PWT bits choose one of the eight."""

    cache0 = choice(0, 2, PatCache, "caching of the first", source=GTT_SOURCE)
    target0 = choice(2, 2, PatTarget, "cache of the first", source=GTT_SOURCE)
    age0 = uint(4, 2, "replacement age of the first, 3 is youngest", source=GTT_SOURCE)
    cache1 = choice(8, 2, PatCache, "caching of the second", source=GTT_SOURCE)
    target1 = choice(10, 2, PatTarget, "cache of the second", source=GTT_SOURCE)
    age1 = uint(12, 2, "replacement age of the second", source=GTT_SOURCE)
    cache2 = choice(16, 2, PatCache, "caching of the third", source=GTT_SOURCE)
    target2 = choice(18, 2, PatTarget, "cache of the third", source=GTT_SOURCE)
    age2 = uint(20, 2, "replacement age of the third", source=GTT_SOURCE)
    cache3 = choice(24, 2, PatCache, "caching of the fourth", source=GTT_SOURCE)
    target3 = choice(26, 2, PatTarget, "cache of the fourth", source=GTT_SOURCE)
    age3 = uint(28, 2, "replacement age of the fourth", source=GTT_SOURCE)


class AddressWidthControl(Bits):
    """How tables with large entries are walked."""

    enable_64k_ips = uint(0, 4, "15: a directory entry with the intermediate page size bit leads to 64 KiB pages; any value but 0 and 15 is refused")
    context_reload_disable = flag(7, "do not reload the context after a change")


class EccCheck(Bits):
    """Arbitration and caching of table walks."""

    ppgtt_cache = uint(3, 2, "caching of table entries: 1 uncached, 2 write through, 3 write back")
    arbitration_priority = flag(6, "start of line has priority in arbitration")
    disable_tlb = flag(8, "a gen9 work-around that the driver sets and verifies")
    snb_bit = flag(10, "compatibility with gen6")
    disable_hdc_invalidation = flag(25, "the data port is not invalidated with the translations; a gen9 work-around that the driver sets and verifies")


class FaultType(IntEnum):
    """What was wrong with the address."""

    INVALID_PTE = 0
    INVALID_PDE = 1
    INVALID_PDPE = 2
    INVALID_PML4E = 3


class RingFault(Bits):
    """The oldest access that had no translation."""

    valid = flag(0, "there was a fault; the driver clears it, and at the next look it must read 0")
    fault_type = choice(1, 2, FaultType, "level of the table that had no valid entry", source="prm:skl:vol2c")
    source_id = uint(3, 8, "unit that made the access")
    ggtt = flag(11, "the access went through the GGTT, not through a per-process table")
    engine = uint(12, 3, "engine that made the access: 0 render, 1 video, 2 copy, 3 video enhancement, 4 second video")


class FaultTlbData1(Bits):
    """High part of the faulting address."""

    address_high = uint(0, 4, "address bits 47:44")
    ggtt = flag(4, "the address is a graphics address")


class FaultAddress(Bits):
    """Low part of the faulting address."""

    address_low = uint(0, 32, "address bits 43:12", unit="4 KiB pages")


class TiledResourceEnable(Bits):
    """Translation for sparse resources (gen9)."""

    enable = flag(0, "use the sparse resource table", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")
    virtual_addressing = flag(1, "the table's address is a virtual one; the only mode a vGPU may enable", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")


class TileControl(Bits):
    """How the aperture treats tiles."""

    swizzle = flag(0, "swizzle tiles; never on gen8 and later", source="linux:drivers/gpu/drm/i915/i915_reg.h")
    prefetch = flag(1, "translations are fetched ahead", source="linux:drivers/gpu/drm/i915/i915_reg.h")
    prefetch_disable = flag(2, "translations are not fetched ahead", source="linux:drivers/gpu/drm/i915/i915_reg.h")
    backsnoop_disable = flag(3, "the processor's caches are not looked into again", source="linux:drivers/gpu/drm/i915/i915_reg.h")


class GttRegisters(RegisterBlock, source=SOURCE):
    """Translation tables as a whole."""

    gtt_cache_en = Register(
        0x4024, int,
        "which large-page translations are cached; all ones on gen8",
        kernel_name="HSW_GTT_CACHE_EN", source="linux:drivers/gpu/drm/i915/i915_reg.h",
    )  # fmt: skip
    arb_mode = Register(
        0x4030, int,
        "arbitration of memory accesses",
        Access.MASKED, kernel_name="ARB_MODE", source="linux:drivers/gpu/drm/i915/i915_reg.h",
    )  # fmt: skip
    gamw_eco_dev_rw_ia = Register(
        0x4080, AddressWidthControl,
        "64 KiB pages inside directories",
        emulated=True, kernel_name="GEN8_GAMW_ECO_DEV_RW_IA",
    )  # fmt: skip
    gam_ecochk = Register(0x4090, EccCheck, "arbitration and caching of table walks", kernel_name="GAM_ECOCHK")
    ring_fault = Register(0x4094, RingFault, "the oldest access that had no translation", kernel_name="GEN8_RING_FAULT_REG")
    error = Register(0x40A0, int, "errors of the memory interface, for hang reports", kernel_name="ERROR_GEN6")
    done = Register(0x40B0, int, "which memory clients are idle, for hang reports", Access.READ_ONLY, kernel_name="DONE_REG")
    private_pat_lo = Register(0x40E0, PrivatePat, "memory attributes 0 to 3; written once at load", emulated=True, kernel_name="GEN8_PRIVATE_PAT_LO")
    private_pat_hi = Register(0x40E4, PrivatePat, "memory attributes 4 to 7; written once at load", kernel_name="GEN8_PRIVATE_PAT_HI")
    gamt_arb_mode = Register(0x4A08, int, "arbitration of texture accesses", kernel_name="GAMTARBMODE")
    fault_tlb_data0 = Register(0x4B10, FaultAddress, "faulting address, low part", Access.READ_ONLY, kernel_name="GEN8_FAULT_TLB_DATA0")
    fault_tlb_data1 = Register(0x4B14, FaultTlbData1, "faulting address, high part", Access.READ_ONLY, kernel_name="GEN8_FAULT_TLB_DATA1")
    trva_l3_pointer = RegisterArray(
        0x4DE0, 4, int,
        "root of the sparse resource table and the values of its absent and zero entries (gen9)",
        kernel_name="TRVATTL3PTRDW", source="linux:drivers/gpu/drm/i915/gvt/reg.h",
    )  # fmt: skip
    trvadr = Register(
        0x4DF0, int,
        "which virtual addresses are sparse resources (gen9)",
        kernel_name="TRVADR", source="linux:drivers/gpu/drm/i915/gvt/reg.h",
    )  # fmt: skip
    trtte = Register(
        0x4DF4, TiledResourceEnable,
        "translation for sparse resources (gen9); restored when the host resumes",
        emulated=True, kernel_name="TRTTE",
    )  # fmt: skip
    trtt_chicken = Register(
        0x4DFC, int,
        "work-arounds of sparse resource translation (gen9); restored when the host resumes",
        source="linux:drivers/gpu/drm/i915/gvt/handlers.c",
    )  # fmt: skip
    tilectl = Register(0x101000, TileControl, "how the aperture treats tiles", kernel_name="TILECTL", source="linux:drivers/gpu/drm/i915/i915_reg.h")
    flush_control = Register(
        0x101008, FlushControl,
        "write 1 after changing GGTT entries, so that the change takes effect", Access.WRITE_ONLY, kernel_name="GFX_FLSH_CNTL_GEN6",
    )  # fmt: skip


class TlbInvalidate(Bits):
    """A request to drop translations."""

    request = flag(0, "drop the engine's cached translations; clears itself when that is done, within 4 ms", source="linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c")


class TlbInvalidation(RegisterBlock, source=SOURCE):
    """Per engine, drop its cached translations of per-process tables. The mediator acts at the next switch to the vGPU."""

    rcs0 = Register(0x4260, TlbInvalidate, "render engine", Access.SELF_CLEARING, emulated=True, kernel_name="GEN8_RTCR")
    vcs0 = Register(0x4264, TlbInvalidate, "first video engine", Access.SELF_CLEARING, emulated=True, kernel_name="GEN8_M1TCR")
    vcs1 = Register(0x4268, TlbInvalidate, "second video engine, where there is one", Access.SELF_CLEARING, emulated=True, kernel_name="GEN8_M2TCR")
    bcs0 = Register(0x426C, TlbInvalidate, "copy engine", Access.SELF_CLEARING, emulated=True, kernel_name="GEN8_BTCR")
    vecs0 = Register(0x4270, TlbInvalidate, "video enhancement engine", Access.SELF_CLEARING, emulated=True, kernel_name="GEN8_VTCR")
