"""Hot-plug: what ports saw is cleared by writing it back, and the state of things cannot be written at all.

Source: linux:drivers/gpu/drm/i915/display/intel_hotplug_irq.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.hotplug import DigitalPortHotplug, Hotplug, PchHotplug, PchHotplug2
from pvinfo.registers.interrupt import InterruptGroup

from . import GEN9, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_PCH: Final = PchHotplug.port_a.mask | PchHotplug.port_b.mask | PchHotplug.port_c.mask | PchHotplug.port_d.mask
_PCH2: Final = PchHotplug2.port_e.mask
_PORT_A: Final = DigitalPortHotplug.port_a.mask


def _cleared(old: int, written: int, status: int) -> int:
    """``written``, its status bits as they stand after those written as 1 are cleared."""
    return written & ~status | old & ~written & status


@on_write(Hotplug.pch, whole=True)
def hub_ports_watched(device: RegisterDevice, offset: int, value: PchHotplug) -> int:
    return _cleared(device.registers.read32(offset), value, _PCH)


@on_write(Hotplug.pch2, platforms=GEN9)
def one_more_port_watched(device: RegisterDevice, offset: int, value: PchHotplug2) -> int:
    return _cleared(device.registers.read32(offset), value, _PCH2)


@on_write(Hotplug.digital_port)
def port_a_watched(device: RegisterDevice, offset: int, value: DigitalPortHotplug) -> int:
    return _cleared(device.registers.read32(offset), value, _PORT_A)


@on_write(InterruptGroup.isr)
def state_written(device: RegisterDevice, offset: int, value: int) -> int:
    """It stays what it is."""
    return device.registers.read32(offset)
