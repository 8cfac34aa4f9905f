"""What a vGPU's guest says through the PVINFO page, and what becomes of it.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.notify import Notification
from pvinfo.page import PvInfo

from ..client_handlers.pvinfo import ALARM, field_at
from ..failsafe import FailsafeReason
from ..refusal import Refused
from . import on_write, on_write_range

if TYPE_CHECKING:
    from ..vgpu import Vgpu


@on_write(PvInfo.g2v_notify)
def notified(vgpu: Vgpu, offset: int, value: int) -> int:
    notification = vgpu.pv.hear(value, field_at(offset))
    if notification is not None:
        _ACTS[notification](vgpu, field_at(offset))
    return value


def _roots(vgpu: Vgpu, count: int) -> tuple[int, ...]:
    """The page table roots that stand in the page."""
    page = PvInfo(vgpu.registers)
    pairs = ((page.pdp0_lo, page.pdp0_hi), (page.pdp1_lo, page.pdp1_hi), (page.pdp2_lo, page.pdp2_hi), (page.pdp3_lo, page.pdp3_hi))
    return tuple(low | high << 32 for low, high in pairs[:count])


def _tables_created(levels: int, count: int) -> Callable[[Vgpu, str], None]:
    def act(vgpu: Vgpu, where: str) -> None:
        try:
            vgpu.tables.create(levels, _roots(vgpu, count))
        except Refused as refusal:
            vgpu.findings.fault(refusal.rule, refusal.where, f"{refusal.text}; the announcement is ignored", value=refusal.value, nearest=refusal.nearest)

    return act


def _tables_destroyed(levels: int, count: int) -> Callable[[Vgpu, str], None]:
    def act(vgpu: Vgpu, where: str) -> None:
        roots = _roots(vgpu, count)
        if not vgpu.tables.destroy(levels, roots):
            vgpu.findings.fault("unknown-page-tables", where, "page tables are given up that were never announced; nothing is done", value=roots[0])

    return act


def _context_told(vgpu: Vgpu, where: str) -> None:
    """Contexts are followed by their submissions; what is said of them here is counted only."""


_ACTS: Final[dict[Notification, Callable[[Vgpu, str], None]]] = {
    Notification.PPGTT_L3_PAGE_TABLE_CREATE: _tables_created(3, 4),
    Notification.PPGTT_L3_PAGE_TABLE_DESTROY: _tables_destroyed(3, 4),
    Notification.PPGTT_L4_PAGE_TABLE_CREATE: _tables_created(4, 1),
    Notification.PPGTT_L4_PAGE_TABLE_DESTROY: _tables_destroyed(4, 1),
    Notification.EXECLIST_CONTEXT_CREATE: _context_told,
    Notification.EXECLIST_CONTEXT_DESTROY: _context_told,
}


@on_write_range(ALARM)
def out_of_resources_reported(vgpu: Vgpu, offset: int, value: int) -> int:
    """A guest writes here when what it was given is not enough for it."""
    vgpu.failsafe.enter(FailsafeReason.INSUFFICIENT_RESOURCE, field_at(offset), value)
    return vgpu.registers.read32(offset)
