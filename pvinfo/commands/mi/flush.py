"""The flush of the engines that have no 3D pipeline: what PIPE_CONTROL is to the render engine."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ...bits import Bits, choice, flag, uint
from ...wire import u32, u64
from ..command import Audit, Form, counted
from .header import MiHeader, mi_command, mi_header

__all__ = ("MI_FLUSH_DW", "FlushAddress", "FlushDwHeader", "FlushPostSync", "MiFlushDw", "MiFlushQw")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:skl:vol2a"


class FlushPostSync(IntEnum):
    """What is written when the flush is done."""

    NONE = 0
    WRITE_IMMEDIATE = 1
    """the dword or quadword given"""
    WRITE_TIMESTAMP = 3
    """the engine's time stamp, 64 bits"""


class FlushDwHeader(MiHeader):
    """What is flushed, and what happens then."""

    length = uint(0, 6, "dwords that follow the second one", unit="dwords", source="linux:drivers/gpu/drm/i915/i915_cmd_parser.c")
    invalidate_bsd = flag(7, "drop the video pipeline's caches, video engine only", source=SOURCE)
    notify = flag(8, "raise the engine's ``flush_notify`` event when done", source=SOURCE)
    flush_llc = flag(9, "flush the last-level cache", source=SOURCE)
    post_sync = choice(14, 2, FlushPostSync, "what is written when done", source=SOURCE)
    invalidate_tlb = flag(18, "drop address translations", source=SOURCE)
    store_index = flag(21, "the address is an offset in the context's status page", source=SOURCE)
    protected_memory = flag(22, "writes are to protected memory", source=SOURCE)


class FlushAddress(Bits):
    """Where the post-sync write goes."""

    use_global_gtt = flag(2, "the address is one of the global table", source=SOURCE)
    address = uint(3, 45, "address, bits 47:3", unit="quadwords", source=PRM)


class MiFlushDw(NamedTuple):
    """A flush that writes a dword, or a time stamp, or nothing."""

    header: Annotated[FlushDwHeader, u32("the command", source=SOURCE)] = FlushDwHeader(mi_header(0x26, 4))
    address: Annotated[FlushAddress, u64("where the post-sync write goes", source=SOURCE)] = FlushAddress(0)
    value: Annotated[int, u32("what is written", source=SOURCE)] = 0


class MiFlushQw(NamedTuple):
    """A flush that writes a quadword."""

    header: Annotated[FlushDwHeader, u32("the command", source=SOURCE)] = FlushDwHeader(mi_header(0x26, 5))
    address: Annotated[FlushAddress, u64("where the post-sync write goes", source=SOURCE)] = FlushAddress(0)
    value: Annotated[int, u64("what is written", source=PRM)] = 0


MI_FLUSH_DW: Final = mi_command(
    "MI_FLUSH_DW", 0x26, FlushDwHeader,
    "Waits until what was written before is visible, then writes what it was given: the breadcrumb of a request. The render engine has PIPE_CONTROL instead.",
    length=counted(6), forms=(Form(MiFlushDw, source=SOURCE), Form(MiFlushQw, source=PRM)), audit=Audit.FLUSH_DW,
)  # fmt: skip
