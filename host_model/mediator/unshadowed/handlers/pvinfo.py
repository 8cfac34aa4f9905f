"""What the driver says through the PVINFO page. There is nothing to be done about page tables and contexts that run
as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.page import PvInfo

from ...client_handlers.pvinfo import ALARM, field_at
from . import on_write, on_write_range

if TYPE_CHECKING:
    from ...client import Client


@on_write(PvInfo.g2v_notify)
def notified(client: Client, offset: int, value: int) -> int:
    client.pv.hear(value, field_at(offset))
    return value


@on_write_range(ALARM)
def out_of_resources_reported(client: Client, offset: int, value: int) -> int:
    client.findings.note("share-insufficient", field_at(offset), "the driver says that its share is not enough for it", value=value)
    return client.registers.read32(offset)
