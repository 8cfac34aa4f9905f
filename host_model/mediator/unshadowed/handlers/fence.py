"""Fence registers: a driver has its own, as the PVINFO page says. The others read 0 and keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.fence import FENCE_BASE, FenceRegister

from . import on_write

if TYPE_CHECKING:
    from ...client import Client


def fence_written(client: Client, offset: int, value: int) -> int:
    number = (offset - FENCE_BASE) >> 3
    if number >= len(client.fences):
        client.findings.fault(
            "fence-not-owned", f"fence {number} ({offset:#x})", f"the driver has {len(client.fences)} fences; the others are not its own, and this keeps nothing",
            value=value, nearest=f"fence {len(client.fences) - 1}",
        )  # fmt: skip
        return 0
    client.fences.store(number, offset, value)
    return value


on_write(FenceRegister.lo)(fence_written)
on_write(FenceRegister.hi)(fence_written)
