"""Commands that say what is executed next: batches, their ends, predicates, semaphores."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ...bits import choice, flag, uint
from ...wire import u32, u64
from ..command import Audit, Form, counted
from .header import RENDER, CountedHeader, GlobalHeader, MiHeader, mi_command, mi_header

__all__ = (
    "MI_BATCH_BUFFER_END",
    "MI_BATCH_BUFFER_START",
    "MI_CONDITIONAL_BATCH_BUFFER_END",
    "MI_PREDICATE",
    "MI_SEMAPHORE_MBOX",
    "MI_SEMAPHORE_SIGNAL",
    "MI_SEMAPHORE_WAIT",
    "MI_SET_PREDICATE",
    "BatchBufferStartHeader",
    "ConditionalEndHeader",
    "MiBatchBufferStart",
    "MiConditionalBatchBufferEnd",
    "MiSemaphoreMbox",
    "MiSemaphoreSignal",
    "MiSemaphoreWait",
    "PredicateCombine",
    "PredicateCompare",
    "PredicateHeader",
    "PredicateLoad",
    "PredicateMode",
    "SemaphoreCompare",
    "SemaphoreMboxHeader",
    "SemaphoreSignalHeader",
    "SemaphoreTarget",
    "SemaphoreWaitHeader",
    "SetPredicateHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:skl:vol2a"


# ---- batches ----


class BatchBufferStartHeader(CountedHeader):
    """How a batch is run."""

    ppgtt = flag(8, "the batch is fetched through the per-process table and runs without privilege; else through the global one, with privilege", source=SOURCE)
    resource_streamer = flag(10, "the resource streamer runs ahead through the batch, render engine only", source=SOURCE)
    predicate = flag(15, "start the batch only where MI_PREDICATE's result is true, render engine only", source=SOURCE)
    add_offset = flag(16, "add ``bb_offset`` to the address", source=PRM)
    second_level = flag(22, "come back behind this command at the batch's end; else the batch takes the place of the one it is started from", source=PRM)


class MiBatchBufferStart(NamedTuple):
    """The start of a batch."""

    header: Annotated[BatchBufferStartHeader, u32("the command", source=SOURCE)] = BatchBufferStartHeader(mi_header(0x31, 3))
    address: Annotated[int, u64("first dword of the batch, bits 47:2", unit="bytes", source=SOURCE)] = 0


MI_BATCH_BUFFER_START: Final = mi_command(
    "MI_BATCH_BUFFER_START", 0x31, BatchBufferStartHeader,
    "Goes on in a batch. From the ring, execution comes back when the batch ends; from a batch, only where this one is of the second level.",
    length=counted(8), forms=(Form(MiBatchBufferStart, source=SOURCE),), audit=Audit.BATCH_START,
)  # fmt: skip
MI_BATCH_BUFFER_END: Final = mi_command("MI_BATCH_BUFFER_END", 0x0A, MiHeader, "Ends a batch.", audit=Audit.BATCH_END)


class ConditionalEndHeader(GlobalHeader):
    """How the condition is found."""

    compare_mask = flag(19, "the quadword in memory holds a mask above the value; gen9", source=PRM)
    compare = flag(21, "compare with memory", source=SOURCE)


class MiConditionalBatchBufferEnd(NamedTuple):
    """The end of a batch under a condition."""

    header: Annotated[ConditionalEndHeader, u32("the command", source=SOURCE)] = ConditionalEndHeader(mi_header(0x36, 4))
    data: Annotated[int, u32("what memory is compared with", source=PRM)] = 0
    address: Annotated[int, u64("the dword in memory, bits 47:3", unit="bytes", source=PRM)] = 0


MI_CONDITIONAL_BATCH_BUFFER_END: Final = mi_command(
    "MI_CONDITIONAL_BATCH_BUFFER_END", 0x36, ConditionalEndHeader,
    "Ends the batch unless the dword in memory is greater than the one given. The video engine of gen8 compares the conjunction of two dwords there.",
    length=counted(8), forms=(Form(MiConditionalBatchBufferEnd, source=PRM),), audit=Audit.REFUSED, audited_lengths=(4,),
    source="linux:drivers/gpu/drm/i915/gt/selftest_tlb.c",
)  # fmt: skip


# ---- predicates ----


class PredicateMode(IntEnum):
    """Which commands after MI_SET_PREDICATE become no-operations."""

    NEVER = 0
    """none: predication is off"""
    RESULT_2_CLEAR = 1
    """those found while MI_PREDICATE_RESULT_2 is 0"""
    RESULT_2_SET = 2
    """those found while MI_PREDICATE_RESULT_2 is 1"""
    RESULT_CLEAR = 3
    """those found while MI_PREDICATE_RESULT is 0; gen9"""
    RESULT_SET = 4
    """those found while MI_PREDICATE_RESULT is 1; gen9"""
    ALWAYS = 15
    """all, up to the next MI_SET_PREDICATE; gen9"""


class SetPredicateHeader(MiHeader):
    """When commands are skipped."""

    mode = choice(0, 4, PredicateMode, "which commands become no-operations", source=PRM)


class PredicateLoad(IntEnum):
    """What becomes of the predicate."""

    KEEP = 0
    LOAD = 2
    """the result is loaded"""
    LOAD_INVERTED = 3
    """the inverse of the result is loaded"""


class PredicateCombine(IntEnum):
    """How the comparison is combined with the predicate as it was."""

    SET = 0
    AND = 1
    OR = 2
    XOR = 3


class PredicateCompare(IntEnum):
    """What is compared."""

    TRUE = 0
    FALSE = 1
    SOURCES_EQUAL = 2
    """MI_PREDICATE_SRC0 and MI_PREDICATE_SRC1"""
    DELTAS_EQUAL = 3
    """their difference and MI_PREDICATE_DATA"""


class PredicateHeader(MiHeader):
    """How the predicate is found."""

    compare = choice(0, 2, PredicateCompare, "what is compared", source=PRM)
    combine = choice(3, 2, PredicateCombine, "how it is combined with the predicate as it was", source=PRM)
    load = choice(6, 2, PredicateLoad, "what becomes of the predicate", source=PRM)


MI_SET_PREDICATE: Final = mi_command(
    "MI_SET_PREDICATE", 0x01, SetPredicateHeader, "Turns the commands that follow into no-operations, on a condition, up to the next of its kind."
)
MI_PREDICATE: Final = mi_command(
    "MI_PREDICATE", 0x0C, PredicateHeader, "Finds the predicate that 3DPRIMITIVE, GPGPU_WALKER and predicated batches look at.", engines=RENDER
)


# ---- semaphores ----


class SemaphoreCompare(IntEnum):
    """The comparison that ends the wait: memory on the left, the dword given on the right."""

    GREATER = 0
    GREATER_OR_EQUAL = 1
    LESS = 2
    LESS_OR_EQUAL = 3
    EQUAL = 4
    NOT_EQUAL = 5


class SemaphoreWaitHeader(GlobalHeader):
    """How a semaphore is waited for."""

    compare = choice(12, 3, SemaphoreCompare, "the comparison that ends the wait", source=SOURCE)
    poll = flag(15, "look at memory again and again; else when signalled", source=SOURCE)
    register_poll = flag(16, "the address is that of a register; gen9", source=SOURCE)


class MiSemaphoreWait(NamedTuple):
    """The wait for a value in memory."""

    header: Annotated[SemaphoreWaitHeader, u32("the command", source=SOURCE)] = SemaphoreWaitHeader(mi_header(0x1C, 4))
    data: Annotated[int, u32("what memory is compared with", source=SOURCE)] = 0
    address: Annotated[int, u64("the dword in memory, bits 47:2", unit="bytes", source=SOURCE)] = 0


MI_SEMAPHORE_WAIT: Final = mi_command(
    "MI_SEMAPHORE_WAIT", 0x1C, SemaphoreWaitHeader,
    "Waits until the dword in memory compares as wanted with the one given. A context that waits may be switched away from; the event says why.",
    length=counted(8), forms=(Form(MiSemaphoreWait, source=SOURCE),), audit=Audit.REFUSED, audited_lengths=(4,),
)  # fmt: skip


class SemaphoreTarget(IntEnum):
    """The engine whose waiting context is signalled. Source: prm:skl:vol2a"""

    RCS0 = 0
    VCS0 = 1
    BCS0 = 2
    VECS0 = 3
    VCS1 = 4


class SemaphoreSignalHeader(CountedHeader):
    """Who is signalled."""

    target = choice(15, 3, SemaphoreTarget, "the engine whose context waits", source=SOURCE)
    post_sync = flag(21, "signal only when what was written before is visible", source=PRM)


class MiSemaphoreSignal(NamedTuple):
    """A signal to a waiting context."""

    header: Annotated[SemaphoreSignalHeader, u32("the command", source=SOURCE)] = SemaphoreSignalHeader(mi_header(0x1B, 2))
    context_id: Annotated[int, u32("the waiting context, as its descriptor names it", source=PRM)] = 0


MI_SEMAPHORE_SIGNAL: Final = mi_command(
    "MI_SEMAPHORE_SIGNAL", 0x1B, SemaphoreSignalHeader, "Makes a context that waits in MI_SEMAPHORE_WAIT look at memory again.",
    length=counted(8), forms=(Form(MiSemaphoreSignal, source=SOURCE),), audited_lengths=(2,),
)  # fmt: skip


class SemaphoreMboxHeader(CountedHeader):
    """What was done with the mailbox register of another engine."""

    register_select = uint(16, 2, "which mailbox", source=SOURCE)
    use_register = flag(18, "the semaphore is a register", source=SOURCE)
    compare = flag(20, "wait until the semaphore is greater", source=SOURCE)
    update = flag(21, "set the semaphore", source=SOURCE)
    use_global_gtt = flag(22, "the address is one of the global table", source=SOURCE)


class MiSemaphoreMbox(NamedTuple):
    """The semaphore of gen6 and gen7."""

    header: Annotated[SemaphoreMboxHeader, u32("the command", source=SOURCE)] = SemaphoreMboxHeader(mi_header(0x16, 3))
    data: Annotated[int, u32("the value", source=SOURCE)] = 0
    address: Annotated[int, u32("where, for a semaphore in memory", source=SOURCE)] = 0


MI_SEMAPHORE_MBOX: Final = mi_command(
    "MI_SEMAPHORE_MBOX", 0x16, SemaphoreMboxHeader,
    "The semaphore of gen6 and gen7. The kernel's mediator still lets it pass; gen8 and later hardware has MI_SEMAPHORE_WAIT instead.",
    length=counted(8), forms=(Form(MiSemaphoreMbox, source=SOURCE),), audited_lengths=(3,),
)  # fmt: skip
