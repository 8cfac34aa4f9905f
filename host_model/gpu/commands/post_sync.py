"""What a flush does when it is done: write a value, a time stamp or a count to memory, and tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.engine import EngineInterrupt
from pvinfo.units import PAGE_MASK

from ..address_space import AddressSpace

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("NOTIFY", "post_sync_place")

NOTIFY: Final = EngineInterrupt.flush_notify.mask


def post_sync_place(engine: EngineState, address: int, use_global_gtt: int, by_index: int) -> tuple[AddressSpace, int] | None:
    """The space and address of a post-sync write; None where a batch without privilege may not have it.

    An index is an offset in the running context's status page.
    """
    if by_index:
        return engine.ggtt, engine.status_page + (address & PAGE_MASK & ~7)
    space = engine.memory(use_global_gtt)
    return (space, address & ~7) if space is not None else None
