"""The PVINFO page: how driver and mediator know each other.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.page import PVINFO_BASE, PVINFO_SIZE, VGT_IF, PvInfo

from . import on_read_range, on_write, on_write_range

if TYPE_CHECKING:
    from ..client import Client

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
ALARM: Final = range(
    PVINFO_BASE + VGT_IF.offset_of("rsv5"), PVINFO_BASE + VGT_IF.offset_of("rsv5") + VGT_IF.field("rsv5").size, 4
)
"""Where a driver writes when what it was given is not enough for it."""
_PAGE: Final = range(PVINFO_BASE, PVINFO_BASE + PVINFO_SIZE, 4)
_READABLE: Final = frozenset(
    [
        *range(PVINFO_BASE, PVINFO_BASE + VGT_IF.offset_of("rsv1"), 4),
        *range(PVINFO_BASE + VGT_IF.offset_of("avail_rs.mappable_gmadr.base"), PVINFO_BASE + VGT_IF.offset_of("rsv3"), 4),
        *_WRITABLE,
    ]
)


def field_at(offset: int) -> str:
    """The field of the page at ``offset``, in words."""
    field = VGT_IF.field_at(offset - PVINFO_BASE)
    return f"pvinfo.{field.path if field else '?'} ({offset:#x})"


@on_read_range(_PAGE)
def page_read(client: Client, offset: int) -> int:
    """Any read proves that the driver knows GVT-g."""
    client.pv.guest_is_aware = True
    if offset not in _READABLE:
        client.findings.note("pvinfo-reserved-read", field_at(offset), "a read of a reserved part of the PVINFO page; it reads as stored")
    return client.registers.read32(offset)


@on_write(PvInfo.display_ready)
def display_ready_written(client: Client, offset: int, value: int) -> int:
    client.pv.display_ready = bool(value)
    return value


@on_write_range(sorted(_WRITABLE - {PvInfo.display_ready.at(), PvInfo.g2v_notify.at()}))
def message_field_written(client: Client, offset: int, value: int) -> int:
    return value


@on_write_range(offset for offset in _PAGE if offset not in _WRITABLE and offset not in ALARM)
def host_field_written(client: Client, offset: int, value: int) -> int:
    client.findings.fault("pvinfo-read-only", field_at(offset), "this part of the PVINFO page belongs to the host; the write is dropped", value=value)
    return client.registers.read32(offset)
