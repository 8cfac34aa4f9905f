"""PIPE_CONTROL, the flush of the render engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.register import REGISTER_MASK
from pvinfo.commands.pipe_control import PIPE_CONTROL, PipeControlFlags, PipeControlPostSync

from .execution import Stop, executes
from .post_sync import NOTIFY, post_sync_place

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_POST_SYNC: Final = PipeControlFlags.post_sync
_IMMEDIATE: Final = PipeControlPostSync.WRITE_IMMEDIATE << _POST_SYNC.low
_TIMESTAMP: Final = PipeControlPostSync.WRITE_TIMESTAMP << _POST_SYNC.low
_INVALIDATE: Final = PipeControlFlags.invalidate_tlb.mask
_INDEX: Final = PipeControlFlags.store_index.mask
_REGISTER: Final = PipeControlFlags.mmio_write.mask
_GLOBAL: Final = PipeControlFlags.use_global_gtt.mask
_NOTIFY: Final = PipeControlFlags.notify.mask
_DEPTH_COUNT: Final = 0x2350
"""PS_DEPTH_COUNT, 64 bits: samples that passed the depth test. Source: linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"""


@executes(PIPE_CONTROL)
def pipe_control(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """The pipeline is empty and everything before is in memory: write what is to be written, and tell."""
    flags = dwords[at + 1]
    if flags & _INVALIDATE:
        engine.invalidate_translations()
    operation = flags & _POST_SYNC.mask
    if flags & _REGISTER:
        engine.write_register(dwords[at + 2] & REGISTER_MASK, dwords[at + 4])
    elif operation:
        place = post_sync_place(engine, dwords[at + 2] | dwords[at + 3] << 32, flags & _GLOBAL, flags & _INDEX)
        if place is not None:
            space, address = place
            if operation == _IMMEDIATE:
                value = dwords[at + 4] | dwords[at + 5] << 32
            elif operation == _TIMESTAMP:
                value = engine.timestamp()
            else:
                value = engine.registers[_DEPTH_COUNT >> 2] | engine.registers[_DEPTH_COUNT + 4 >> 2] << 32
            space.write64(address, value)
            if operation == _IMMEDIATE and space is engine.ggtt and not flags & _INDEX:
                engine.stored_globally(address, value, 8)
    if flags & _NOTIFY:
        engine.signal(NOTIFY)
    if engine.disturbed is not None:
        return engine.disturbed
    return Stop.REFETCH if flags & _INVALIDATE else None
