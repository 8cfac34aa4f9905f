"""Execlists: how contexts are submitted to an engine, and what it reports of them.

A submission names one or two contexts by *descriptor*, four writes to the engine's ``elsp``. The engine loads the
first context's image, runs its ring until head meets tail, goes on with the second, and tells of each step by an
*event* in the status buffer: in registers, and in the hardware status page, which is where drivers read it.

A status page is a page of graphics memory. Each engine has one (``hws_pga``); each context has one of its own, page 0
of its image, to which commands with *index* addressing write.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .bits import Bits, choice, flag, uint
from .errors import UsageError
from .registers.engine import CONTEXT_STATUS_ENTRIES, ContextStatus
from .units import PAGE_MASK, PAGE_SIZE, GraphicsAddress
from .wire import Codec, array, reserved, u32, u64

__all__ = (
    "CONTEXT_STATUS_EVENT",
    "CONTEXT_STATUS_OFFSET",
    "CONTEXT_STATUS_WRITE_OFFSET",
    "HARDWARE_STATUS_PAGE",
    "KERNEL_SEQNO_OFFSET",
    "NEXT_STATUS_ENTRY_AFTER_RESET",
    "PER_PROCESS_STATUS_PAGE",
    "SCRATCH_OFFSET",
    "SUBMISSION",
    "SUBMISSION_DWORDS",
    "AddressingMode",
    "ContextDescriptor",
    "ContextPriority",
    "ContextStatusEvent",
    "FaultHandling",
    "HardwareStatusPage",
    "PerProcessStatusPage",
    "Submission",
    "next_status_entry",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_lrc.h"
EXECLIST_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/execlist.h"
STATUS_PAGE_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_engine.h"
SUBMISSION_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c"


class AddressingMode(IntEnum):
    """How a context's virtual addresses are translated."""

    ADVANCED = 0
    """shared virtual memory with the processor; unused by the driver"""
    LEGACY_32_BIT = 1
    """three levels, rooted in the four page directory pointers of the image"""
    ADVANCED_AD = 2
    """as ADVANCED, with accessed and dirty bits; unused by the driver"""
    LEGACY_64_BIT = 3
    """four levels, rooted in the first page directory pointer; what a driver of gen8 and later uses"""


class FaultHandling(IntEnum):
    """What a context does at an address without translation."""

    HANG = 0
    """the driver's choice"""
    HALT = 1
    """for debugging"""
    STREAM = 2
    CONTINUE = 3
    """not supported"""


