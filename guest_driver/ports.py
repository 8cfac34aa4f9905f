"""The ports of an engine: what is written to them to hand contexts over, and what of each the engine is told.

Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pvinfo.execlist import ContextDescriptor, ContextPriority, Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers import EngineRegisters

from .request import Priority, Request

if TYPE_CHECKING:
    from .uncore import Uncore

__all__ = ("PORTS", "write_ports")

PORTS: Final = 2
"""Contexts that an engine takes at once."""


def _describe(request: Request) -> ContextDescriptor:
    """What the engine is told of the context of ``request``, with its tail moved on (``execlists_update_context``).

    The engine is never told the same tail twice: an empty ring confuses it. That is what the spare dwords behind each
    request are for; where even they were used, the whole context is loaded anew (WaIdleLiteRestore).
    """
    context = request.context
    descriptor = context.descriptor()
    if request.engine is Engine.RCS0:
        hint = ContextPriority.NORMAL
        if request.priority != Priority.NORMAL:
            hint = ContextPriority.HIGH if request.priority > Priority.NORMAL else ContextPriority.LOW
        descriptor = ContextDescriptor.of(descriptor, priority=hint)
    moved_on = context.set_tail(request.tail)
    request.tail = request.wa_tail
    if context.force_restore or not moved_on:
        descriptor = ContextDescriptor.of(descriptor, force_restore=1)
    context.force_restore = False
    return descriptor


def write_ports(uncore: Uncore, last: Sequence[Request]) -> None:
    """Hand over the contexts of one or two requests, each the last of its port: four writes, the second port first, and the
    last write submits (``execlists_submit_ports``)."""
    second = _describe(last[1]) if len(last) > 1 else None
    first = _describe(last[0])
    offset = ENGINES[last[0].engine].base + EngineRegisters.elsp.offset
    for value in Submission.loading(first, second):
        uncore.raw.write32(offset, value)
