"""Commands for the resource streamer and the unified return buffer of the render engine, which drivers no longer use."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from ...bits import Bits, flag, uint
from ...wire import u32, u64
from ..command import Form, counted
from .header import RENDER, CountedHeader, MiHeader, mi_command, mi_header

__all__ = (
    "MI_LOAD_URB_MEM",
    "MI_RS_CONTEXT",
    "MI_RS_CONTROL",
    "MI_RS_STORE_DATA_IMM",
    "MI_STORE_URB_MEM",
    "MI_URB_ATOMIC_ALLOC",
    "MI_URB_CLEAR",
    "MiLoadUrbMem",
    "MiRsStoreDataImm",
    "MiStoreUrbMem",
    "MiUrbClear",
    "RsContextHeader",
    "RsControlHeader",
    "RsStoreAddress",
    "UrbAtomicAllocHeader",
    "UrbClearRange",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:bdw:vol2a"


class RsControlHeader(MiHeader):
    """Switches the resource streamer."""

    start = flag(0, "start it; else stop it", source=PRM)


class RsContextHeader(MiHeader):
    """Which way the resource streamer's state goes."""

    save = flag(0, "save it; else load it", source=PRM)


class UrbAtomicAllocHeader(MiHeader):
    """Which part of the buffer is for atomics."""

    size = uint(0, 9, "its length", unit="512-bit rows", source=PRM)
    offset = uint(12, 8, "where it begins", unit="8 KiB", source=PRM)


MI_RS_CONTROL: Final = mi_command("MI_RS_CONTROL", 0x06, RsControlHeader, "Starts or stops the resource streamer.", engines=RENDER, source=PRM)
MI_RS_CONTEXT: Final = mi_command("MI_RS_CONTEXT", 0x0F, RsContextHeader, "Saves or loads the resource streamer's state.", engines=RENDER, source=PRM)
MI_URB_ATOMIC_ALLOC: Final = mi_command(
    "MI_URB_ATOMIC_ALLOC", 0x09, UrbAtomicAllocHeader, "Sets a part of the unified return buffer aside for atomics.", engines=RENDER, source=PRM
)


class UrbClearRange(Bits):
    """A part of the unified return buffer."""

    address = uint(0, 15, "where it begins", unit="256-bit rows", source=PRM)
    length = uint(16, 14, "its length", unit="256-bit rows", source=PRM)


class MiUrbClear(NamedTuple):
    """Clears a part of the unified return buffer."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x19, 2))
    rows: Annotated[UrbClearRange, u32("which part", source=PRM)] = UrbClearRange(0)


MI_URB_CLEAR: Final = mi_command(
    "MI_URB_CLEAR", 0x19, CountedHeader, "Clears a part of the unified return buffer.",
    engines=RENDER, length=counted(8), forms=(Form(MiUrbClear, source=PRM),), audited_lengths=(2,), source=PRM,
)  # fmt: skip


class RsStoreAddress(Bits):
    """Where the resource streamer stores."""

    core_mode = flag(0, "store for each core", source=PRM)
    address = uint(2, 46, "address, bits 47:2", unit="dwords", source=PRM)


class MiRsStoreDataImm(NamedTuple):
    """A store by the resource streamer."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x2B, 4))
    address: Annotated[RsStoreAddress, u64("where", source=PRM)] = RsStoreAddress(0)
    value: Annotated[int, u32("what is stored", source=PRM)] = 0


MI_RS_STORE_DATA_IMM: Final = mi_command(
    "MI_RS_STORE_DATA_IMM", 0x2B, CountedHeader, "Has the resource streamer store a dword.",
    engines=RENDER, length=counted(8), forms=(Form(MiRsStoreDataImm, source=PRM),), audited_lengths=(4,), source=PRM,
)  # fmt: skip


class MiLoadUrbMem(NamedTuple):
    """A load of the unified return buffer."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x2C, 4))
    urb_address: Annotated[int, u32("dword of the buffer, bits 14:2", unit="bytes", source=PRM)] = 0
    address: Annotated[int, u64("where from, bits 47:6", unit="bytes", source=PRM)] = 0


class MiStoreUrbMem(NamedTuple):
    """A store of the unified return buffer."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x2D, 4))
    urb_address: Annotated[int, u32("dword of the buffer, bits 14:2", unit="bytes", source=PRM)] = 0
    address: Annotated[int, u64("where to, bits 47:6", unit="bytes", source=PRM)] = 0


MI_LOAD_URB_MEM: Final = mi_command(
    "MI_LOAD_URB_MEM", 0x2C, CountedHeader, "Loads a row of the unified return buffer from memory.",
    engines=RENDER, length=counted(8), forms=(Form(MiLoadUrbMem, source=PRM),), audited_lengths=(4,), source=PRM,
)  # fmt: skip
MI_STORE_URB_MEM: Final = mi_command(
    "MI_STORE_URB_MEM", 0x2D, CountedHeader, "Stores a row of the unified return buffer in memory. The kernel's mediator calls it MI_STORE_URM_MEM.",
    engines=RENDER, length=counted(8), forms=(Form(MiStoreUrbMem, source=PRM),), source=PRM,
)  # fmt: skip
