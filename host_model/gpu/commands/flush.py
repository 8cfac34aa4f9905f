"""MI_FLUSH_DW, the flush of the engines without a 3D pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.flush import MI_FLUSH_DW, FlushAddress, FlushDwHeader, FlushPostSync

from .execution import Stop, executes
from .post_sync import NOTIFY, post_sync_place

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_POST_SYNC: Final = FlushDwHeader.post_sync
_IMMEDIATE: Final = FlushPostSync.WRITE_IMMEDIATE << _POST_SYNC.low
_TIMESTAMP: Final = FlushPostSync.WRITE_TIMESTAMP << _POST_SYNC.low
_INDEX: Final = FlushDwHeader.store_index.mask
_NOTIFY: Final = FlushDwHeader.notify.mask
_INVALIDATE: Final = FlushDwHeader.invalidate_tlb.mask
_GLOBAL: Final = FlushAddress.use_global_gtt.mask


@executes(MI_FLUSH_DW)
def flush_dw(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Everything before is in memory already: write what is to be written, and tell."""
    header = dwords[at]
    if header & _INVALIDATE:
        engine.invalidate_translations()
    operation = header & _POST_SYNC.mask
    if operation:
        address = dwords[at + 1] | dwords[at + 2] << 32
        place = post_sync_place(engine, address, address & _GLOBAL, header & _INDEX)
        if place is not None:
            space, address = place
            if operation == _TIMESTAMP:
                space.write64(address, engine.timestamp())
            elif operation == _IMMEDIATE:
                if length > 4:
                    space.write64(address, dwords[at + 3] | dwords[at + 4] << 32)
                else:
                    space.write32(address, dwords[at + 3])
                if space is engine.ggtt and not header & _INDEX:
                    engine.stored_globally(address, dwords[at + 3], 8 if length > 4 else 4)
    if header & _NOTIFY:
        engine.signal(NOTIFY)
    return Stop.REFETCH if header & _INVALIDATE else None
