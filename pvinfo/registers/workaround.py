"""Registers of work-arounds: single bits that change how a unit behaves, most of them without further meaning.

The driver sets them at every resume, reads back those outside the context image and complains when one was
lost; so a vGPU must keep what is written. The masked ones are part of the context image and are set from the
ring when a context is first used.
"""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag, uint
from ..register import Access, Register, RegisterBlock

__all__ = (
    "CacheWorkarounds",
    "ClockGateWorkarounds",
    "CommonSliceChicken2",
    "ContextPreemption",
    "DopClockGate",
    "FixedFunctionWorkarounds",
    "GatingControl1",
    "GatingControl4",
    "GatingControl6",
    "HalfSliceChicken7",
    "HdcChicken0",
    "L3QueueControl1",
    "L3QueueControl4",
    "L3Scratch1",
    "LlcReadControl",
    "MemoryBusControl",
    "MemoryWorkarounds",
    "MulticastSelector",
    "SliceWorkarounds",
    "SubsliceWorkarounds",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"
I915_SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/intel_gvt_mmio_table.c"


class MulticastSelector(Bits):
    """Which slice and subslice answers a read of a register that every one of them has."""

    subslice = uint(24, 2, "subslice that answers; must be one the part has")
    slice = uint(26, 2, "slice that answers; must be one the part has")


class ContextPreemption(Bits):
    """How finely the render engine may be preempted; upper half enables the write of the lower."""

    object_level_3d = flag(0, "3D work between objects, not only between commands")
    thread_group_level_gpgpu = flag(1, "compute work between thread groups, not in the middle of threads")
    command_level_gpgpu = flag(2, "compute work between commands")


class FixedFunctionWorkarounds(RegisterBlock, source=SOURCE):
    """The render engine's front end and fixed functions."""

    mcr_selector = Register(0xFDC, MulticastSelector, "which slice and subslice answers reads", kernel_name="GEN8_MCR_SELECTOR")
    pgtbl_er = Register(0x2024, int, "table errors of the first generations; the driver writes 0", kernel_name="PGTBL_ER", source=I915_SOURCE)
    ff_slice_chicken = Register(
        0x2088, int,
        "fixed functions of a slice; set by the batch that runs inside a context restore",
        Access.MASKED, kernel_name="FF_SLICE_CHICKEN",
    )  # fmt: skip
    chicken3_3d = Register(
        0x2090, int,
        "strips and fans; set by the batch that runs inside a context restore",
        Access.MASKED, kernel_name="_3D_CHICKEN3",
    )  # fmt: skip
    ff_thread_mode = Register(
        0x20A0, int,
        "how geometry threads are scheduled; gen8 clears bit 19",
        kernel_name="GEN7_FF_THREAD_MODE", source=I915_SOURCE,
    )  # fmt: skip
    cs_debug_20d8 = Register(0x20D8, int, "debug modes of the streamer", kernel_name="GEN12_CS_DEBUG_MODE2")
    reserved_20dc = Register(
        0x20DC, int,
        "a masked register of the front end that the kernel tracks without a name",
        Access.MASKED, source=GVT_SOURCE,
    )  # fmt: skip
    ff_slice_cs_chicken1 = Register(
        0x20E0, int,
        "bit 14: contexts decide on their own preemption (gen9); verified",
        Access.MASKED, kernel_name="GEN7_FF_SLICE_CS_CHICKEN1",
    )  # fmt: skip
    ff_slice_cs_chicken2 = Register(
        0x20E4, int,
        "bit 8: no acknowledge of barriers (gen9); bit 10: pooled execution units",
        Access.MASKED, kernel_name="FF_SLICE_CS_CHICKEN2",
    )  # fmt: skip
    cs_debug_mode1 = Register(0x20EC, int, "bit 1: keep the fixed functions' clock running (gen9)", Access.MASKED, kernel_name="GEN9_CS_DEBUG_MODE1")
    state_ack = Register(0x20F0, int, "acknowledge of state changes by the subslices, slice 0", kernel_name="GEN8_STATE_ACK")
    cache_mode_0 = Register(0x2120, int, "render caches, as before gen7", Access.MASKED, kernel_name="CACHE_MODE_0")
    reserved_2124 = Register(
        0x2124, int,
        "a masked register of the render caches that the kernel tracks without a name",
        Access.MASKED, source=GVT_SOURCE,
    )  # fmt: skip
    ctx_preempt = Register(0x2248, int, "preemption data of the context; batches may write it (gen9)", kernel_name="GEN9_CTX_PREEMPT_REG")
    reserved_2470 = Register(
        0x2470, int,
        "a masked register of the front end that the kernel tracks without a name",
        Access.MASKED, source=GVT_SOURCE,
    )  # fmt: skip
    cs_chicken1 = Register(
        0x2580, ContextPreemption,
        "how finely the engine may be preempted; batches may write it",
        Access.MASKED, kernel_name="GEN8_CS_CHICKEN1",
    )  # fmt: skip
    wm_chicken3 = Register(
        0x5588, int,
        "bit 9: the clear value takes part in hierarchical depth (gen9)",
        Access.MASKED, kernel_name="GEN9_WM_CHICKEN3",
    )  # fmt: skip
    vf_preemption = Register(0x83A4, int, "vertices between two points of preemption, in bits 15:0", kernel_name="VF_PREEMPTION")


class HdcChicken0(Bits):
    """The data port; upper half enables the write of the lower."""

    force_non_coherent = flag(4, "accesses are not coherent with the processor's caches")
    force_context_save_non_coherent = flag(5, "context save and restore are not coherent")
    barrier_performance_disable = flag(10, "slower barriers")
    no_fetch_when_masked = flag(11, "a fully masked access is not made")
    fence_shared_local_disable = flag(14, "fences do not wait for shared local memory")
    csr_non_coherent_override_disable = flag(15, "no exception for scratch accesses")


class CommonSliceChicken2(Bits):
    """Shared functions of a slice; upper half enables the write of the lower."""

    vue_cache_conservative = flag(0, "the vertex cache keeps entries longer")
    replay_optimization_disable = flag(8, "set-up does not replay from its buffer")
    gather_disable = flag(12, "no gather at shader change")
    compressed_hash = flag(13, "compressed pixels are hashed to other pipes")


class SliceWorkarounds(RegisterBlock, source=SOURCE):
    """Units of a slice: render caches and the common functions of its subslices."""

    cache_mode_0 = Register(
        0x7000, int,
        "bit 0: flush on render target operations; bit 2: no stall optimisation of depth reads",
        Access.MASKED, kernel_name="CACHE_MODE_0_GEN7",
    )  # fmt: skip
    cache_mode_1 = Register(
        0x7004, int,
        "bit 6: no 4x4 optimisation of stencil (gen8); bit 1: no partial resolve in the cache (gen9)",
        Access.MASKED, kernel_name="CACHE_MODE_1",
    )  # fmt: skip
    gt_mode = Register(0x7008, int, "how pixels are hashed to subslices: two bits per slice", Access.MASKED, kernel_name="GEN7_GT_MODE")
    common_slice_chicken1 = Register(
        0x7010, int,
        "bit 14: no optimisation of reads after writes; batches may write it",
        Access.MASKED, kernel_name="GEN7_COMMON_SLICE_CHICKEN1",
    )  # fmt: skip
    common_slice_chicken2 = Register(
        0x7014, CommonSliceChicken2,
        "shared functions of a slice; batches may write it",
        Access.MASKED, kernel_name="COMMON_SLICE_CHICKEN2",
    )  # fmt: skip
    hiz_chicken = Register(0x7018, int, "hierarchical depth", Access.MASKED, kernel_name="HIZ_CHICKEN")
    l3cntlreg = Register(0x7034, int, "division of the L3 cache between its users", kernel_name="GEN8_L3CNTLREG")
    sc_instdone = Register(
        0x7100, int,
        "which units of the slice are done; a unit that stays 0 is hung",
        Access.READ_ONLY, kernel_name="GEN7_SC_INSTDONE",
    )  # fmt: skip
    hdc_chicken0 = Register(0x7300, HdcChicken0, "the data port", Access.MASKED, kernel_name="HDC_CHICKEN0")
    hdc_chicken1 = Register(0x7304, int, "the data port; batches may write it", Access.MASKED, kernel_name="GEN8_HDC_CHICKEN1")


class HalfSliceChicken7(Bits):
    """Samplers; upper half enables the write of the lower."""

    gpgpu_preemption = flag(2, "compute work may be preempted")
    yv12_bugfix = flag(4, "planar video formats are addressed correctly")
    compressed_read_hash = flag(8, "compressed surfaces are read in another order")


class SubsliceWorkarounds(RegisterBlock, source=SOURCE):
    """Units of a subslice: samplers and execution units."""

    half_slice_chicken1 = Register(0xE100, int, "thread dispatch; batches may write it", Access.MASKED, kernel_name="GEN8_HALF_SLICE_CHICKEN1")
    sampler_instdone = Register(
        0xE160, int,
        "which parts of the sampler are done, for hang reports",
        Access.READ_ONLY, kernel_name="GEN8_SAMPLER_INSTDONE",
    )  # fmt: skip
    row_instdone = Register(
        0xE164, int,
        "which rows of execution units are done, for hang reports",
        Access.READ_ONLY, kernel_name="GEN8_ROW_INSTDONE",
    )  # fmt: skip
    half_slice_chicken2 = Register(
        0xE180, int,
        "bit 13: no optimisation of the push-out of stencil",
        Access.MASKED, kernel_name="HALF_SLICE_CHICKEN2",
    )  # fmt: skip
    half_slice_chicken3 = Register(
        0xE184, int,
        "bit 1: the sampler keeps its power; bit 5: out-of-bounds accesses are made; bit 8: no centroid optimisation",
        Access.MASKED, kernel_name="GEN8_HALF_SLICE_CHICKEN3",
    )  # fmt: skip
    half_slice_chicken5 = Register(
        0xE188, int,
        "bit 3: address translations are fetched ahead; bit 5: mirrored images are repaired (gen9)",
        Access.MASKED, kernel_name="GEN9_HALF_SLICE_CHICKEN5",
    )  # fmt: skip
    half_slice_chicken7 = Register(0xE194, HalfSliceChicken7, "samplers (gen9)", Access.MASKED, kernel_name="GEN9_HALF_SLICE_CHICKEN7")
    row_chicken = Register(
        0xE4F0, int,
        "bit 8: no partial shoot-down of instructions; bit 15: flow control",
        Access.MASKED, kernel_name="GEN8_ROW_CHICKEN",
    )  # fmt: skip
    row_chicken2 = Register(0xE4F4, int, "bit 0: the execution units' clock keeps running", Access.MASKED, kernel_name="GEN8_ROW_CHICKEN2")


class L3QueueControl1(Bits):
    """Credits of the L3 cache's queue (gen8)."""

    high_priority_credits = uint(14, 5, "credits for urgent requests, halved")
    general_priority_credits = uint(19, 5, "credits for other requests, halved")


class L3QueueControl4(Bits):
    """The L3 cache's queue."""

    flush_coherent_lines = flag(21, "write back coherent lines at a flush; the batch inside a context restore needs it")
    nonia_coherent_atomics = flag(22, "atomics on memory the processor does not share are kept coherent; the driver clears it")
    read_only_disable = flag(27, "no fast path for read-only requests")


class L3Scratch1(Bits):
    """Eviction from the L3 cache (gen9)."""

    retry_timer_decrement = flag(2, "retries come sooner")
    eviction_fix = flag(8, "a repair of eviction that the driver switches off")


class CacheWorkarounds(RegisterBlock, source=SOURCE):
    """The L3 cache and its ways to memory."""

    garbcntl = Register(0xB004, int, "bit 7: no credits for the geometry path (gen9); verified", kernel_name="GEN8_GARBCNTL")
    scratch_lncf1 = Register(0xB008, int, "bit 0: coherent atomics, which the driver clears (gen9); verified", kernel_name="GEN9_SCRATCH_LNCF1")
    l3sqcreg1 = Register(
        0xB100, L3QueueControl1,
        "credits of the queue; changed with the clock gate of misccpctl off (gen8)",
        kernel_name="GEN8_L3SQCREG1",
    )  # fmt: skip
    l3sqcreg4 = Register(0xB118, L3QueueControl4, "the queue; verified, and batches may write it", kernel_name="GEN8_L3SQCREG4")
    scratch1 = Register(0xB11C, L3Scratch1, "eviction (gen9); verified", kernel_name="GEN9_SCRATCH1")


class MemoryBusControl(Bits):
    """How the memory bus unit starts up."""

    boot_fetch_mechanism = flag(0, "how boot data is fetched")
    mae_update = flag(1, "the memory enable of the configuration space is followed")
    bme_update = flag(2, "the bus master enable of the configuration space is followed")
    context_fetch_needed = flag(3, "fetch the context at start-up")
    boot_fetch = flag(4, "fetch boot data; the mediator keeps it 0")


class LlcReadControl(Bits):
    """Reads of frame buffer compression from the last-level cache."""

    fully_open = flag(30, "all of the cache may serve them (gen9)")


class MemoryWorkarounds(RegisterBlock, source=SOURCE):
    """Ways to memory and the last-level cache."""

    gamt_eco = Register(0x4AB0, int, "bit 18: decompression in place; verified", kernel_name="GEN9_GAMT_ECO_REG_RW_IA")
    gamt_chicken = Register(0x4AB8, int, "bit 28: no dynamic sharing of credits (early Kaby Lake); verified", kernel_name="GAMT_CHKN_BIT_REG")
    l3_lra_1_gpgpu = Register(
        0x4DD4, int,
        "share of the replacement ages of the L3 cache that compute work gets; a fixed value per platform",
        kernel_name="GEN8_L3_LRA_1_GPGPU",
    )  # fmt: skip
    mmcd_misc_ctrl = Register(0x4DDC, int, "bits 31 and 27: media compression (gen9); verified", kernel_name="MMCD_MISC_CTRL")
    idicr = Register(0x9008, int, "how requests to the last-level cache are hashed", kernel_name="HSW_IDICR")
    mbcunit_snpcr = Register(
        0x900C, int,
        "how much of the last-level cache the GPU may use, in bits 22:21: 0 all of it",
        kernel_name="GEN6_MBCUNIT_SNPCR",
    )  # fmt: skip
    sq_chicken_mbcunit = Register(0x9030, int, "queue of the memory bus unit", kernel_name="GEN7_SQ_CHICKEN_MBCUNIT_CONFIG")
    fbc_llc_read_ctrl = Register(0x9044, LlcReadControl, "reads of frame buffer compression", kernel_name="FBC_LLC_READ_CTRL")
    mbctl = Register(0x907C, MemoryBusControl, "how the memory bus unit starts up", emulated=True, kernel_name="GEN6_MBCTL")


class GatingControl1(Bits):
    """Clocks that keep running, first register."""

    blitter = flag(5, "write-back unit of the copy engine")
    streamer = flag(7, "command streamer")
    execution_units = flag(16, "texture path of the execution units")
    memory = flag(22, "memory access unit")


class GatingControl4(Bits):
    """Clocks that keep running, fourth register."""

    eu_gather = flag(14, "gather unit of the execution units (gen9); verified")
    l3_bank = flag(25, "banks of the L3 cache")


class GatingControl6(Bits):
    """Clocks that keep running, sixth register."""

    state_engine = flag(14, "state engine")
    gap_arbiter = flag(24, "arbiter between the slices")
    data_port_request = flag(28, "request side of the data port")


class DopClockGate(Bits):
    """Coarse clock gates; these bits enable gating."""

    render = flag(0, "fixed functions; off while some registers change")
    clock_free = flag(2, "free-running part")
    guc = flag(4, "micro-controller")
    media = flag(6, "media engines")


class ClockGateWorkarounds(RegisterBlock, source=SOURCE):
    """Clock gates of the GT. A set bit keeps a clock running where a unit must not lose it."""

    ucgctl1 = Register(0x9400, GatingControl1, "clocks that keep running, first register", kernel_name="GEN6_UCGCTL1")
    ucgctl2 = Register(0x9404, int, "clocks that keep running, second register", kernel_name="GEN6_UCGCTL2")
    ucgctl3 = Register(0x9408, int, "clocks that keep running, third register", kernel_name="GEN6_UCGCTL3")
    ucgctl4 = Register(0x940C, GatingControl4, "clocks that keep running, fourth register", kernel_name="GEN7_UCGCTL4")
    misccpctl = Register(0x9424, DopClockGate, "coarse clock gates", kernel_name="GEN7_MISCCPCTL")
    ucgctl6 = Register(0x9430, GatingControl6, "clocks that keep running, sixth register", kernel_name="GEN8_UCGCTL6")
