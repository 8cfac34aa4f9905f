"""The registers of a command streamer: ring, execution state, execlist submission.

Each engine has the same block at its own base. A GVT-g guest of this age submits through ``elsp`` only; the
ring registers proper are loaded by the hardware from the context image and are read for error reports.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "CONTEXT_STATUS_ENTRIES",
    "ENGINE_BASES",
    "NONPRIV_SLOTS",
    "BatchState",
    "ContextControl",
    "ContextStatus",
    "ContextStatusPointer",
    "EngineError",
    "EngineInterrupt",
    "EngineMode",
    "EngineRegisters",
    "ExeclistStatus",
    "ForceToNonpriv",
    "FrontEndChicken",
    "IndirectContext",
    "IndirectContextOffset",
    "MiMode",
    "NonprivAccess",
    "NonprivRange",
    "PerContextBatch",
    "PowerClockState",
    "PsmiControl",
    "ResetControl",
    "RingControl",
    "RingHead",
    "RingTail",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_engine_regs.h"
LRC_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_lrc_reg.h"
IRQ_SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
EXECLIST_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/execlist.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/handlers.c"

ENGINE_BASES: Final[dict[str, int]] = {"RCS0": 0x2000, "BCS0": 0x22000, "VCS0": 0x12000, "VECS0": 0x1A000}
"""First byte of each engine's block in BAR0."""

CONTEXT_STATUS_ENTRIES: Final = 6
"""Events in the context status buffer, of two dwords each."""
NONPRIV_SLOTS: Final = 12
"""Slots of the white list of registers that an unprivileged batch may write."""


class RingTail(Bits):
    """Where software stopped writing."""

    address = uint(3, 18, "offset of the next free quadword from the start of the ring", unit="quadwords")


class RingHead(Bits):
    """Where the streamer stopped fetching."""

    address = uint(2, 19, "offset of the next dword to fetch from the start of the ring", unit="dwords")
    wrap_count = uint(21, 11, "times the head has wrapped to the start of the ring")


class RingControl(Bits):
    """Ring enable and size."""

    enabled = flag(0, "the ring is enabled: the streamer fetches from head to tail")
    head_report = uint(1, 2, "automatic head reports to the status page: 0 none, 1 each 64 KiB, 2 each 128 KiB")
    wait_semaphore = flag(10, "the streamer is waiting on a semaphore")
    wait = flag(11, "the streamer is waiting for an event")
    length_pages = uint(12, 9, "length of the ring minus one page", unit="4 KiB pages")


class PsmiControl(Bits):
    """How the engine takes part in power management; upper half enables the write of the lower."""

    sleep_message_disable = flag(0, "send no sleep message when idle")
    bsd_sleep_flush_disable = flag(2, "do not flush before sleep")
    bsd_sleep_indicator = flag(3, "the engine is asleep")
    bsd_go_indicator = flag(4, "the engine may go on")
    ff_dop_clock_gate_disable = flag(10, "keep the fixed functions' clock running")
    semaphore_idle_message_disable = flag(12, "a semaphore wait is not reported as idleness")


class MiMode(Bits):
    """Stop and idle state of the streamer; upper half enables the write of the lower."""

    vs_timer_dispatch = flag(6, "dispatch vertex shader threads on a timer")
    stop_ring = flag(8, "stop after the current command; software sets it before a reset and clears it at resume")
    idle = flag(9, "the streamer has stopped or has nothing to do; polled after stop_ring for at most 1 ms, then 100 ms")
    flush_enable = flag(12, "MI_FLUSH is accepted")
    async_flip_perf_disable = flag(14, "asynchronous flips wait for the frame")


