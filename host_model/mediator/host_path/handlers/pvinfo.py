"""What the host's own driver says through the PVINFO page. There is nothing to be done about page tables and contexts that run
as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.page import PvInfo

from ...client_handlers.pvinfo import ALARM, field_at
from . import on_write, on_write_range

if TYPE_CHECKING:
    from ..device import HostDevice


@on_write(PvInfo.g2v_notify)
def notified(device: HostDevice, offset: int, value: int) -> int:
    device.pv.hear(value, field_at(offset))
    return value


@on_write_range(ALARM)
def out_of_resources_reported(device: HostDevice, offset: int, value: int) -> int:
    device.findings.note("host-share-insufficient", field_at(offset), "the host's own driver says that its share is not enough for it", value=value)
    return device.registers.read32(offset)