class ContextPriority(IntEnum):
    """A hint to the arbiter between engines; the render engine's contexts carry it."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


class ContextDescriptor(Bits):
    """Names a context image and how to run it: one element of a submission, 64 bits."""

    valid = flag(0, "there is a context", source=SOURCE)
    force_pd_restore = flag(1, "load the page directory pointers again even for the running context", source=SOURCE)
    force_restore = flag(
        2, "load the whole image even for the running context; set after a (re)pin or reset, and where the tail moved back or not at all",
        source="linux:drivers/gpu/drm/i915/gt/intel_lrc_reg.h",
    )  # fmt: skip
    addressing_mode = choice(3, 2, AddressingMode, "how virtual addresses are translated", source=SOURCE)
    llc_coherent = flag(5, "accesses snoop the processor's cache; set on gen8 only", source=SOURCE)
    fault_handling = choice(6, 2, FaultHandling, "what happens at an address without translation", source=EXECLIST_SOURCE)
    privilege = flag(8, "use the per-process table for what is not privileged; a mediator refuses a descriptor without it", source=SOURCE)
    priority = choice(9, 2, ContextPriority, "a hint to the arbiter, render engine only", source=SOURCE)
    lrca = uint(12, 20, "graphics address of the image: its page 0, the per-process status page", unit="4 KiB pages", source=SOURCE)
    context_id = uint(32, 32, "software's name of the context, the kernel's in bits 52:32; events and the status register echo it unchanged", source=SOURCE)

    @property
    def image(self) -> GraphicsAddress:
        """Graphics address of the context image."""
        return GraphicsAddress(int(self) & ContextDescriptor.lrca.mask)

    @property
    def low(self) -> int:
        """Bits 31:0: flags and image."""
        return int(self) & 0xFFFFFFFF

    @classmethod
    def naming(cls, image: GraphicsAddress, context_id: int, /, **fields: int) -> ContextDescriptor:
        """A valid, privileged descriptor with four page table levels, unless ``fields`` say otherwise.

        Raises: UsageError when the image does not begin at a page of the first 4 GiB; ValueError for an unknown field.
        """
        if image & PAGE_MASK or not 0 <= image <= cls.lrca.mask:
            raise UsageError(f"context image at {image:#x}: it begins at a page below {cls.lrca.mask + PAGE_SIZE:#x}")
        base = {"valid": 1, "privilege": 1, "addressing_mode": AddressingMode.LEGACY_64_BIT} | fields
        return cls.of(int(image), context_id=context_id, **base)

    def same_context(self, other: ContextDescriptor) -> bool:
        """Whether both name one context: the same id and the same image. Source: linux:drivers/gpu/drm/i915/gvt/execlist.c"""
        names = ContextDescriptor.lrca.mask | ContextDescriptor.context_id.mask
        return not (int(self) ^ int(other)) & names


SUBMISSION_DWORDS: Final = 4
"""Writes to ``elsp`` that make a submission; the last one starts it."""


class Submission(NamedTuple):
    """What is written to ``elsp``, in the order of the writes. An unused element is two zeroes."""

    element1_high: Annotated[int, u32("context id of the second context to run", source=SUBMISSION_SOURCE)] = 0
    element1_low: Annotated[int, u32("flags and image of the second context to run", source=SUBMISSION_SOURCE)] = 0
    element0_high: Annotated[int, u32("context id of the first context to run", source=SUBMISSION_SOURCE)] = 0
    element0_low: Annotated[int, u32("flags and image of the first context to run; writing it submits", source=SUBMISSION_SOURCE)] = 0

    @classmethod
    def loading(cls, element0: ContextDescriptor, element1: ContextDescriptor | None = None) -> Submission:
        """The writes that submit one or two contexts. The two never name the same context."""
        second = int(element1 or 0)
        return cls(second >> 32, second & 0xFFFFFFFF, int(element0) >> 32, int(element0) & 0xFFFFFFFF)

    @property
    def elements(self) -> tuple[ContextDescriptor, ContextDescriptor]:
        """The descriptors, first to run first."""
        return (
            ContextDescriptor(self.element0_high << 32 | self.element0_low),
            ContextDescriptor(self.element1_high << 32 | self.element1_low),
        )


class ContextStatusEvent(NamedTuple):
    """What became of a context. A driver sets an entry that it has taken to all ones."""

    status: Annotated[ContextStatus, u32("what happened", source=EXECLIST_SOURCE)]
    context_id: Annotated[int, u32("high half of the descriptor of the context it happened to", source=EXECLIST_SOURCE)]


NEXT_STATUS_ENTRY_AFTER_RESET: Final = 0
"""Entry that the first event after a reset goes to: the write pointer then holds 7, or 5 where the driver has set it.
Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c"""


def next_status_entry(write_pointer: int) -> int:
    """Entry that the next event goes to, from the number of the newest: 6 and 7 stand for none yet."""
    return (write_pointer + 1) % CONTEXT_STATUS_ENTRIES if write_pointer < CONTEXT_STATUS_ENTRIES else NEXT_STATUS_ENTRY_AFTER_RESET


class HardwareStatusPage(NamedTuple):
    """An engine's page of reports, in graphics memory at ``hws_pga``; what is not the hardware's the driver uses as it likes."""

    interrupt_status: Annotated[int, u32("copy of the engine's interrupt status, written when an event that ``hwstam`` lets through changes; an execlist driver lets none through")]
    rsv0: Annotated[bytes, reserved(0xC)]
    head_report: Annotated[int, u32("ring head, as MI_REPORT_HEAD and automatic reports leave it where no context runs")]
    rsv1: Annotated[bytes, reserved(0x40 - 0x14)]
    context_status: Annotated[tuple[ContextStatusEvent, ...], array(CONTEXT_STATUS_ENTRIES, "the newest events; hardware fills the entries in turn")]
    rsv2: Annotated[bytes, reserved(0x7C - 0x70)]
    context_status_write: Annotated[int, u32("number of the newest event, 0 to 5; written after the event and before the interrupt")]
    rsv3: Annotated[bytes, reserved(0xC8 - 0x80)]
    preempt: Annotated[int, u32("semaphore of a preempted request, native driver only")]
    rsv4: Annotated[bytes, reserved(0x100 - 0xCC)]
    kernel_seqno: Annotated[int, u32("number of the last completed request of the kernel's context, which is what the driver polls")]
    rsv5: Annotated[bytes, reserved(0x108 - 0x104)]
    migrate_seqno: Annotated[int, u32("the same of the kernel's second context, used to move and clear memory")]
    rsv6: Annotated[bytes, reserved(0x200 - 0x10C)]
    scratch: Annotated[int, u32("first of the dwords that the driver uses for whatever it needs")]
    rsv7: Annotated[bytes, reserved(PAGE_SIZE - 0x204)]


class PerProcessStatusPage(NamedTuple):
    """A context's own page of reports, page 0 of its image."""

    rsv0: Annotated[bytes, reserved(0x10)]
    head_report: Annotated[int, u32("ring head, as MI_REPORT_HEAD leaves it", source="prm:bdw:vol2a")]
    rsv1: Annotated[bytes, reserved(0xD0 - 0x14)]
    scratch: Annotated[int, u64("where the driver lets flushes write that need not write anything")]
    rsv2: Annotated[bytes, reserved(PAGE_SIZE - 0xD8)]


CONTEXT_STATUS_EVENT: Final = Codec(ContextStatusEvent, doc="an entry of the context status buffer", source=EXECLIST_SOURCE, size=8)
SUBMISSION: Final = Codec(Submission, doc="a load of the submission port", source=SUBMISSION_SOURCE, size=4 * SUBMISSION_DWORDS)
HARDWARE_STATUS_PAGE: Final = Codec(HardwareStatusPage, doc="hardware status page of an engine", source=STATUS_PAGE_SOURCE, size=PAGE_SIZE)
PER_PROCESS_STATUS_PAGE: Final = Codec(PerProcessStatusPage, doc="status page of a context", source=SOURCE, size=PAGE_SIZE)

CONTEXT_STATUS_OFFSET: Final = 0x40
"""First event in an engine's status page. Source: linux:drivers/gpu/drm/i915/gt/intel_engine.h"""
CONTEXT_STATUS_WRITE_OFFSET: Final = 0x7C
"""Number of the newest event, in an engine's status page. Source: linux:drivers/gpu/drm/i915/gt/intel_engine.h"""
KERNEL_SEQNO_OFFSET: Final = 0x100
"""Where requests of the kernel's context leave their number, in an engine's status page.
Source: linux:drivers/gpu/drm/i915/gt/intel_engine.h"""
SCRATCH_OFFSET: Final = 0xD0
"""Where flushes write that need not write anything, in a context's status page. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.h"""
