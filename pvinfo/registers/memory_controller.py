"""A view into the memory controller's own registers, for what the display must know of memory."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = ("BroadwellLatency", "DimmWidth", "Dimms", "DramType", "EdramCapability", "InterChannel", "MemoryController", "MemoryData", "StolenReserved")

SOURCE: Final = "linux:drivers/gpu/drm/i915/intel_mchbar_regs.h"
I915_SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class EdramCapability(Bits):
    """The extra cache in the package, where there is one."""

    enabled = flag(0, "it is there and in use", source=I915_SOURCE)
    banks = uint(1, 4, "number of its banks", source=I915_SOURCE)
    ways = uint(5, 3, "code of its associativity", source=I915_SOURCE)
    sets = uint(8, 2, "code of its number of sets", source=I915_SOURCE)


class DramType(IntEnum):
    """Kind of memory."""

    DDR4 = 0
    DDR3 = 1
    LPDDR3 = 2
    LPDDR4 = 3


class InterChannel(Bits):
    """How memory channels work together (gen9)."""

    ddr_type = choice(0, 2, DramType, "kind of memory")


class DimmWidth(IntEnum):
    """Width of a module's chips."""

    X8 = 0
    X16 = 1
    X32 = 2


class Dimms(Bits):
    """The two modules of a channel (gen9). All 0: no memory on the channel, so that the driver assumes the worst."""

    large_size = uint(0, 6, "size of the first module", unit="GiB")
    large_width = choice(8, 2, DimmWidth, "width of its chips")
    large_ranks = uint(10, 1, "its ranks, minus one")
    small_size = uint(16, 6, "size of the second module", unit="GiB")
    small_width = choice(24, 2, DimmWidth, "width of its chips")
    small_ranks = uint(26, 1, "its ranks, minus one")


class BroadwellLatency(Bits):
    """How long memory may take to answer, per power state (gen8), lower half; the upper half continues."""

    old_level0 = uint(0, 4, "level 0, older place", unit="0.1 us")
    level1 = uint(4, 8, "level 1", unit="0.5 us")
    level2 = uint(12, 8, "level 2", unit="0.5 us")
    level3 = uint(20, 9, "level 3", unit="0.5 us")


class MemoryData(Bits):
    """Settings that firmware has made."""

    frequency_ratio = uint(0, 4, "memory clock, from which the driver derives the lowest ring frequency", unit="800/3 MHz", source="linux:drivers/gpu/drm/i915/gt/intel_llc.c")


class StolenReserved(Bits):
    """The top of stolen memory that hardware keeps for saving itself in sleep."""

    enabled = flag(0, "some is kept", source=I915_SOURCE)
    base = uint(20, 12, "bus address from which it is kept", unit="MiB", source=I915_SOURCE)


class MemoryController(RegisterBlock, source=SOURCE):
    """The memory controller, as far as the driver looks. The whole window 0x140000 to 0x17ffff is plain storage in a vGPU."""

    stolen_reserved = Register(
        0x1082C0, StolenReserved,
        "what of stolen memory hardware keeps; enabled 0: none. A vGPU of gen8 does not track it, having no stolen memory",
        Access.READ_ONLY, kernel_name="GEN6_STOLEN_RESERVED", source=I915_SOURCE,
    )  # fmt: skip
    edram_cap = Register(
        0x120010, EdramCapability,
        "the extra cache in the package; enabled 0: none",
        Access.READ_ONLY, kernel_name="HSW_EDRAM_CAP", source=I915_SOURCE,
    )  # fmt: skip
    inter_channel = Register(
        0x145000, InterChannel,
        "how memory channels work together",
        Access.READ_ONLY, kernel_name="SKL_MAD_INTER_CHANNEL_0_0_0_MCHBAR_MCMAIN",
    )  # fmt: skip
    dimm_channel = RegisterArray(
        0x14500C, 2, Dimms,
        "modules of channels 0 and 1",
        Access.READ_ONLY, kernel_name="SKL_MAD_DIMM_CH0_0_0_0_MCHBAR_MCMAIN",
    )  # fmt: skip
    sskpd = Register(
        0x145D10, BroadwellLatency,
        "latencies of memory, lower half (gen8); all 0: the driver knows none and complains",
        Access.READ_ONLY, kernel_name="MCH_SSKPD",
    )  # fmt: skip
    sskpd_udw = Register(
        0x145D14, int,
        "latencies of memory, upper half (gen8): level 4 in bits 8:0, level 0 in bits 31:24",
        Access.READ_ONLY, kernel_name="MCH_SSKPD",
    )  # fmt: skip
    bios_data = Register(0x145E04, MemoryData, "settings that firmware has made", Access.READ_ONLY, kernel_name="SKL_MC_BIOS_DATA_0_0_0_MCHBAR_PCU")
