"""Commands that write memory: immediates, copies, atomics, page-table entries, counters."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ...bits import Bits, choice, flag, uint
from ...wire import u32, u64
from ..command import Audit, Form, counted
from .header import CountedHeader, MiHeader, mi_command, mi_header

__all__ = (
    "MI_ATOMIC",
    "MI_CLFLUSH",
    "MI_COPY_MEM_MEM",
    "MI_REPORT_PERF_COUNT",
    "MI_STORE_DATA_IMM",
    "MI_STORE_DATA_INDEX",
    "MI_UPDATE_GTT",
    "AtomicHeader",
    "AtomicOpcode",
    "AtomicSize",
    "ClflushHeader",
    "ClflushLine",
    "CopyMemMemHeader",
    "GttEntryData",
    "MiAtomic",
    "MiAtomicInline",
    "MiClflush",
    "MiCopyMemMem",
    "MiReportPerfCount",
    "MiStoreDwordImm",
    "MiStoreDwordIndex",
    "MiStoreQwordImm",
    "MiStoreQwordIndex",
    "MiUpdateGtt",
    "PerfCountAddress",
    "ReportPerfCountHeader",
    "StoreAddress",
    "StoreDataImmHeader",
    "StoreDataIndexHeader",
    "UpdateGttHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"
PRM: Final = "prm:skl:vol2a"


# ---- immediates ----


class StoreDataImmHeader(MiHeader):
    """How much is stored, and where."""

    length = uint(0, 10, "dwords that follow the second one", unit="dwords", source=SOURCE)
    store_qword = flag(21, "a quadword is stored", source=SOURCE)
    use_global_gtt = flag(22, "the address is one of the global table; a batch without privilege is not allowed to", source=SOURCE)


class StoreAddress(Bits):
    """Where a value is stored."""

    core_mode = flag(0, "store for each core, render engine only", source=GVT_SOURCE)
    address = uint(2, 46, "address, bits 47:2", unit="dwords", source=GVT_SOURCE)


class MiStoreDwordImm(NamedTuple):
    """The store of a dword."""

    header: Annotated[StoreDataImmHeader, u32("the command", source=SOURCE)] = StoreDataImmHeader(mi_header(0x20, 4))
    address: Annotated[StoreAddress, u64("where", source=GVT_SOURCE)] = StoreAddress(0)
    value: Annotated[int, u32("what is stored", source=SOURCE)] = 0


class MiStoreQwordImm(NamedTuple):
    """The store of a quadword."""

    header: Annotated[StoreDataImmHeader, u32("the command", source=SOURCE)] = StoreDataImmHeader.of(mi_header(0x20, 5), store_qword=1)
    address: Annotated[StoreAddress, u64("where, at a multiple of 8", source=GVT_SOURCE)] = StoreAddress(0)
    value: Annotated[int, u64("what is stored", source=SOURCE)] = 0


MI_STORE_DATA_IMM: Final = mi_command(
    "MI_STORE_DATA_IMM", 0x20, StoreDataImmHeader, "Stores a dword or quadword in memory.",
    length=counted(10), forms=(Form(MiStoreDwordImm, source=SOURCE), Form(MiStoreQwordImm, source=SOURCE)), audit=Audit.STORE_DATA_IMM,
)  # fmt: skip


class StoreDataIndexHeader(CountedHeader):
    """Which status page is meant."""

    per_process = flag(21, "the context's own status page, not the engine's", source=PRM)


class MiStoreDwordIndex(NamedTuple):
    """The store of a dword in a status page."""

    header: Annotated[StoreDataIndexHeader, u32("the command", source=SOURCE)] = StoreDataIndexHeader(mi_header(0x21, 3))
    offset: Annotated[int, u32("where in the page, bits 11:2", unit="bytes", source=PRM)] = 0
    value: Annotated[int, u32("what is stored", source=SOURCE)] = 0


class MiStoreQwordIndex(NamedTuple):
    """The store of a quadword in a status page."""

    header: Annotated[StoreDataIndexHeader, u32("the command", source=SOURCE)] = StoreDataIndexHeader(mi_header(0x21, 4))
    offset: Annotated[int, u32("where in the page, bits 11:3", unit="bytes", source=PRM)] = 0
    value: Annotated[int, u64("what is stored", source=PRM)] = 0


MI_STORE_DATA_INDEX: Final = mi_command(
    "MI_STORE_DATA_INDEX", 0x21, StoreDataIndexHeader, "Stores a dword or quadword in a status page.",
    length=counted(8), forms=(Form(MiStoreDwordIndex, source=SOURCE), Form(MiStoreQwordIndex, source=PRM)), audit=Audit.REFUSED,
)  # fmt: skip


# ---- copies, entries, cache lines, counters ----


class CopyMemMemHeader(CountedHeader):
    """Which tables the two addresses belong to."""

    destination_global_gtt = flag(21, "the destination is in the global table", source=PRM)
    source_global_gtt = flag(22, "the source is in the global table", source=PRM)


class MiCopyMemMem(NamedTuple):
    """The copy of a dword."""

    header: Annotated[CopyMemMemHeader, u32("the command", source=PRM)] = CopyMemMemHeader(mi_header(0x2E, 5))
    destination_address: Annotated[int, u64("where to, bits 47:2", unit="bytes", source=PRM)] = 0
    source_address: Annotated[int, u64("where from, bits 47:2", unit="bytes", source=PRM)] = 0


MI_COPY_MEM_MEM: Final = mi_command(
    "MI_COPY_MEM_MEM", 0x2E, CopyMemMemHeader, "Copies a dword in memory. The kernel's mediator calls it MI_OP_2E.",
    length=counted(8), forms=(Form(MiCopyMemMem, source=PRM),), audit=Audit.REFUSED, audited_lengths=(5,), source=PRM,
)  # fmt: skip


class UpdateGttHeader(MiHeader):
    """How many entries are written."""

    length = uint(0, 10, "dwords that follow the second one", unit="dwords", source="linux:drivers/gpu/drm/i915/i915_cmd_parser.c")


class MiUpdateGtt(NamedTuple):
    """The first of the entries to write."""

    header: Annotated[UpdateGttHeader, u32("the command", source=SOURCE)] = UpdateGttHeader(mi_header(0x23, 2))
    address: Annotated[int, u32("graphics address that the first entry translates, bits 31:12", unit="bytes", source=PRM)] = 0


class GttEntryData(NamedTuple):
    """An entry to write, see GgttEntry."""

    entry: Annotated[int, u64("the entry", source=PRM)]


MI_UPDATE_GTT: Final = mi_command(
    "MI_UPDATE_GTT", 0x23, UpdateGttHeader, "Writes entries of the global table, one after the other. Only privileged batches and rings may.",
    length=counted(10), forms=(Form(MiUpdateGtt, tail=GttEntryData, source=PRM),), audit=Audit.REFUSED,
)  # fmt: skip


class ClflushHeader(MiHeader):
    """How many lines are flushed."""

    length = uint(0, 10, "dwords that follow the second one", unit="dwords", source=GVT_SOURCE)
    use_global_gtt = flag(22, "the address is one of the global table", source=SOURCE)


class MiClflush(NamedTuple):
    """The first of the lines to flush."""

    header: Annotated[ClflushHeader, u32("the command", source=SOURCE)] = ClflushHeader(mi_header(0x27, 3))
    address: Annotated[int, u64("the first line, bits 47:6", unit="bytes", source=PRM)] = 0


class ClflushLine(NamedTuple):
    """Stands for half a line to flush."""

    rsv: Annotated[int, u32("nothing", source=PRM)] = 0


MI_CLFLUSH: Final = mi_command(
    "MI_CLFLUSH", 0x27, ClflushHeader, "Flushes lines of the processor's cache, two dwords for each.",
    length=counted(10), forms=(Form(MiClflush, tail=ClflushLine, source=PRM),), audit=Audit.REFUSED, source=PRM,
)  # fmt: skip


class ReportPerfCountHeader(MiHeader):
    """Header of the report."""

    length = uint(0, 6, "dwords that follow the second one", unit="dwords", source=GVT_SOURCE)


class PerfCountAddress(Bits):
    """Where the report is written."""

    use_global_gtt = flag(0, "the address is one of the global table", source=SOURCE)
    core_mode = flag(4, "report for each core", source=PRM)
    address = uint(6, 42, "address, bits 47:6", unit="64-byte lines", source=PRM)


class MiReportPerfCount(NamedTuple):
    """A report of the performance counters."""

    header: Annotated[ReportPerfCountHeader, u32("the command", source=SOURCE)] = ReportPerfCountHeader(mi_header(0x28, 4))
    address: Annotated[PerfCountAddress, u64("where", source=PRM)] = PerfCountAddress(0)
    report_id: Annotated[int, u32("number that the report carries", source=PRM)] = 0


MI_REPORT_PERF_COUNT: Final = mi_command(
    "MI_REPORT_PERF_COUNT", 0x28, ReportPerfCountHeader, "Writes a report of the observation counters to memory.",
    length=counted(6), forms=(Form(MiReportPerfCount, source=PRM),), audit=Audit.REFUSED, audited_lengths=(4,),
)  # fmt: skip


# ---- atomics ----


class AtomicOpcode(IntEnum):
    """What is done to the value in memory, M, with the operands A and B; for 8 bytes 0x20 more, for 16 bytes 0x40.

    Source: prm:skl:vol2a
    """

    AND = 0x01
    """M & A"""
    OR = 0x02
    """M | A"""
    XOR = 0x03
    """M ^ A"""
    MOVE = 0x04
    """A"""
    INCREMENT = 0x05
    """M + 1"""
    DECREMENT = 0x06
    """M - 1"""
    ADD = 0x07
    """M + A"""
    SUBTRACT = 0x08
    """M - A"""
    REVERSE_SUBTRACT = 0x09
    """A - M"""
    SIGNED_MAX = 0x0A
    """the greater of M and A, as signed numbers"""
    SIGNED_MIN = 0x0B
    """the lesser of M and A, as signed numbers"""
    UNSIGNED_MAX = 0x0C
    """the greater of M and A"""
    UNSIGNED_MIN = 0x0D
    """the lesser of M and A"""
    COMPARE_AND_WRITE = 0x0E
    """B where M equals A, else M"""
    PRE_DECREMENT = 0x0F
    """M - 1, and that is what is returned"""
    QWORD_AND = 0x21
    QWORD_OR = 0x22
    QWORD_XOR = 0x23
    QWORD_MOVE = 0x24
    QWORD_INCREMENT = 0x25
    QWORD_DECREMENT = 0x26
    QWORD_ADD = 0x27
    QWORD_SUBTRACT = 0x28
    QWORD_REVERSE_SUBTRACT = 0x29
    QWORD_SIGNED_MAX = 0x2A
    QWORD_SIGNED_MIN = 0x2B
    QWORD_UNSIGNED_MAX = 0x2C
    QWORD_UNSIGNED_MIN = 0x2D
    QWORD_COMPARE_AND_WRITE = 0x2E
    QWORD_PRE_DECREMENT = 0x2F
    OCTWORD_COMPARE_AND_WRITE = 0x4E


class AtomicSize(IntEnum):
    """How much memory is worked on."""

    DWORD = 0
    QWORD = 1
    OCTWORD = 2


class AtomicHeader(CountedHeader):
    """The operation, and where its operands are."""

    operation = choice(8, 8, AtomicOpcode, "what is done", source=PRM)
    return_data = flag(16, "the value that was in memory goes to the general purpose registers", source=PRM)
    cs_stall = flag(17, "wait until it is done", source=SOURCE)
    inline_data = flag(18, "the operands stand in the command; else in the general purpose registers", source=SOURCE)
    size = choice(19, 2, AtomicSize, "how much memory is worked on", source=GVT_SOURCE)
    post_sync = flag(21, "only when what was written before is visible", source=PRM)
    use_global_gtt = flag(22, "the address is one of the global table", source=SOURCE)


class MiAtomic(NamedTuple):
    """An atomic operation with its operands in registers."""

    header: Annotated[AtomicHeader, u32("the command", source=SOURCE)] = AtomicHeader(mi_header(0x2F, 3))
    address: Annotated[int, u64("where, bits 47:2", unit="bytes", source=GVT_SOURCE)] = 0


class MiAtomicInline(NamedTuple):
    """An atomic operation with its operands A and B in the command, dword by dword in turn."""

    header: Annotated[AtomicHeader, u32("the command", source=SOURCE)] = AtomicHeader.of(mi_header(0x2F, 11), inline_data=1)
    address: Annotated[int, u64("where, bits 47:2", unit="bytes", source=GVT_SOURCE)] = 0
    a0: Annotated[int, u32("operand A, bits 31:0", source=PRM)] = 0
    b0: Annotated[int, u32("operand B, bits 31:0", source=PRM)] = 0
    a1: Annotated[int, u32("operand A, bits 63:32", source=PRM)] = 0
    b1: Annotated[int, u32("operand B, bits 63:32", source=PRM)] = 0
    a2: Annotated[int, u32("operand A, bits 95:64", source=PRM)] = 0
    b2: Annotated[int, u32("operand B, bits 95:64", source=PRM)] = 0
    a3: Annotated[int, u32("operand A, bits 127:96", source=PRM)] = 0
    b3: Annotated[int, u32("operand B, bits 127:96", source=PRM)] = 0

    @classmethod
    def of(cls, header: AtomicHeader, address: int, a: int = 0, b: int = 0) -> MiAtomicInline:
        """The operation with whole operands of up to 128 bits."""
        words = [operand >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96) for operand in (a, b)]
        return cls(AtomicHeader.of(header, inline_data=1), address, *words)


MI_ATOMIC: Final = mi_command(
    "MI_ATOMIC", 0x2F, AtomicHeader, "Reads, changes and writes memory with nothing in between. The kernel's mediator calls it MI_OP_2F.",
    length=counted(8), forms=(Form(MiAtomic, source=SOURCE), Form(MiAtomicInline, source=SOURCE)), audit=Audit.ATOMIC,
)  # fmt: skip
