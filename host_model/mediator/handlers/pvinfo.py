"""The PVINFO page: how guest and host know each other.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.notify import Notification
from pvinfo.page import PVINFO_BASE, PVINFO_SIZE, VGT_IF, PvInfo

from ..failsafe import FailsafeReason
from ..refusal import Refused
from . import on_read_range, on_write, on_write_range

if TYPE_CHECKING:
    from ..vgpu import Vgpu

_WRITABLE: Final = frozenset(
    register.at()
    for register in (
        PvInfo.display_ready,
        PvInfo.g2v_notify,
        PvInfo.cursor_x_hot,
        PvInfo.cursor_y_hot,
        PvInfo.pdp0_lo, PvInfo.pdp0_hi, PvInfo.pdp1_lo, PvInfo.pdp1_hi,
        PvInfo.pdp2_lo, PvInfo.pdp2_hi, PvInfo.pdp3_lo, PvInfo.pdp3_hi,
        PvInfo.execlist_context_descriptor_lo,
        PvInfo.execlist_context_descriptor_hi,
    )  # fmt: skip
)
_LEGACY_NOTIFICATION: Final = 1
"""Sent by guest drivers older than the enumeration; accepted without action."""
_ALARM: Final = range(
    PVINFO_BASE + VGT_IF.offset_of("rsv5"), PVINFO_BASE + VGT_IF.offset_of("rsv5") + VGT_IF.field("rsv5").size, 4
)
_PAGE: Final = range(PVINFO_BASE, PVINFO_BASE + PVINFO_SIZE, 4)
_READABLE: Final = frozenset(
    [
        *range(PVINFO_BASE, PVINFO_BASE + VGT_IF.offset_of("rsv1"), 4),
        *range(PVINFO_BASE + VGT_IF.offset_of("avail_rs.mappable_gmadr.base"), PVINFO_BASE + VGT_IF.offset_of("rsv3"), 4),
        *_WRITABLE,
    ]
)


def _where(offset: int) -> str:
    field = VGT_IF.field_at(offset - PVINFO_BASE)
    return f"pvinfo.{field.path if field else '?'} ({offset:#x})"


@on_read_range(_PAGE)
def page_read(vgpu: Vgpu, offset: int) -> int:
    """Any read proves that the guest knows GVT-g."""
    vgpu.pv.guest_is_aware = True
    if offset not in _READABLE:
        vgpu.findings.note("pvinfo-reserved-read", _where(offset), "a read of a reserved part of the PVINFO page; it reads as stored")
    return vgpu.registers.read32(offset)


@on_write(PvInfo.display_ready)
def display_ready_written(vgpu: Vgpu, offset: int, value: int) -> int:
    vgpu.pv.display_ready = bool(value)
    return value


@on_write(PvInfo.g2v_notify)
def notified(vgpu: Vgpu, offset: int, value: int) -> int:
    if value == _LEGACY_NOTIFICATION:
        return value
    try:
        notification = Notification(value)
    except ValueError:
        vgpu.findings.fault(
            "unknown-notification", _where(offset), "no such notification; it is ignored",
            value=value, nearest=f"{min(Notification)} to {max(Notification)}",
        )  # fmt: skip
        vgpu.pv.unknown_notifications += 1
        return value
    vgpu.pv.notifications[notification] += 1
    _ACTS[notification](vgpu, _where(offset))
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


@on_write_range(_ALARM)
def out_of_resources_reported(vgpu: Vgpu, offset: int, value: int) -> int:
    """A guest writes here when what it was given is not enough for it."""
    vgpu.failsafe.enter(FailsafeReason.INSUFFICIENT_RESOURCE, _where(offset), value)
    return vgpu.registers.read32(offset)


@on_write_range(sorted(_WRITABLE - {PvInfo.display_ready.at(), PvInfo.g2v_notify.at()}))
def message_field_written(vgpu: Vgpu, offset: int, value: int) -> int:
    return value


@on_write_range(offset for offset in _PAGE if offset not in _WRITABLE and offset not in _ALARM)
def host_field_written(vgpu: Vgpu, offset: int, value: int) -> int:
    vgpu.findings.fault("pvinfo-read-only", _where(offset), "this part of the PVINFO page belongs to the host; the write is dropped", value=value)
    return vgpu.registers.read32(offset)