class EngineInterrupt(Bits):
    """The events of one engine: the 16 bits of a GT interrupt half, before they are shifted to it."""

    user = flag(0, "MI_USER_INTERRUPT was executed: a request may be complete", source=IRQ_SOURCE)
    render_debug = flag(1, "render debug event", source=IRQ_SOURCE)
    sync_status = flag(2, "MMIO sync flush status", source=IRQ_SOURCE)
    master_error = flag(3, "the streamer found an error, see eir", source=IRQ_SOURCE)
    flush_notify = flag(4, "PIPE_CONTROL or MI_FLUSH_DW asked to be told of its completion", source=IRQ_SOURCE)
    l3_parity_error = flag(5, "the L3 cache found a parity error", source=IRQ_SOURCE)
    context_switch = flag(8, "there is a new event in the context status buffer", source=IRQ_SOURCE)
    wait_semaphore = flag(11, "MI_SEMAPHORE_WAIT did not pass at once", source=IRQ_SOURCE)


class EngineError(Bits):
    """Why the streamer stopped."""

    instruction = flag(0, "an instruction the streamer does not know; the only error left unmasked by the driver", source=IRQ_SOURCE)
    memory_refresh = flag(1, "memory refresh error", source=IRQ_SOURCE)
    page_table = flag(4, "an address without a valid translation", source=IRQ_SOURCE)


class PowerClockState(Bits):
    """How many slices and execution units a context wants powered; kept in its image, RCS only."""

    eu_min = uint(0, 4, "fewest execution units per subslice")
    eu_max = uint(4, 4, "most execution units per subslice")
    subslice_count = uint(8, 3, "subslices per slice")
    subslice_count_enable = flag(11, "subslice_count is meant")
    slice_count = uint(15, 3, "slices")
    slice_count_enable = flag(18, "slice_count is meant")
    enable = flag(31, "the request as a whole is meant")


class ResetControl(Bits):
    """The handshake before an engine is reset through GDRST; upper half enables the write of the lower."""

    request = flag(0, "software wants to reset the engine")
    ready = flag(1, "the engine has quiesced and may be reset; polled for at most 700 us")
    catastrophic_error = flag(2, "the engine is lost until a full reset")


class FrontEndChicken(Bits):
    """Front end work-arounds of one engine, gen9; upper half enables the write of the lower."""

    preempt_gpgpu_sync_switch_disable = flag(2, "no synchronous switch while a GPGPU walker is preempted")
    unsupported_3 = flag(3, "no GVT-g host lets a guest set it: enabling it puts the vGPU in failsafe mode", source=GVT_SOURCE)
    unsupported_4 = flag(4, "no GVT-g host lets a guest set it: enabling it puts the vGPU in failsafe mode", source=GVT_SOURCE)


class BatchState(Bits):
    """State of the running batch buffer."""

    ppgtt = flag(5, "the batch is fetched through the per-process table, not through the GGTT")


class PerContextBatch(Bits):
    """The work-around batch that runs at the end of every context restore."""

    valid = flag(0, "there is such a batch")
    force = flag(2, "run it on a lite restore as well")
    address = uint(12, 20, "graphics address of the batch", unit="4 KiB pages")


class IndirectContext(Bits):
    """The work-around batch that runs in the middle of a context restore, RCS only."""

    length = uint(0, 6, "length of the batch; 0 means there is none", unit="64-byte lines", source="linux:drivers/gpu/drm/i915/gt/intel_lrc.c")
    address = uint(6, 26, "graphics address of the batch", unit="64-byte lines", source="linux:drivers/gpu/drm/i915/gt/intel_lrc.c")


class IndirectContextOffset(Bits):
    """Where in the restore the indirect batch runs."""

    offset = uint(6, 10, "after this much of the ring context; 0x17 on gen8, 0x26 on gen9", unit="64-byte lines", source=LRC_SOURCE)


