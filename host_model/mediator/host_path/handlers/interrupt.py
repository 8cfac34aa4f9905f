"""Interrupts of the host's device: its engines' own, and those of display and power as the mediator passes them on.

The masks of display and power are the hardware's as well, so that it remembers what the host's driver wants to hear, and nothing
else. Events that the driver looks for without having them interrupt it are fetched when it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.interrupt import InterruptGroup

from ...hardware.interrupts import HOST_GROUPS
from . import on_read, on_write

if TYPE_CHECKING:
    from ..device import HostDevice

_MASKS: Final = {register.at(group) for register in (InterruptGroup.imr, InterruptGroup.ier) for group in HOST_GROUPS}
_IDENTITIES: Final = {InterruptGroup.iir.at(group): group for group in HOST_GROUPS}
_STATES: Final = {InterruptGroup.isr.at(group) for group in HOST_GROUPS}


@on_write(InterruptGroup.imr)
def mask_written(device: HostDevice, offset: int, value: int) -> int:
    """May open the way for something pending."""
    device.registers.write32(offset, value)
    if offset in _MASKS:
        device.gpu.mmio.write32(offset, value)
    device.interrupts.check_pending()
    return device.registers.read32(offset)


on_write(InterruptGroup.ier)(mask_written)


@on_read(InterruptGroup.iir)
def identity_read(device: HostDevice, offset: int) -> int:
    group = _IDENTITIES.get(offset)
    if group is not None:
        happened = device.hardware.interrupts.take(group)
        if happened:
            device.interrupts.raise_bits(group, happened)
    return device.registers.read32(offset)


@on_read(InterruptGroup.isr)
def state_read(device: HostDevice, offset: int) -> int:
    return device.gpu.mmio.read32(offset) if offset in _STATES else device.registers.read32(offset)
