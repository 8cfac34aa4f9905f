"""Fence registers: the host's driver has its own, as the PVINFO page says. The others read 0 and keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.fence import FENCE_BASE, FenceRegister

from . import on_write

if TYPE_CHECKING:
    from ..device import HostDevice


def fence_written(device: HostDevice, offset: int, value: int) -> int:
    number = (offset - FENCE_BASE) >> 3
    if number >= len(device.fences):
        device.findings.fault(
            "fence-not-owned", f"fence {number} ({offset:#x})", f"the host's driver has {len(device.fences)} fences; the others are guests', and this keeps nothing",
            value=value, nearest=f"fence {len(device.fences) - 1}",
        )  # fmt: skip
        return 0
    device.registers.write32(offset, value)
    fence = FenceRegister(device.registers, f"FENCE{number}")
    device.fences.write(number, fence.hi << 32 | fence.lo)
    return value


on_write(FenceRegister.lo)(fence_written)
on_write(FenceRegister.hi)(fence_written)
