"""Commands that store to memory: immediates, copies, entries of the global table, reports of counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.memory import (
    MI_COPY_MEM_MEM,
    MI_REPORT_PERF_COUNT,
    MI_STORE_DATA_IMM,
    MI_STORE_DATA_INDEX,
    MI_UPDATE_GTT,
    CopyMemMemHeader,
    PerfCountAddress,
    StoreDataImmHeader,
    StoreDataIndexHeader,
)
from pvinfo.units import PAGE_MASK, PAGE_SHIFT

from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_STORE_QWORD: Final = StoreDataImmHeader.store_qword.mask
_STORE_GLOBAL: Final = StoreDataImmHeader.use_global_gtt.mask
_PER_PROCESS: Final = StoreDataIndexHeader.per_process.mask
_SOURCE_GLOBAL: Final = CopyMemMemHeader.source_global_gtt.mask
_DESTINATION_GLOBAL: Final = CopyMemMemHeader.destination_global_gtt.mask
_COUNT_GLOBAL: Final = PerfCountAddress.use_global_gtt.mask
_COUNT_LINE: Final = 63
_COUNT_REPORT_BYTES: Final = 256


@executes(MI_STORE_DATA_IMM)
def store_data_imm(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Store a dword or quadword."""
    header = dwords[at]
    space = engine.memory(header) if header & _STORE_GLOBAL else engine.ppgtt
    if space is None:
        return None
    if header & _STORE_QWORD and length > 4:
        space.write64(dwords[at + 1] & ~7 | dwords[at + 2] << 32, dwords[at + 3] | dwords[at + 4] << 32)
    else:
        space.write32(dwords[at + 1] | dwords[at + 2] << 32, dwords[at + 3])
    if header & _STORE_GLOBAL:
        engine.stored_globally(dwords[at + 1], dwords[at + 3], 8 if header & _STORE_QWORD and length > 4 else 4)
    return None


@executes(MI_STORE_DATA_INDEX)
def store_data_index(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Store to the context's status page, or with privilege to the engine's."""
    if dwords[at] & _PER_PROCESS:
        page = engine.status_page
    elif engine.buffers.privileged:
        page = engine.hardware_status_page
    else:
        engine.violation()
        return None
    address = page + (dwords[at + 1] & PAGE_MASK & ~3)
    engine.ggtt.write32(address, dwords[at + 2])
    if length > 3:
        engine.ggtt.write32(address & ~PAGE_MASK | address + 4 & PAGE_MASK, dwords[at + 3])
    return None


@executes(MI_COPY_MEM_MEM)
def copy_mem_mem(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Copy a dword."""
    header = dwords[at]
    source = engine.memory(header & _SOURCE_GLOBAL)
    destination = engine.memory(header & _DESTINATION_GLOBAL)
    if source is not None and destination is not None:
        destination.write32(dwords[at + 1] | dwords[at + 2] << 32, source.read32(dwords[at + 3] | dwords[at + 4] << 32))
    return None


@executes(MI_UPDATE_GTT)
def update_gtt(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Write entries of the global table; with privilege only, and for no virtual function, to whose entries the GPU adds whose they are."""
    if not engine.buffers.privileged or engine.function is not None:
        engine.violation()
        return None
    page = dwords[at + 1] >> PAGE_SHIFT
    for index in range(at + 2, at + length - 1, 2):
        engine.ggtt.write_entry(page, dwords[index] | dwords[index + 1] << 32)
        page += 1
    return Stop.REFETCH


@executes(MI_REPORT_PERF_COUNT)
def report_perf_count(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Write a report of the observation counters: its number, the time stamp, the context; nothing is counted."""
    space = engine.memory(dwords[at + 1] & _COUNT_GLOBAL)
    if space is None:
        return None
    report = memoryview(bytearray(_COUNT_REPORT_BYTES)).cast("I")
    report[0] = dwords[at + 3]
    report[1] = engine.timestamp() & 0xFFFFFFFF
    report[2] = engine.context_id
    space.write(dwords[at + 1] & ~_COUNT_LINE | dwords[at + 2] << 32, report.cast("B"))
    engine.not_executed("MI_REPORT_PERF_COUNT", dwords[at])
    return None