class ExeclistStatus(Bits):
    """Low half of the execlist status: which of the two ports is at work. The high half is the context id."""

    current_pointer = flag(0, "the execlist slot that runs", source=EXECLIST_SOURCE)
    write_pointer = flag(1, "the execlist slot that the next submission goes to", source=EXECLIST_SOURCE)
    queue_full = flag(2, "both slots are taken", source=EXECLIST_SOURCE)
    slot1_valid = flag(3, "slot 1 holds a submission", source=EXECLIST_SOURCE)
    slot0_valid = flag(4, "slot 0 holds a submission", source=EXECLIST_SOURCE)
    last_switch_reason = uint(5, 9, "reason of the last context switch, coded as in ContextStatus", source=EXECLIST_SOURCE)
    active_element = uint(14, 2, "1: element 0 of the running execlist is active, 2: element 1", source=EXECLIST_SOURCE)
    arbitration_enabled = flag(16, "the running context may be preempted", source=EXECLIST_SOURCE)
    slot1_active = flag(17, "the running execlist stands in slot 1", source=EXECLIST_SOURCE)
    slot0_active = flag(18, "the running execlist stands in slot 0", source=EXECLIST_SOURCE)


class ContextStatus(Bits):
    """Low dword of a context status event; the high dword is the context id, as in the descriptor."""

    idle_to_active = flag(0, "an idle engine has taken a submission", source=EXECLIST_SOURCE)
    preempted = flag(1, "the running context gave way to a new submission", source=EXECLIST_SOURCE)
    element_switch = flag(2, "the engine went on to the second context of the submission", source=EXECLIST_SOURCE)
    active_to_idle = flag(3, "the engine has nothing left to do", source=EXECLIST_SOURCE)
    context_complete = flag(4, "the context's head has met its tail", source=EXECLIST_SOURCE)
    wait_on_sync_flip = flag(5, "switched away while waiting for a synchronous flip", source=EXECLIST_SOURCE)
    wait_on_vblank = flag(6, "switched away while waiting for a vertical blank", source=EXECLIST_SOURCE)
    wait_on_semaphore = flag(7, "switched away while waiting on a semaphore", source=EXECLIST_SOURCE)
    wait_on_scanline = flag(8, "switched away while waiting for a scan line", source=EXECLIST_SOURCE)
    semaphore_wait_mode = flag(11, "the semaphore was polled, and not waited for until signalled", source=EXECLIST_SOURCE)
    display_plane = uint(12, 3, "plane or pipe that the context waits for", source=EXECLIST_SOURCE)
    lite_restore = flag(15, "the new submission goes on with the running context: only its tail was read again", source=EXECLIST_SOURCE)


class ContextControl(Bits):
    """What a context restore and save leave out; upper half enables the write of the lower."""

    restore_inhibit = flag(0, "the image holds no engine state yet: load the ring registers and page tables only")
    rs_context_enable = flag(1, "the resource streamer's state is part of the image")
    save_inhibit = flag(2, "do not save engine state at the next switch")
    inhibit_sync_switch = flag(3, "no synchronous context switch")


class EngineMode(Bits):
    """How the streamer is driven; upper half enables the write of the lower. Reset by GDRST."""

    disable_legacy = flag(3, "only execlists (gen11)")
    forward_vblank = uint(5, 2, "forward display events to the streamer: 0 never, 1 always, 2 on condition")
    ppgtt_48_bit = flag(7, "per-process tables have four levels")
    ppgtt_enable = flag(9, "use per-process tables; a guest sets it only after it has read the PVINFO page")
    psmi_granularity = flag(10, "report idleness at a finer grain")
    replay_mode = flag(11, "replay mid-triangle instead of mid-command")
    surface_fault_enable = flag(12, "report faults of surface accesses")
    tlb_invalidate_explicit = flag(13, "address translations are dropped on command only")
    interrupt_steering = flag(14, "interrupts go to the micro-controller")
    run_list_enable = flag(15, "submission by execlist; a guest sets it only after it has read the PVINFO page")


class ContextStatusPointer(Bits):
    """Where software and hardware are in the context status buffer; upper half enables the write of the lower."""

    write_pointer = uint(0, 3, "number of the newest event; 7 or 5 before the first, so that the first is number 0", source=LRC_SOURCE)
    read_pointer = uint(8, 3, "number of the newest event that software has taken", source=LRC_SOURCE)


