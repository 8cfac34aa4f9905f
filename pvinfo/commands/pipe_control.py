"""PIPE_CONTROL: the render engine's flush, its breadcrumb, and its way to make the pipeline wait."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag, uint
from ..platform import Engine
from ..wire import u32, u64
from .command import Audit, Command, Form, counted
from .pipelines import PIPELINE_MASK, PipelineHeader

__all__ = ("PIPE_CONTROL", "PipeControl", "PipeControlFlags", "PipeControlHeader", "PipeControlPostSync")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:skl:vol2a"
_MATCH: Final = 0x7A000000


class PipeControlPostSync(IntEnum):
    """What is written when the pipeline has done what it was told to wait for."""

    NONE = 0
    WRITE_IMMEDIATE = 1
    """the quadword given"""
    WRITE_DEPTH_COUNT = 2
    """how many samples passed the depth test"""
    WRITE_TIMESTAMP = 3
    """the engine's time stamp, 64 bits"""


class PipeControlHeader(PipelineHeader):
    """Header of the render engine's flush."""

    length = uint(0, 8, "dwords that follow the second one", unit="dwords", source=SOURCE)


class PipeControlFlags(Bits):
    """What is flushed, dropped and waited for, and what happens then."""

    depth_cache_flush = flag(0, "write the depth cache back", source=SOURCE)
    stall_at_scoreboard = flag(1, "wait until earlier pixels are done", source=SOURCE)
    state_cache_invalidate = flag(2, "drop cached state", source=SOURCE)
    const_cache_invalidate = flag(3, "drop cached constants", source=SOURCE)
    vf_cache_invalidate = flag(4, "drop cached vertices", source=SOURCE)
    dc_flush = flag(5, "write the data cache back", source=SOURCE)
    flush_enable = flag(7, "wait until what earlier commands wrote is visible", source=SOURCE)
    notify = flag(8, "raise the engine's flush event when done", source=SOURCE)
    indirect_state_pointers_disable = flag(9, "forget the pointers to indirect state", source=SOURCE)
    texture_cache_invalidate = flag(10, "drop cached textures", source=SOURCE)
    instruction_cache_invalidate = flag(11, "drop cached shader instructions", source=SOURCE)
    render_target_cache_flush = flag(12, "write the render target cache back", source=SOURCE)
    depth_stall = flag(13, "wait until earlier depth tests are done", source=SOURCE)
    post_sync = choice(14, 2, PipeControlPostSync, "what is written when done", source=SOURCE)
    generic_media_state_clear = flag(16, "forget media state", source=PRM)
    invalidate_tlb = flag(18, "drop address translations", source=SOURCE)
    cs_stall = flag(20, "the streamer fetches no further before this is done", source=SOURCE)
    store_index = flag(21, "the address is an offset in the context's status page", source=SOURCE)
    mmio_write = flag(23, "the immediate goes to the register at the address, not to memory", source=SOURCE)
    use_global_gtt = flag(24, "the address is one of the global table", source=SOURCE)
    flush_l3 = flag(27, "write the L3 cache back", source=SOURCE)


class PipeControl(NamedTuple):
    """A flush, with the write that follows it."""

    header: Annotated[PipeControlHeader, u32("the command", source=SOURCE)] = PipeControlHeader(_MATCH | 4)
    flags: Annotated[PipeControlFlags, u32("what is done", source=SOURCE)] = PipeControlFlags(0)
    address: Annotated[int, u64("where the post-sync write goes, bits 47:3 (or 22:2 of a register)", unit="bytes", source=SOURCE)] = 0
    value: Annotated[int, u64("what is written", source=SOURCE)] = 0


PIPE_CONTROL: Final = Command(
    "PIPE_CONTROL", _MATCH, PIPELINE_MASK, PipeControlHeader,
    "Flushes and drops caches of the 3D pipeline, makes it wait, and writes a value when that is done: the breadcrumb of a "
    "request. The other engines have MI_FLUSH_DW instead.",
    engines=frozenset({Engine.RCS0}), length=counted(8), forms=(Form(PipeControl, source=SOURCE),), audit=Audit.PIPE_CONTROL, source=SOURCE,
)  # fmt: skip