class NonprivAccess(IntEnum):
    """What a white-listed register may be used for (gen9.5 and later; earlier hardware always gives both)."""

    READ_WRITE = 0
    READ = 1
    WRITE = 2
    INVALID = 3


class NonprivRange(IntEnum):
    """How many consecutive dwords a white-list slot covers (gen9.5 and later)."""

    ONE = 0
    FOUR = 1
    SIXTEEN = 2
    SIXTY_FOUR = 3


class ForceToNonpriv(Bits):
    """One slot of the white list. A slot in no use points at the engine's own no-op register (base + 0x94)."""

    span = choice(0, 2, NonprivRange, "how many dwords the slot covers")
    address = uint(2, 24, "dword offset of the register in BAR0", unit="dwords")
    access = choice(28, 2, NonprivAccess, "what the register may be used for")
    deny = flag(30, "take the register off the list instead")


class EngineRegisters(RegisterBlock, bases=ENGINE_BASES, source=SOURCE):
    """A command streamer."""

    excc = Register(
        0x28, int,
        "conditions that a wait event may test; upper half enables the write of the lower",
        Access.MASKED, kernel_name="RING_EXCC",
    )  # fmt: skip
    tail = Register(
        0x30, RingTail,
        "end of the commands in the ring; with execlists the image holds it, and this is what the running context was given",
        kernel_name="RING_TAIL",
    )  # fmt: skip
    head = Register(
        0x34, RingHead,
        "next command to fetch; equal to tail when the ring is empty, which also lets a failed stop pass",
        kernel_name="RING_HEAD",
    )  # fmt: skip
    start = Register(0x38, int, "graphics address of the ring, page aligned", unit="bytes", kernel_name="RING_START")
    control = Register(0x3C, RingControl, "ring enable and size", kernel_name="RING_CTL")
    sync = RegisterArray(0x40, 3, int, "semaphore mailboxes of the other engines, as engines before gen8 used them", kernel_name="RING_SYNC_0")
    psmi_ctl = Register(0x50, PsmiControl, "how the engine takes part in power management", Access.MASKED, kernel_name="RING_PSMI_CTL")
    max_idle = Register(
        0x54, int,
        "idle time after which the engine may sleep, in bits 19:0; written when RC6 is set up",
        kernel_name="RING_MAX_IDLE",
    )  # fmt: skip
    acthd_udw = Register(0x5C, int, "address of the command in execution, bits 47:32", Access.READ_ONLY, emulated=True, kernel_name="RING_ACTHD_UDW")
    dma_fadd_udw = Register(0x60, int, "address of the last fetch, bits 47:32", Access.READ_ONLY, kernel_name="RING_DMA_FADD_UDW")
    ipeir = Register(0x64, int, "instruction parser error; written 0 to forget an old error", kernel_name="RING_IPEIR")
    ipehr = Register(0x68, int, "header of the command that the parser holds", Access.READ_ONLY, kernel_name="RING_IPEHR")
    instdone = Register(
        0x6C, int,
        "which units of the engine are done; a unit that stays 0 is hung",
        Access.READ_ONLY, emulated=True, kernel_name="RING_INSTDONE",
    )  # fmt: skip
    instps = Register(0x70, int, "state of the instruction parser", Access.READ_ONLY, kernel_name="RING_INSTPS")
    acthd = Register(
        0x74, int,
        "address of the command in execution, bits 31:0; a hang report shows it",
        Access.READ_ONLY, emulated=True, unit="bytes", kernel_name="RING_ACTHD",
    )  # fmt: skip
    dma_fadd = Register(0x78, int, "address of the last fetch, bits 31:0", Access.READ_ONLY, unit="bytes", kernel_name="RING_DMA_FADD")
    hws_pga = Register(
        0x80, int,
        "graphics address of the hardware status page, where events and sequence numbers are written; must be a page of the guest's own",
        unit="bytes", emulated=True, kernel_name="RING_HWS_PGA",
    )  # fmt: skip
    nopid = Register(
        0x94, int,
        "the operand of the last MI_NOOP that carried one; harmless, and so the filler of unused white-list slots",
        kernel_name="RING_NOPID",
    )  # fmt: skip
    hwstam = Register(
        0x98, int,
        "mask of interrupts reported to the status page; all ones: none, which is what execlists want",
        reset=0xFFFFFFFF, kernel_name="RING_HWSTAM",
    )  # fmt: skip
    mi_mode = Register(0x9C, MiMode, "stop and idle state", Access.MASKED, kernel_name="RING_MI_MODE")
    imr = Register(
        0xA8, int,
        "which of the engine's events are kept from the GT interrupt group, in the positions the events have there",
        reset=0xFFFFFFFF, emulated=True, kernel_name="RING_IMR",
    )  # fmt: skip
    eir = Register(0xB0, EngineError, "errors found and not yet cleared", Access.WRITE_1_CLEARS, emulated=True, kernel_name="RING_EIR")
    emr = Register(0xB4, EngineError, "errors that are kept from eir", reset=0xFFFFFFFF, kernel_name="RING_EMR")
    esr = Register(
        0xB8, EngineError,
        "errors that are present; the driver resets an engine that resumes with one",
        Access.READ_ONLY, kernel_name="RING_ESR",
    )  # fmt: skip
    instpm = Register(0xC0, int, "parser modes: which state commands are flushed and invalidated by", Access.MASKED, kernel_name="RING_INSTPM")
    r_pwr_clk_state = Register(
        0xC8, PowerClockState,
        "slices and execution units the context wants powered; reaches hardware through the image (RCS)",
        kernel_name="GEN8_R_PWR_CLK_STATE",
    )  # fmt: skip
    reset_ctl = Register(0xD0, ResetControl, "the handshake before a reset", Access.MASKED, emulated=True, kernel_name="RING_RESET_CTL")
    csfe_chicken1 = Register(
        0xD4, FrontEndChicken,
        "front end work-arounds; bits 3 and 4 are the mediator's, a guest that sets them is refused",
        Access.MASKED, emulated=True, kernel_name="GEN9_CSFE_CHICKEN1_RCS", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h",
    )  # fmt: skip
    bbstate = Register(0x110, BatchState, "state of the running batch buffer", Access.READ_ONLY, kernel_name="RING_BBSTATE")
    sbbaddr = Register(0x114, int, "address of the second-level batch, bits 31:0", Access.READ_ONLY, unit="bytes", kernel_name="RING_SBBADDR")
    sbbstate = Register(0x118, BatchState, "state of the second-level batch", Access.READ_ONLY, kernel_name="RING_SBBSTATE")
    sbbaddr_udw = Register(0x11C, int, "address of the second-level batch, bits 47:32", Access.READ_ONLY, kernel_name="RING_SBBADDR_UDW")
    bbaddr = Register(0x140, int, "address inside the running batch, bits 31:0", Access.READ_ONLY, unit="bytes", kernel_name="RING_BBADDR")
    bb_offset = Register(
        0x158, int,
        "offset of the batch that MI_BATCH_BUFFER_START with an offset goes to",
        unit="bytes", kernel_name="RING_BB_OFFSET",
    )  # fmt: skip
    bbaddr_udw = Register(0x168, int, "address inside the running batch, bits 47:32", Access.READ_ONLY, kernel_name="RING_BBADDR_UDW")
    ccid = Register(0x180, int, "address and flags of the context of ring-buffer submission, which gen8 and later do not use", kernel_name="CCID")
    bb_per_ctx_ptr = Register(0x1C0, PerContextBatch, "batch that runs at the end of every restore of the context", kernel_name="RING_BB_PER_CTX_PTR")
    indirect_ctx = Register(0x1C4, IndirectContext, "batch that runs during the restore of the context", kernel_name="RING_INDIRECT_CTX")
    indirect_ctx_offset = Register(
        0x1C8, IndirectContextOffset,
        "where in the restore of the context the indirect batch runs",
        kernel_name="RING_INDIRECT_CTX_OFFSET",
    )  # fmt: skip
    ecoskpd = Register(0x1D0, int, "late work-arounds of the streamer", kernel_name="ECOSKPD")
    cscmdop = Register(0x20C, int, "op code of the command in execution", Access.READ_ONLY, kernel_name="RING_CSCMDOP")
    elsp = Register(
        0x230, int,
        "submission port: four writes load two context descriptors, element 1 high, element 1 low, element 0 high, element 0 low; the fourth submits",
        Access.WRITE_ONLY, emulated=True, kernel_name="RING_ELSP",
    )  # fmt: skip
    execlist_status_lo = Register(0x234, ExeclistStatus, "state of the two execlist slots", Access.READ_ONLY, kernel_name="RING_EXECLIST_STATUS_LO")
    execlist_status_hi = Register(
        0x238, int,
        "id of the running context, the high half of its descriptor",
        Access.READ_ONLY, kernel_name="RING_EXECLIST_STATUS_HI",
    )  # fmt: skip
    context_control = Register(
        0x244, ContextControl,
        "what restore and save leave out; reaches hardware through the image",
        kernel_name="RING_CONTEXT_CONTROL",
    )  # fmt: skip
    sema_wait_poll = Register(0x24C, int, "time between two looks at a semaphore that did not pass", kernel_name="RING_SEMA_WAIT_POLL")
    pdp_lo = RegisterArray(
        0x270, 4, int,
        "page-table roots, bits 31:0; with 4 levels the first alone is the root; reach hardware through the image",
        stride=8, unit="bytes", kernel_name="GEN8_RING_PDP_LDW",
    )  # fmt: skip
    pdp_hi = RegisterArray(0x274, 4, int, "page-table roots, bits 63:32", stride=8, kernel_name="GEN8_RING_PDP_UDW")
    mode = Register(0x29C, EngineMode, "how the streamer is driven", Access.MASKED, emulated=True, kernel_name="RING_MODE_GEN7")
    timestamp = Register(
        0x358, int,
        "free-running time stamp, bits 31:0",
        Access.READ_ONLY, unit="time stamp ticks", emulated=True, kernel_name="RING_TIMESTAMP",
    )  # fmt: skip
    timestamp_udw = Register(0x35C, int, "free-running time stamp, bits 35:32", Access.READ_ONLY, emulated=True, kernel_name="RING_TIMESTAMP_UDW")
    context_status_buffer = RegisterArray(
        0x370, 2 * CONTEXT_STATUS_ENTRIES, int,
        "the six newest context events as pairs of ContextStatus and context id; a copy stands in the status page, and the driver reads that",
        Access.READ_ONLY, kernel_name="GEN8_EXECLISTS_STATUS_BUF", source=LRC_SOURCE,
    )  # fmt: skip
    context_status_ptr = Register(
        0x3A0, ContextStatusPointer,
        "read and write pointer of the context status buffer",
        Access.MASKED, kernel_name="RING_CONTEXT_STATUS_PTR",
    )  # fmt: skip
    ctx_timestamp = Register(0x3A8, int, "time the running context has had", unit="time stamp ticks", kernel_name="RING_CTX_TIMESTAMP")
    force_to_nonpriv = RegisterArray(
        0x4D0, NONPRIV_SLOTS, ForceToNonpriv,
        "white list of registers that a batch may write without privilege; the mediator admits only registers it knows to be safe",
        emulated=True, kernel_name="RING_FORCE_TO_NONPRIV",
    )  # fmt: skip
    gpr_lo = RegisterArray(0x600, 16, int, "general purpose registers of the streamer, bits 31:0", stride=8, kernel_name="GEN8_RING_CS_GPR")
    gpr_hi = RegisterArray(0x604, 16, int, "general purpose registers of the streamer, bits 63:32", stride=8, kernel_name="GEN8_RING_CS_GPR_UDW")
